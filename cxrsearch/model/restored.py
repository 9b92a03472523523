"""A recipe's network with the weights of a file that one of our trainings wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from cxrsearch.errors import InputError
from cxrsearch.learn.networks import models
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved import checkpoint


def ready_network(weights: Path, recipe: Recipe, device: torch.device) -> nn.Module:
    """The network of ``recipe`` with the weights of a file, ready to predict."""
    network = network_of(recipe, weights).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ready: nn.Module = network.eval().requires_grad_(False)
    return ready


def network_of(recipe: Recipe, path: Path) -> nn.Module:
    """The network of ``recipe`` with the weights in ``path``."""
    state = stored_weights(path)
    # Built without content: its start would be thrown away, and takes seconds for VGG16.
    with torch.device("meta"):
        network = models.build_model(replace(recipe, init="none"))
    _check_fit(path, network.state_dict(), state)
    network.load_state_dict(state, assign=True)
    return network


def stored_weights(path: Path) -> dict[str, Tensor]:
    """The weights in ``path``, which one of our trainings wrote.

    Raises:
        InputError: where it is not there, or damaged.
    """
    try:
        state, _ = checkpoint.load_tensors(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; restore it from a copy") from None
    except checkpoint.CheckpointError as error:
        raise InputError(f"{path.parent}: {error}; restore it from a copy") from error
    return state


def _check_fit(path: Path, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raise where ``state`` is not of the network that ``model.json`` describes."""
    wrong = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape or type": [
            name for name in own
            if name in state
            and (own[name].shape, own[name].dtype) != (state[name].shape, state[name].dtype)
        ],
        "not finite": [name for name, value in state.items() if not torch.isfinite(value).all()],
    }  # fmt: skip
    problems = [
        f"{path}: {len(names)} tensors are {what}, such as {names[0]}; the file is not of the "
        "network in model.json"
        for what, names in wrong.items()
        if names
    ]
    if problems:
        raise InputError(problems)
