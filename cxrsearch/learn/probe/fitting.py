"""Logistic regression on features, a label each, as the last layer of a network.

A convex problem: its solution depends on no seed, no schedule and no order of the images.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F

SOLVER_STEPS, LARGEST_SLOPE = 500, 1e-6
"""Of L-BFGS at most, and the largest slope at which it is done."""

SPREAD = 1e-6
"""Features of a smaller deviation say nothing and are left as they are."""


class LinearLayer(NamedTuple):
    """Logits = features @ weights.T + bias.

    Args:
        weights: (k, f) float64.
        bias: (k,) float64.
        loss: the mean cross-entropy over the known marks, each label counting alike.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    loss: float


def fit_layer(
    features: NDArray[Any], targets: NDArray[Any], penalty: float, balanced: bool = False
) -> LinearLayer:
    """The layer that minimises, a label, the mean cross-entropy over its known marks plus
    ``penalty`` / 2 times its squared weights on standardised features; biases are free.

    Found by L-BFGS (Liu & Nocedal 1989) for all labels at once. It is scikit-learn's
    ``LogisticRegression`` with C = 1 / (penalty n) for n known marks, the standardisation then
    folded into the layer. A label of which all known marks are alike gets no weights, and the
    log-odds of (positives + 1/2) to (negatives + 1/2) as its bias.

    Args:
        features: (n, f).
        targets: (n, k) in [0, 1]; NaN where nothing is known, which weighs nothing.
        penalty: of the squared weights.
        balanced: whether a label's positives weigh as much as its negatives together.
    """
    x = torch.from_numpy(np.asarray(features)).double()
    centre, spread = x.mean(dim=0), x.std(dim=0, correction=0)
    spread = torch.where(spread > SPREAD, spread, torch.ones_like(spread))
    x = (x - centre) / spread
    marks = torch.from_numpy(np.asarray(targets, np.float64))
    known = ~marks.isnan()
    marks = marks.nan_to_num(0.0)
    positives = marks.sum(dim=0)
    negatives = known.sum(dim=0) - positives
    both = (positives > 0) & (negatives > 0)
    weights = torch.zeros(marks.shape[1], x.shape[1], dtype=torch.float64)
    bias = torch.log((positives + 0.5) / (negatives + 0.5))
    if both.any():
        plus, minus = _weights(marks, known, balanced)
        found = _minimum(x, plus[:, both], minus[:, both], penalty)
        weights[both], bias[both] = found[:, :-1], found[:, -1]
    logits = x @ weights.T + bias
    plus, minus = _weights(marks, known, balanced)
    losses = (plus * F.softplus(-logits) + minus * F.softplus(logits)).sum(dim=0)
    folded = weights / spread
    return LinearLayer(
        folded.numpy(), (bias - folded @ centre).numpy(), float(losses[known.any(dim=0)].mean())
    )


def _weights(marks: Tensor, known: Tensor, balanced: bool) -> tuple[Tensor, Tensor]:
    """(n, k) what each mark weighs as a positive and as a negative; a label's come to 1."""
    plus, minus = marks, known.double() - marks
    if balanced:
        plus = plus / (2 * plus.sum(dim=0)).clamp(min=1e-12)
        minus = minus / (2 * minus.sum(dim=0)).clamp(min=1e-12)
    total = (plus + minus).sum(dim=0).clamp(min=1e-12)
    return plus / total, minus / total


def _minimum(x: Tensor, plus: Tensor, minus: Tensor, penalty: float) -> Tensor:
    """(k, f + 1) weights and bias on standardised features ``x``, (n, f)."""
    labels, size = plus.shape[1], x.shape[1]
    both = plus + minus

    def value_and_slope(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        point = torch.from_numpy(flat).view(labels, size + 1)
        weights = point[:, :-1]
        logits = x @ weights.T + point[:, -1]
        value = (both * F.softplus(logits) - plus * logits).sum()
        value = value + penalty / 2 * weights.square().sum()
        pull = both * torch.sigmoid(logits) - plus
        slope = torch.empty_like(point)
        torch.mm(pull.T, x, out=slope[:, :-1])
        slope[:, :-1] += penalty * weights
        slope[:, -1] = pull.sum(dim=0)
        return float(value), slope.flatten().numpy()

    start = np.zeros(labels * (size + 1))
    options = {
        "maxiter": SOLVER_STEPS,
        "maxfun": 2 * SOLVER_STEPS,
        "ftol": 1e-13,
        "gtol": LARGEST_SLOPE,
    }
    found = minimize(value_and_slope, start, jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x).view(labels, size + 1)
