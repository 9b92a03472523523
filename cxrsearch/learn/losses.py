"""The losses by name: functions of logits and targets, each the mean over images and labels.

To add one, write a function and enter it in `LOSSES`. Its keyword-only arguments are the genes
that it takes: the gene ``loss`` gets its name as a choice, and its genes act with it. Torch is
imported where a loss is computed, so that a space is checked without it.

Log-probabilities are written with softplus: log p = -softplus(-z), log(1 - p) = -softplus(z)
for p = sigmoid(z), which is stable for any logit. Targets may be soft (label smoothing): a loss
is then the mix of its values for 1 and for 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PROBABILITY_MARGIN = 0.05
"""Negatives below this probability cost nothing in the asymmetric loss (Ridnik et al.)."""


def bce(logits: Tensor, targets: Tensor, each: Tensor | None, rarity: Tensor) -> Tensor:
    """Binary cross-entropy.

    Args:
        logits: (b, k).
        targets: (b, k) in [0, 1].
        each: (b, k) weights of the entries, or None.
        rarity: (k,) weights of a label's positives, the larger the rarer it is.

    Returns:
        a scalar in float32. All losses take and return the same.
    """
    from torch.nn import functional as F

    return F.binary_cross_entropy_with_logits(logits.float(), targets.float(), each)


def weighted_bce(logits: Tensor, targets: Tensor, each: Tensor | None, rarity: Tensor) -> Tensor:
    """Binary cross-entropy with the positives of each label times its ``rarity``."""
    from torch.nn import functional as F

    return F.binary_cross_entropy_with_logits(
        logits.float(), targets.float(), each, pos_weight=rarity
    )


def focal(
    logits: Tensor, targets: Tensor, each: Tensor | None, rarity: Tensor, *, focal_gamma: float
) -> Tensor:
    """Focal loss, (1 - p_t)^gamma times the cross-entropy (Lin et al., ICCV 2017, eq. 4)."""
    import torch
    from torch.nn import functional as F

    z, t = logits.float(), targets.float()
    miss, hit = F.softplus(-z), F.softplus(z)  # -log p, -log(1 - p)
    positive = torch.exp(-focal_gamma * hit) * miss
    negative = torch.exp(-focal_gamma * miss) * hit
    return _mean(t * positive + (1 - t) * negative, each)


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    each: Tensor | None,
    rarity: Tensor,
    *,
    gamma_positive: float,
    gamma_negative: float,
) -> Tensor:
    """Asymmetric loss (Ridnik et al., ICCV 2021, eq. 4 to 6).

    Positives cost (1 - p)^gamma_positive * -log p, negatives p_m^gamma_negative * -log(1 - p_m)
    with the shifted p_m = max(p - `PROBABILITY_MARGIN`, 0).
    """
    import torch
    from torch.nn import functional as F

    z, t = logits.float(), targets.float()
    positive = torch.exp(-gamma_positive * F.softplus(z)) * F.softplus(-z)
    # Not down to 0: the derivative of a power below 1 is infinite there.
    shifted = (torch.sigmoid(z) - PROBABILITY_MARGIN).clamp(min=1e-8)
    negative = shifted.pow(gamma_negative) * -torch.log1p(-shifted)
    return _mean(t * positive + (1 - t) * negative, each)


def auc_margin(
    logits: Tensor, targets: Tensor, each: Tensor | None, rarity: Tensor, *, margin: float
) -> Tensor:
    """AUC-margin loss (Yuan et al., ICCV 2021, eq. 4), in closed form, the mean over labels.

    With probabilities h, the mean a of the positives' and b of the negatives':

        mean (h - a)^2 of the positives + mean (h - b)^2 of the negatives + max(0, margin - a + b)^2

    which is what their min-max problem comes to at its best a, b and alpha. All means are over the
    images that go through the network together, weighted; a label that has no positive or no
    negative there has no third term, and one without both costs nothing. So, like batch
    normalisation, it depends on the micro-batch. It ranks: no constant added to a label's logits
    is asked for, and the authors start it from weights that another loss has trained.
    """
    import torch

    h, t = torch.sigmoid(logits.float()), targets.float()
    known = torch.ones_like(h) if each is None else each
    spread, means, some = torch.zeros_like(h[0]), [], torch.ones_like(h[0])
    for weights in (t * known, (1 - t) * known):
        total = weights.sum(dim=0)
        there = total > 0
        share = weights / torch.where(there, total, 1)
        means.append((share * h).sum(dim=0))
        spread = spread + (share * (h - means[-1]).square()).sum(dim=0)
        some = some * there
    a, b = means
    return (spread + some * (margin - a + b).clamp(min=0).square()).mean()


def _mean(values: Tensor, each: Tensor | None) -> Tensor:
    return values.mean() if each is None else (values * each).mean()


LOSSES: dict[str, Callable[..., Tensor]] = {
    "bce": bce,
    "weighted_bce": weighted_bce,
    "focal": focal,
    "asymmetric": asymmetric,
    "auc_margin": auc_margin,
}
"""Every loss by its name: ``(logits, targets, each, rarity, *, genes) -> scalar``."""
