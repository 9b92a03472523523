"""Stacking: a logistic regression for each label over what the members say (Wolpert, 1992).

Plain stacking, with as many free weights as members for a label with a few dozen positives,
overfits: correlated members get large weights of opposite signs. Three things hold it back
here. The members' logits are z-scored and the weights get a normal prior about 0 (ridge): the
stronger it is, the nearer the direction comes to the members' mean difference between sick
and healthy, so that every member counts by how well it separates. Several strengths are
averaged instead of one being chosen by few positives. And the members' mean for the other
labels joins in, under the same prior: an effusion says something about an infiltration
(label correlation, as in Godbole & Sarawagi, PAKDD 2004).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cxrsearch.data.marks import known, present

from .scale import Array, sigmoid

STRENGTHS = (2.0, 6.0, 20.0)
"""Precision of the prior, in multiples of the number of members."""

PLAIN = (1.0,)
"""What logistic regression is commonly run with (scikit-learn's C = 1), not a multiple."""

NEWTON_STEPS = 30
"""Newton steps at most; six or so are enough."""


class Stack(NamedTuple):
    """Weights (k, d), cross weights (d, d) and biases (d,), as `Ensemble` takes them."""

    weights: Array
    cross: Array
    bias: Array


def stack(x: Array, truth: Array, precisions: tuple[float, ...], cross: bool) -> Stack:
    """Logistic regressions, one a label, averaged over prior precisions.

    Each is fitted on the images of which its label is known.

    Args:
        x: (k, n, d) z-scores of the members' logits.
        truth: (n, d) marks; every column with both classes.
        precisions: of the prior of each weight; the loss is a sum over images.
        cross: whether the members' mean for other labels joins in.

    Returns:
        the mean of the regressions' coefficients over ``precisions``.
    """
    k, _, d = x.shape
    found = Stack(np.zeros((k, d)), np.zeros((d, d)), np.zeros(d))
    mean = x.mean(axis=0)
    spread = np.maximum(mean.std(axis=0), 1e-12)
    for column in range(d):
        others = np.delete(np.arange(d), column) if cross else np.zeros(0, dtype=int)
        features = np.concatenate(
            [x[:, :, column].T, mean[:, others] / spread[others]], axis=1
        ).astype(np.float64)
        marks, there = truth[:, column], known(truth[:, column])
        if not there.all():
            features, marks = features[there], marks[there]
        path = _path(features, present(marks), sorted(precisions, reverse=True))
        found.weights[:, column] = path[:k]
        found.cross[others, column] = path[k:-1] / spread[others]
        found.bias[column] = path[-1]
    return found


def _path(features: Array, truth: Array, precisions: list[float]) -> Array:
    """Mean coefficients (f + 1,), the intercept last; each fit starts where the last ended."""
    share = truth.mean()
    start = np.zeros(features.shape[1] + 1)
    start[-1] = np.log(share / (1 - share))
    design = np.column_stack([features, np.ones(len(features))])
    fits = []
    for precision in precisions:
        start = logistic(design, truth, precision, start)
        fits.append(start)
    return np.asarray(np.mean(fits, axis=0))


def logistic(design: Array, truth: Array, precision: float, start: Array) -> Array:
    """Minimise the summed log loss + precision / 2 |w|^2 by Newton's method, halving steps.

    Args:
        design: (n, f) features; the last one, the constant, has no prior.
        truth: (n,) bool.
        precision: of the prior, above 0.
        start: (f,).

    Returns:
        (f,) coefficients.
    """
    prior = np.full(design.shape[1], precision)
    prior[-1] = 1e-6
    signs = np.where(truth, 1.0, -1.0)

    def loss(w: Array) -> float:
        return float(np.logaddexp(0.0, -signs * (design @ w)).sum() + 0.5 * prior @ (w * w))

    w, value = start, loss(start)
    for _ in range(NEWTON_STEPS):
        p = sigmoid(np.clip(design @ w, -500, 500))
        gradient = design.T @ (p - truth) + prior * w
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(prior)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (new := loss(w - size * step)) > value and size > 1e-4:
            size /= 2
        w, gain = w - size * step, value - new
        value = new
        if gain < 1e-6 * (1.0 + abs(value)):
            break
    return np.asarray(w)
