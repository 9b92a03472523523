"""A faster way to take a step, held against the eager one before it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

TrainingStep = Callable[[Tensor, Tensor], Tensor]
"""``(images, targets) -> loss``: sets the gradients of a model from none at all."""

T = TypeVar("T")
TOLERANCE = 0.05
"""Largest relative difference of losses and of gradients' lengths."""


def difference(
    model: nn.Module,
    device: torch.device,
    prepare: Callable[[], object],
    eager: Callable[[], Tensor],
    fast: Callable[[], Tensor],
) -> str | None:
    """Why ``fast`` may not take the place of ``eager``, or None.

    All three run without a trace in the generators and in the model's buffers.

    Args:
        model: whose gradients they set.
        device: where it lies.
        prepare: makes ``fast`` ready.
        eager: the step as it is; returns its loss.
        fast: what is to be the same step.

    Raises:
        torch.OutOfMemoryError: which others know what to do about.
    """
    try:
        undone(model, device, prepare)
        wanted = undone(model, device, lambda: _outline(model, eager()))
        found = undone(model, device, lambda: _outline(model, fast()))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a compiler's errors are of many kinds
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    if torch.allclose(wanted, found, rtol=TOLERANCE):
        return None
    return f"loss and gradients {found.tolist()} in the place of {wanted.tolist()}"


def undone(model: nn.Module, device: torch.device, function: Callable[[], T]) -> T:
    """What ``function`` finds, without a trace in generators and in the buffers of ``model``."""
    buffers = [buffer.clone() for buffer in model.buffers()]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            return function()
    finally:
        for buffer, before in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(before)


def _outline(model: nn.Module, loss: Tensor) -> Tensor:
    """(2,) loss and length of all gradients."""
    lengths = [p.grad.float().norm() for p in model.parameters() if p.grad is not None]
    return torch.stack([loss.float(), torch.stack(lengths).norm()])
