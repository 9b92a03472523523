"""What a trial costs, for searches that have an eye on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from torch import nn


def trainable(model: nn.Module) -> int:
    """The number of weights that training changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def costs(
    measures: Iterable[str], curve: Sequence[Mapping[str, Any]], epochs: int, parameters: int
) -> tuple[float, ...]:
    """The further objectives of a trial, in the order of ``measures``.

    Args:
        measures: ``seconds`` or ``parameters``; see `cxrsearch.objectives.MEASURES`.
        curve: the epochs so far, each with its ``seconds``.
        epochs: that the trial has run, or is going to run.
        parameters: of its model, as from `trainable`.
    """
    # The median: the first epoch builds the model, and a busy machine makes outliers.
    known = {
        "seconds": median(float(record["seconds"]) for record in curve) * epochs,
        "parameters": float(parameters),
    }
    return tuple(known[name] for name in measures)
