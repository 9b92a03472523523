"""From a model's scores to probabilities that can be believed, and thresholds that hold.

Both are fitted on images that the model was not trained on, a label at a time. SciPy is loaded
where it is used: every trial loads this file, and hardly one of them fits anything.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrsearch.data.marks import known, present

CONFIDENCE = 0.9
"""Confidence, one-sided, with which a threshold's precision is at least the wanted one."""

LET_THROUGH = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Shares of the images that thresholds are tried to let through."""

_EDGE = 1e-6  # scores are kept this far from 0 and 1, so that they have a logit

Floats = NDArray[np.float64]


class Calibration(NamedTuple):
    """What is known of a model's scores, a label an entry; NaN where it is not known.

    Args:
        slope: (k,) of the calibrated logit over the score's own.
        offset: (k,) of the calibrated logit.
        floor: (k,) score from which on a positive is right with the wanted precision.
        ceiling: (k,) score up to which a negative is.
    """

    slope: Floats
    offset: Floats
    floor: Floats
    ceiling: Floats

    def probabilities(self, scores: NDArray[np.floating]) -> Floats:
        """(m, k) calibrated probabilities of (m, k) ``scores``."""
        from scipy.special import expit

        calibrated: Floats = expit(self.slope * _logits(scores) + self.offset)
        return calibrated


def calibrate(
    truth: NDArray[np.generic],
    scores: NDArray[np.floating],
    wanted: float,
    level: float = CONFIDENCE,
) -> Calibration:
    """Fit each label's `platt` scaling and `threshold` at both ends.

    Args:
        truth: (n, k), see `cxrsearch.data.marks`; what is unknown takes no part.
        scores: (n, k) probabilities as the model gives them.
        wanted: precision that the thresholds are to reach.
        level: as for `threshold`.
    """
    columns = []
    for told, labels, values in zip(known(truth).T, present(truth).T, scores.T, strict=True):
        labels, values = labels[told], values[told]
        if not len(labels):
            columns.append((np.nan,) * 4)
            continue
        slope, offset = platt(labels, values)
        floor = threshold(labels, values, wanted, level)
        ceiling = -threshold(~labels, -values, wanted, level)
        columns.append((slope, offset, floor, ceiling))
    return Calibration(*np.array(columns, float).reshape(-1, 4).T)


def platt(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> tuple[float, float]:
    """Slope and offset of the logistic regression of ``truth`` (n,) on the scores' logits.

    Platt's targets, (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) instead of 1 and 0, keep few positives
    from becoming certainties (Platt, Advances in Large Margin Classifiers 1999). The slope is at
    least 0, so that nobody's order is turned round.

    Returns:
        NaNs where there are positives only, or none.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    positives = int(truth.sum())
    if positives in (0, len(truth)):
        return float("nan"), float("nan")
    z = _logits(scores)
    targets = np.where(truth, (positives + 1) / (positives + 2), 1 / (len(truth) - positives + 2))

    def cost(found: Floats) -> tuple[float, Floats]:
        line = found[0] * z + found[1]
        miss = expit(line) - targets
        value = float(np.mean(np.logaddexp(0, line) - targets * line))
        return value, np.array([np.mean(miss * z), np.mean(miss)])

    start = np.array([1.0, 0.0])
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)])
    return float(found.x[0]), float(found.x[1])


def threshold(
    truth: NDArray[np.bool_],
    scores: NDArray[np.floating],
    wanted: float,
    level: float = CONFIDENCE,
) -> float:
    """The lowest score from which on positives are right at least ``wanted`` of the time.

    Tried are the scores that let the highest of `LET_THROUGH` through, and those equal to them.
    How often what is let through is right has a lower bound (Clopper & Pearson, Biometrika 1934,
    one-sided), taken at a confidence at which all of the bounds hold together with ``level``
    (Bonferroni): with every score tried at ``level`` itself, the best looking one flatters. Images
    are taken as independent; labels that were hidden tell what a threshold is worth.

    Args:
        truth: (n,) whether each is positive.
        scores: (n,) more is more positive.
        wanted: share, in (0, 1).
        level: confidence, in (0, 1).

    Returns:
        NaN where no score's bound is high enough.
    """
    order = np.argsort(-scores, kind="stable")
    values, right = scores[order], np.cumsum(truth[order].astype(np.int64))
    edges = values[[max(1, round(share * len(values))) - 1 for share in LET_THROUGH]]
    taken = np.searchsorted(-values, -edges, "right")  # equal scores are taken together
    bounds = lower_bound(right[taken - 1], taken, 1 - (1 - level) / len(LET_THROUGH))
    holds = bounds >= wanted
    return float(edges[np.flatnonzero(holds)[-1]]) if holds.any() else float("nan")


def lower_bound(
    right: NDArray[np.integer], taken: NDArray[np.integer], level: float = CONFIDENCE
) -> Floats:
    """One-sided lower bound of a share, ``right`` of ``taken``, at confidence ``level``."""
    from scipy.special import betaincinv

    right = np.asarray(right)
    bound = betaincinv(np.maximum(right, 1), taken - right + 1, 1 - level)
    return np.where(right > 0, bound, 0.0)


def _logits(scores: NDArray[np.floating]) -> Floats:
    from scipy.special import logit

    found: Floats = logit(np.clip(np.asarray(scores, float), _EDGE, 1 - _EDGE))
    return found
