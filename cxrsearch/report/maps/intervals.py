"""Means over images with intervals over patients, of whom each may have several images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from cxrsearch.report.figures.figure import Figure

INTERVAL_FROM = 2

MAP_LEVEL = 0.95


def patients_error(values: NDArray[np.float64], patients: np.ndarray) -> tuple[float, int]:
    """Standard error of a mean over images that come in patients, and how many these are.

    The mean is a ratio of sums over patients, whose variance follows from the residuals' sums
    (Cochran, "Sampling Techniques", 1977, section 9.4).
    """
    _, who = np.unique(patients, return_inverse=True)
    sums = np.bincount(who, values - values.mean())
    count = len(sums)
    if count < INTERVAL_FROM:
        return math.nan, count
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(values)), count


def mean_figure(
    values: NDArray[np.float64],
    patients: np.ndarray,
    part: str,
    what: str = "a map",
    least: float = -math.inf,
    most: float = math.inf,
) -> Figure:
    """A mean over images with its 95% interval, by the t distribution over patients.

    Args:
        values: (n,), NaN where there is none.
        patients: (n,) whom each image shows.
        part: what it is measured on.
        what: that a value is of, for the reason where there is none.
        least: no mean can be lower, and the interval ends there.
        most: likewise, higher.
    """
    there = np.isfinite(values)
    n = int(there.sum())
    if not n:
        return Figure(None, None, None, 0, 0, part, reason=f"no image with {what}")
    values, patients = values[there], patients[there]
    error, count = patients_error(values, patients)
    value = float(values.mean())
    if count < INTERVAL_FROM:
        return Figure(value, None, None, n, n, part, reason="one patient has no interval")
    reach = float(t.ppf(0.5 + MAP_LEVEL / 2, count - 1)) * error
    return Figure(value, max(least, value - reach), min(most, value + reach), n, n, part)


def rate_figure(
    hits: NDArray[np.float64], patients: np.ndarray, part: str, what: str = "a box"
) -> Figure:
    """A share of images with Wilson's 95% interval, over as many images as the patients are worth.

    That number is n over the design effect (Kish 1965): n times the variance of a share of
    independent images over its variance with images in patients; at most n. Where all images agree
    it is the number of patients.

    Args:
        hits: (n,) in [0, 1], NaN where there is none.
        patients: (n,) whom each image shows.
        part: what it is measured on.
        what: that an image has, for the reason where there is none.
    """
    there = np.isfinite(hits)
    n = int(there.sum())
    if not n:
        return Figure(None, None, None, 0, 0, part, reason=f"no image with {what}")
    hits, patients = hits[there], patients[there]
    error, count = patients_error(hits, patients)
    p = float(hits.mean())
    if count < INTERVAL_FROM:
        return Figure(p, None, None, n, n, part, reason="one patient has no interval")
    worth = float(count)
    if error > 0:
        worth = min(float(n), p * (1 - p) / error**2)
    z = float(norm.ppf(0.5 + MAP_LEVEL / 2))
    middle = (p + z * z / (2 * worth)) / (1 + z * z / worth)
    reach = z / (1 + z * z / worth) * math.sqrt(p * (1 - p) / worth + (z / (2 * worth)) ** 2)
    return Figure(p, max(0.0, middle - reach), min(1.0, middle + reach), n, n, part)


def known_figure(value: float, n: int, part: str, why: str) -> Figure:
    """A number that is computed, not estimated, and has no interval; ``why`` says of what."""
    return Figure(value, None, None, n, n, part, reason=f"no interval: {why}")
