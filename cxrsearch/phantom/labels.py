"""Which diseases a phantom image has: NIH's prevalences and co-occurrences as a copula.

The latent model is a Gaussian copula: a standard normal vector with correlation ``R`` has
disease i where its i-th entry exceeds a threshold. ``R`` is found pair by pair from the
counts below (the tetrachoric correlation), the thresholds from the wanted prevalences.
Raising a rare disease's prevalence moves its threshold only, so that who goes with whom
stays as NIH has it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from cxrsearch.data.diseases import DISEASES

Array = npt.NDArray[Any]

NIH_IMAGES = 112_120
"""Frontal chest X-rays in NIH ChestX-ray14 (Wang et al., CVPR 2017; table of the release)."""

NIH_COUNTS: tuple[tuple[int, ...], ...] = (
    (11559, 370, 3275, 3264, 739, 590, 262, 774, 1223, 221, 424, 220, 496, 40),
    (370, 2776, 1063, 587, 102, 108, 41, 49, 169, 127, 44, 52, 111, 7),
    (3275, 1063, 13317, 4000, 1254, 912, 269, 996, 1287, 593, 359, 188, 849, 21),
    (3264, 587, 4000, 19894, 1159, 1546, 605, 946, 1221, 981, 449, 345, 750, 33),
    (739, 102, 1254, 1159, 5782, 906, 71, 431, 610, 129, 215, 117, 452, 25),
    (590, 108, 912, 1546, 906, 6331, 70, 341, 428, 131, 115, 166, 411, 10),
    (262, 41, 269, 605, 71, 70, 1431, 41, 123, 340, 23, 11, 48, 3),
    (774, 49, 996, 946, 431, 341, 41, 5302, 223, 33, 747, 80, 289, 9),
    (1223, 169, 1287, 1221, 610, 428, 123, 223, 4667, 162, 103, 79, 251, 4),
    (221, 127, 593, 981, 129, 131, 340, 33, 162, 2303, 30, 9, 64, 3),
    (424, 44, 359, 449, 215, 115, 23, 747, 103, 30, 2516, 36, 151, 4),
    (220, 52, 188, 345, 117, 166, 11, 80, 79, 9, 36, 1686, 176, 8),
    (496, 111, 849, 750, 452, 411, 48, 289, 251, 64, 151, 176, 3385, 8),
    (40, 7, 21, 33, 25, 10, 3, 9, 4, 3, 4, 8, 8, 227),
)
"""Images with both diseases, in the order of `DISEASES`; on the diagonal those with the one.

Counted over the published label table of all 112,120 images, ``Data_Entry_2017_v2020.csv``.
Source: NIH Clinical Center; X. Wang, Y. Peng, L. Lu, Z. Lu, M. Bagheri, R. M. Summers,
"ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks", CVPR 2017.
"""

MINIMUM_PREVALENCE = 0.08
"""Default share of the images that every disease has at least (NIH's Hernia has 0.2%)."""


def prevalences(minimum: float = MINIMUM_PREVALENCE) -> Array:
    """NIH's share of images with each disease, the rare ones raised to ``minimum``.

    Returns:
        (14,) float64 array; with ``minimum=0`` NIH's own.
    """
    return np.maximum(np.diag(np.array(NIH_COUNTS)) / NIH_IMAGES, minimum)


def joint_probability(prevalence: Array, correlation: Array) -> Array:
    """P(both) for each pair under the copula (Plackett 1954: dP/dr is the bivariate density).

    Args:
        prevalence: (k,) marginal probabilities.
        correlation: (k, k) latent correlations in (-1, 1).

    Returns:
        (k, k) array; the diagonal is meaningless.
    """
    limit = -ndtri(prevalence)
    a, b = limit[:, None], limit[None, :]
    nodes, weights = np.polynomial.legendre.leggauss(24)
    total = prevalence[:, None] * prevalence[None, :]
    for node, weight in zip(nodes, weights, strict=True):
        r = correlation * (node + 1) / 2
        spare = 1 - r * r
        density = np.exp(-(a * a - 2 * r * a * b + b * b) / (2 * spare)) / np.sqrt(spare)
        total = total + weight * correlation / 2 * density / (2 * np.pi)
    return np.asarray(total)


@lru_cache(maxsize=1)
def latent_correlation() -> Array:
    """(14, 14) correlation of the latent normals that gives NIH's co-occurrences.

    Every pair is solved by bisection; the whole is then made positive definite by lifting
    its negative eigenvalues, which moves single entries by a few hundredths.
    """
    counts = np.array(NIH_COUNTS, dtype=float)
    wanted = counts / NIH_IMAGES
    prevalence = np.diag(wanted)
    low = np.full(counts.shape, -0.98)
    high = np.full(counts.shape, 0.98)
    for _ in range(40):
        middle = (low + high) / 2
        less = joint_probability(prevalence, middle) < wanted
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    correlation = (low + high) / 2
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    fixed = vectors @ np.diag(np.maximum(values, 1e-4)) @ vectors.T
    scale = np.sqrt(np.diag(fixed))
    return np.asarray(fixed / scale[:, None] / scale[None, :])


def draw_labels(
    rng: np.random.Generator, images: int, minimum: float = MINIMUM_PREVALENCE
) -> Array:
    """Label vectors with NIH's prevalences (raised to ``minimum``) and co-occurrences.

    Returns:
        (images, 14) uint8 array of zeros and ones.
    """
    factor = np.linalg.cholesky(latent_correlation())
    latent = rng.standard_normal((images, len(DISEASES))) @ factor.T
    return np.asarray(ndtr(-latent) < prevalences(minimum)[None, :], dtype=np.uint8)
