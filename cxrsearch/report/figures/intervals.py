"""95% intervals of one figure, of a difference, of a mean: from few and clustered images too.

Which method covers how often is in docs/decisions/intervals.md, by `benchmarks.report.coverage`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr, ndtri, stdtrit

COVERED = 0.95
"""Share of the intervals that hold the truth."""

Z = float(ndtri((1 + COVERED) / 2))
"""Half width of an interval, in standard errors of a normal distribution."""

_LEAST_EFFECT = 0.5  # of few patients by chance; images of a patient are hardly that unlike

Ends = tuple[float, float]

Floats = NDArray[np.float64]


def critical(freedom: float, z: float = Z) -> float:
    """Student's quantile for ``freedom`` degrees that is as rare as the normal one at ``z``."""
    return z if freedom > 1e6 else float(-stdtrit(max(freedom, 1.0), ndtr(-z)))


def on_scale(scale: str, value: float, error: float, wide: float) -> Ends:
    """Ends at ``wide`` standard errors, symmetric on a scale on which they have no bound.

    Args:
        scale: "logit" for shares, "log" for positive numbers, "plain" for any.
        value: of the figure.
        error: its standard error, as it is measured; carried to the scale by its slope there.
        wide: half width in standard errors.
    """
    if scale == "logit":
        centre, half = logit(value), wide * error / (value * (1 - value))
        return float(expit(centre - half)), float(expit(centre + half))
    if scale == "log":
        half = wide * error / value
        return value * math.exp(-half), value * math.exp(min(half, 700.0))
    return value - wide * error, value + wide * error


def wilson(value: float, n: float, wide: float = Z) -> Ends:
    """Score interval of a share out of ``n`` (Wilson, JASA 1927); ``n`` need not be whole."""
    square = wide**2 / n
    centre = (value + square / 2) / (1 + square)
    half = math.sqrt(max(0.0, value * (1 - value) * square + square**2 / 4)) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)


def effective_size(hits: Floats, totals: Floats) -> tuple[float, float]:
    """How many independent images a share is worth, and its degrees of freedom.

    The size is the number of images over the design effect (Rao & Scott, Biometrics 1992), the
    ratio of the variance over patients to that of independent images. It is at least that of
    images which are the same within their patients; where all or none are hits, so that nothing
    varies, it is that.

    Args:
        hits: (p,) of each patient.
        totals: (p,) images of each patient that the share is out of.
    """
    totals, hits = totals[totals > 0], hits[totals > 0]
    n, patients = float(totals.sum()), len(totals)
    if not patients:
        return 0.0, 0.0
    share = hits.sum() / n
    alike = float((totals**2).sum()) / n
    plain = share * (1 - share) / n
    if patients < 2 or plain <= 0:
        return n / alike, max(1.0, patients - 1.0)
    variance = patients / (patients - 1) * float(((hits - share * totals) ** 2).sum()) / n**2
    return n / min(max(_LEAST_EFFECT, variance / plain), alike), patients - 1.0


def separated_auroc(value: float, positives: float, negatives: float, wide: float = Z) -> Ends:
    """Score-like interval of an AUROC, defined at 0 and 1 too (Newcombe, Stat Med 2006: method 5).

    Args:
        value: of the figure.
        positives: independent ones.
        negatives: independent ones.
        wide: half width in standard errors.
    """
    beside = (positives + negatives) / 2 - 1

    def error(true: float) -> float:
        inner = 1 + beside * (1 - true) / (2 - true) + beside * true / (1 + true)
        return math.sqrt(max(0.0, true * (1 - true) * inner / (positives * negatives)))

    def end(lower: bool) -> float:
        limit = 0.0 if lower else 1.0
        if value == limit:
            return limit
        side: Callable[[float], float] = lambda true: abs(value - true) - wide * error(true)  # noqa: E731
        near = value + (-1e-9 if lower else 1e-9)
        if side(limit) <= 0:
            return limit
        if side(near) >= 0:
            return value
        return float(brentq(side, min(limit, near), max(limit, near)))

    return end(True), end(False)


def difference(
    first: float, first_ends: Ends, second: float, second_ends: Ends, correlation: float
) -> Ends:
    """Ends of ``first - second`` from those of each (MOVER: Zou & Donner, Stat Med 2008).

    Args:
        first: a figure.
        first_ends: of its interval.
        second: the one that is taken away.
        second_ends: of its interval.
        correlation: between the two, over samples.
    """

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))

    gap = first - second
    low = gap - reach(first - first_ends[0], second_ends[1] - second)
    high = gap + reach(first_ends[1] - first, second - second_ends[0])
    return low, high
