"""What a recipe minimises: its loss, label smoothing, and weights of the targets.

Where some labels are not known, or count for less, targets carry a weight each: (b, 2, k),
target and weight. What is not known weighs nothing. What is known weighs the same whatever else is
known of its image, and whatever batch it is in: the mean is over all images and labels, so that an
image of which little is known says little. Of a data set in which much is unknown that mean would
be small, and every step with it; so weights are divided by the share that is known
(`known_weight`), and the loss is, over an epoch, the mean over the known marks.

A third and fourth row (b, 4, k) are what a mean teacher makes of another view of the images, and
the weight of disagreeing with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .losses import LOSSES
from .recipe import Recipe
from .registry import taken

Loss = Callable[[Tensor, Tensor], Tensor]

SUREST = 10.0
"""No constant answer is surer than this."""

MAX_WEIGHT = 100.0
"""Prevalence weights are kept within 1 / MAX_WEIGHT and MAX_WEIGHT."""


def disagreement(logits: Tensor, teacher: Tensor, each: Tensor) -> Tensor:
    """Squared distance to a teacher's probabilities (Tarvainen & Valpola, NeurIPS 2017).

    Args:
        logits: (b, k).
        teacher: (b, k) probabilities.
        each: (b, k) weights.
    """
    return ((torch.sigmoid(logits.float()) - teacher).square() * each).mean()


def with_weights(targets: Tensor, weight: Tensor) -> Tensor:
    """(n, 2, k) targets and weights as a loss takes them.

    Args:
        targets: (n, k) in [0, 1]; NaN where nothing is known, which weighs nothing.
        weight: (n,) of what is known.
    """
    known = ~targets.isnan()
    return torch.stack([targets.nan_to_num(0.0), known * weight[:, None]], dim=1)


def known_weight(targets: Tensor) -> float:
    """What a known mark weighs, so that all of (n, k) ``targets`` weigh 1 on average."""
    known = int((~targets.isnan()).sum())
    return targets.numel() / known if known else 1.0


def prevalence_of(targets: NDArray[Any]) -> NDArray[np.float64]:
    """(k,) share of positives among what (n, k) ``targets`` know; 0 where that is nothing."""
    marks = np.asarray(targets, np.float64)
    known = (~np.isnan(marks)).sum(axis=0)
    return np.asarray(np.nansum(marks, axis=0) / np.maximum(known, 1))


def safe_prevalence(
    targets: NDArray[Any], chances: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(k,) share of positives among the known, between 1 / (known + 2) and 1 less that.

    Args:
        targets: (n, k) in [0, 1], NaN where nothing is known; a label of which nothing is known
            has one half.
        chances: (n,) how often each image is drawn; None: all alike.
    """
    marks = np.asarray(targets, np.float64)
    weight = ~np.isnan(marks) * (np.ones(len(marks)) if chances is None else chances)[:, None]
    total = weight.sum(axis=0)
    share = np.divide(
        (weight * np.nan_to_num(marks)).sum(axis=0), total, out=np.full(len(total), 0.5),
        where=total > 0,
    )  # fmt: skip
    least = 1 / ((~np.isnan(marks)).sum(axis=0) + 2)
    return np.asarray(share.clip(least, 1 - least))


def positive_weights(prevalence: NDArray[Any] | Tensor) -> Tensor:
    """(k,) weights (1 - p) / p, clipped; a label without positives gets the largest."""
    share = torch.as_tensor(np.asarray(prevalence), dtype=torch.float32).clamp(0, 1)
    return ((1 - share) / share.clamp(min=1e-12)).clamp(1 / MAX_WEIGHT, MAX_WEIGHT)


def smooth(targets: Tensor, amount: float) -> Tensor:
    """Targets moved by ``amount`` of the way towards one half."""
    return targets.float() * (1 - amount) + amount / 2


HALVINGS = 40
"""Steps of `best_constant`, after which float32 tells no further."""
EVEN = 1e-7
"""Slopes that are rounding."""


def best_constant(loss: Loss, prevalence: NDArray[np.float64]) -> Tensor:
    """(k,) the logits of the constant answer that costs the least; within `SUREST` of 0.

    There the gradient of the last layer's biases is 0: with cross-entropy, at the log-odds of the
    prevalence; with label smoothing at those of the smoothed one; where positives weigh as much
    more as they are rarer, or no constant costs less than another, at 0. Halving finds where the
    slope turns upwards, for any loss.

    Args:
        loss: as from `build_loss`.
        prevalence: (k,) share of positives, above 0 and below 1.
    """
    share = torch.as_tensor(prevalence, dtype=torch.float32)
    ends = torch.stack([torch.ones_like(share), torch.zeros_like(share)])
    targets = torch.stack([ends, torch.stack([share, 1 - share])], dim=1)  # (2, target+weight, k)
    low, high = -SUREST * torch.ones_like(share), SUREST * torch.ones_like(share)
    for _ in range(HALVINGS):
        middle = ((low + high) / 2).requires_grad_()
        (slope,) = torch.autograd.grad(loss(middle.expand(2, -1), targets), middle)
        low = torch.where(slope < -EVEN, middle.detach(), low)
        high = torch.where(slope > EVEN, middle.detach(), high)
    return (low + high) / 2


def build_loss(recipe: Recipe, prevalence: NDArray[Any] | Tensor) -> Loss:
    """The loss of a recipe, label smoothing included.

    Args:
        recipe: genes ``loss``, ``label_smoothing`` and those that the loss takes.
        prevalence: (k,) share of positives among the known marks of training.

    Returns:
        A function of (b, k) logits and (b, k) targets in [0, 1] to a scalar: the mean,
        in float32. It follows the logits to their device. Targets of (b, 2, k) or (b, 4, k)
        carry weights (see the module's text).
    """
    loss = LOSSES[recipe.loss]
    genes = taken(loss, recipe)
    weights = positive_weights(prevalence)
    moved: dict[torch.device, Tensor] = {}

    def weights_on(device: torch.device) -> Tensor:
        """Moved once: a copy from the host would hold up every step."""
        if device not in moved:
            moved[device] = weights.to(device)
        return moved[device]

    def supervised(logits: Tensor, targets: Tensor, each: Tensor | None = None) -> Tensor:
        if recipe.label_smoothing:
            targets = smooth(targets, recipe.label_smoothing)
        return loss(logits, targets, each, weights_on(logits.device), **genes)

    def evaluate(logits: Tensor, targets: Tensor) -> Tensor:
        if targets.ndim == 2:
            return supervised(logits, targets)
        value = supervised(logits, targets[:, 0], targets[:, 1])
        if targets.shape[1] == 2:
            return value
        return value + disagreement(logits, targets[:, 2], targets[:, 3])

    return evaluate
