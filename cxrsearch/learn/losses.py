"""Losses on logits, each the mean over images and diseases, stable for any logit.

Where some labels are not known, or count for less, targets carry a weight each: (b, 2, 14),
target and weight. The mean is still over all images and diseases, so that an image of which
little is known says little, whatever batch it is in. A third and fourth row (b, 4, 14) are what
a mean teacher makes of another view of the images, and the weight of disagreeing with it.

Log-probabilities are written with softplus: log p = -softplus(-z), log(1 - p) = -softplus(z)
for p = sigmoid(z). Targets may be soft (label smoothing): a loss is then the mix of its
values for 1 and for 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .recipe import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]

MAX_WEIGHT = 100.0
"""Prevalence weights are kept within 1 / MAX_WEIGHT and MAX_WEIGHT."""

PROBABILITY_MARGIN = 0.05
"""Negatives below this probability cost nothing in the asymmetric loss (Ridnik et al.)."""


def bce(logits: Tensor, targets: Tensor, each: Tensor | None = None) -> Tensor:
    """Binary cross-entropy; each entry times its weight in ``each`` (b, 14), if given."""
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float(), each)


def weighted_bce(
    logits: Tensor, targets: Tensor, weight: Tensor, each: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy with the positives of each disease times its ``weight`` (14,)."""
    return F.binary_cross_entropy_with_logits(
        logits.float(), targets.float(), each, pos_weight=weight
    )


def focal(logits: Tensor, targets: Tensor, gamma: float, each: Tensor | None = None) -> Tensor:
    """Focal loss, (1 - p_t)^gamma times the cross-entropy (Lin et al., ICCV 2017, eq. 4)."""
    z, t = logits.float(), targets.float()
    miss, hit = F.softplus(-z), F.softplus(z)  # -log p, -log(1 - p)
    positive = torch.exp(-gamma * hit) * miss
    negative = torch.exp(-gamma * miss) * hit
    return _mean(t * positive + (1 - t) * negative, each)


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    gamma_positive: float,
    gamma_negative: float,
    margin: float = PROBABILITY_MARGIN,
    each: Tensor | None = None,
) -> Tensor:
    """Asymmetric loss (Ridnik et al., ICCV 2021, eq. 4 to 6).

    Positives cost (1 - p)^gamma_positive * -log p, negatives
    p_m^gamma_negative * -log(1 - p_m) with the shifted p_m = max(p - margin, 0).
    """
    z, t = logits.float(), targets.float()
    positive = torch.exp(-gamma_positive * F.softplus(z)) * F.softplus(-z)
    # Not down to 0: the derivative of a power below 1 is infinite there.
    shifted = (torch.sigmoid(z) - margin).clamp(min=1e-8)
    negative = shifted.pow(gamma_negative) * -torch.log1p(-shifted)
    return _mean(t * positive + (1 - t) * negative, each)


def _mean(values: Tensor, each: Tensor | None) -> Tensor:
    return values.mean() if each is None else (values * each).mean()


def disagreement(logits: Tensor, teacher: Tensor, each: Tensor) -> Tensor:
    """Squared distance to a teacher's probabilities (Tarvainen & Valpola, NeurIPS 2017).

    Args:
        logits: (b, 14).
        teacher: (b, 14) probabilities.
        each: (b, 14) weights.
    """
    return ((torch.sigmoid(logits.float()) - teacher).square() * each).mean()


def with_weights(targets: Tensor, weight: Tensor) -> Tensor:
    """(n, 2, 14) targets and weights as a loss takes them.

    Args:
        targets: (n, 14) in [0, 1]; NaN where nothing is known, which weighs nothing.
        weight: (n,) of what is known.
    """
    known = ~targets.isnan()
    return torch.stack([targets.nan_to_num(0.0), known * weight[:, None]], dim=1)


def positive_weights(prevalence: NDArray[Any] | Tensor) -> Tensor:
    """(14,) weights (1 - p) / p, clipped; a disease without positives gets the largest."""
    share = torch.as_tensor(np.asarray(prevalence), dtype=torch.float32).clamp(0, 1)
    return ((1 - share) / share.clamp(min=1e-12)).clamp(1 / MAX_WEIGHT, MAX_WEIGHT)


def smooth(targets: Tensor, amount: float) -> Tensor:
    """Targets moved by ``amount`` of the way towards one half."""
    return targets.float() * (1 - amount) + amount / 2


def build_loss(recipe: Recipe, prevalence: NDArray[Any] | Tensor) -> Loss:
    """The loss of a recipe, label smoothing included.

    Args:
        recipe: genes ``loss``, ``focal_gamma``, ``gamma_negative``, ``gamma_positive``,
            ``label_smoothing``.
        prevalence: (14,) share of positives among the training images.

    Returns:
        A function of (b, 14) logits and (b, 14) targets in [0, 1] to a scalar: the mean,
        in float32. It follows the logits to their device. Targets of (b, 2, 14) or (b, 4, 14)
        carry weights (see the module's text).
    """
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
        if recipe.loss == "weighted_bce":
            return weighted_bce(logits, targets, weights_on(logits.device), each)
        if recipe.loss == "focal":
            return focal(logits, targets, recipe.focal_gamma, each)
        if recipe.loss == "asymmetric":
            gammas = recipe.gamma_positive, recipe.gamma_negative
            return asymmetric(logits, targets, *gammas, each=each)
        return bce(logits, targets, each)

    def evaluate(logits: Tensor, targets: Tensor) -> Tensor:
        if targets.ndim == 2:
            return supervised(logits, targets)
        loss = supervised(logits, targets[:, 0], targets[:, 1])
        if targets.shape[1] == 2:
            return loss
        return loss + disagreement(logits, targets[:, 2], targets[:, 3])

    return evaluate
