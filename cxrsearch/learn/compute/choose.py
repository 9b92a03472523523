"""Which way of taking steps is the fastest for a training: compiled, recorded, or as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from cxrsearch.learn.recipe import Recipe, size_of

from .agreement import TrainingStep
from .compiled import Compiled, ForwardPass, repays
from .cuda_graphs import Graphed, worthwhile
from .memory import recomputes


def faster_step(
    by: Callable[[ForwardPass, Tensor, Tensor], Tensor],
    model: nn.Module,
    recipe: Recipe,
    device: torch.device,
    pieces: Sequence[slice],
    micro: int,
) -> TrainingStep | None:
    """``by`` the compiled ``model`` or as a CUDA graph, where that repays; else None.

    Args:
        by: ``(network, images, targets) -> loss``; sets the gradients of ``model``.
        model: what is trained, on ``device``.
        recipe: gives epochs and input size.
        device: where it computes.
        pieces: the batches of an epoch.
        micro: images that go through the model at once.
    """
    if any(recomputes(module) for module in model.modules()):
        return None
    height, width = size_of(recipe.input_size)
    if repays(device, model, recipe.epochs * pieces[-1].stop * height * width):
        return Compiled(by, model)
    largest = max(piece.stop - piece.start for piece in pieces)
    steps = recipe.epochs * len(pieces)
    if largest <= micro and worthwhile(device, largest, (height, width), steps):
        return Graphed(lambda images, targets: by(model, images, targets), model)
    return None
