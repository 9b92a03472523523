"""A faster way to take a step, held against the eager one before it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ..isolate import forked

TrainingStep = Callable[[Tensor, Tensor], Tensor]
"""``(images, targets) -> loss``: sets the gradients of a model from none at all."""

T = TypeVar("T")
TOLERANCE = 0.05
"""Largest relative difference of losses, of gradients' lengths, and of how far weights move."""


def difference(
    prepare: Callable[[], object], eager: Callable[[], Tensor], fast: Callable[[], Tensor]
) -> str | None:
    """Why ``fast`` may not take the place of ``eager``, or None.

    All three leave no trace; see `undone`.

    Args:
        prepare: makes ``fast`` ready.
        eager: takes steps as they are; returns the numbers that are compared, first a loss.
        fast: what is to be the same.

    Raises:
        torch.OutOfMemoryError: which others know what to do about.
    """
    try:
        prepare()
        wanted, found = eager(), fast()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a compiler's errors are of many kinds
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    if torch.allclose(wanted, found, rtol=TOLERANCE):
        return None
    return f"loss and changes {found.tolist()} in the place of {wanted.tolist()}"


@torch.no_grad()
def undone(tensors: Sequence[Tensor], device: torch.device, function: Callable[[], T]) -> T:
    """What ``function`` finds, without a trace in ``tensors`` and torch's own generators."""
    before = [tensor.clone() for tensor in tensors]
    try:
        with forked(device), torch.enable_grad():
            return function()
    finally:
        for tensor, value in zip(tensors, before, strict=True):
            tensor.copy_(value)
