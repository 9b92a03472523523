"""How far generated images are from real ones: the kernel inception distance, and its interval.

Binkowski et al. (ICLR 2018): the squared maximum mean discrepancy, in its unbiased form, between
the features of two sets of images under the kernel k(x, y) = (x . y / d + 1)^3. It has no bias
that depends on the number of images, so that sets of a few hundred can be judged; it may come out
a little below 0 where two sets are alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SUBSETS = 100
"""Subsets whose distances make an interval."""


class Kid(NamedTuple):
    """A distance.

    Args:
        value: between the two whole sets.
        interval: 2.5% and 97.5% points of the distances between random halves of both: wider
            than the uncertainty of ``value``, which rests on all images.
    """

    value: float
    interval: tuple[float, float]


def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, d) and (m, d) features -> (n, m) values of the cubic kernel."""
    products = np.asarray(first, np.float64) @ np.asarray(second, np.float64).T
    cubes: np.ndarray = (products / first.shape[1] + 1) ** 3
    return cubes


def mmd2(within_x: np.ndarray, within_y: np.ndarray, between: np.ndarray) -> float:
    """The unbiased estimate of the squared discrepancy (Gretton et al. 2012, equation 3).

    Args:
        within_x: (n, n) kernel values, n at least 2.
        within_y: (m, m), m at least 2.
        between: (n, m).
    """
    means = [
        (values.sum() - np.trace(values)) / (len(values) * (len(values) - 1))
        for values in (within_x, within_y)
    ]
    return float(means[0] + means[1] - 2 * between.mean())


def kid(generated: np.ndarray, real: np.ndarray, seed: int, subsets: int = SUBSETS) -> Kid:
    """The distance of generated from real images.

    Args:
        generated: (n, d) features.
        real: (m, d).
        seed: of the subsets.
        subsets: how many.

    Raises:
        ValueError: where a set has fewer than 4 images.
    """
    if min(len(generated), len(real)) < 4:
        raise ValueError(f"{len(generated)} and {len(real)} images; 4 of each are needed")
    x, y = kernel(generated, generated), kernel(real, real)
    between = kernel(generated, real)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        i = rng.choice(len(x), len(x) // 2, replace=False)
        j = rng.choice(len(y), len(y) // 2, replace=False)
        found.append(mmd2(x[np.ix_(i, i)], y[np.ix_(j, j)], between[np.ix_(i, j)]))
    low, high = np.quantile(found, [0.025, 0.975])
    return Kid(mmd2(x, y, between), (float(low), float(high)))
