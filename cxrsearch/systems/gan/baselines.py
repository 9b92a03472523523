"""Images that cost nothing, which a generator has to beat."""

from __future__ import annotations

import numpy as np


def principal_axes(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of ``rows``, and the directions in which they differ most.

    With z standard normal, ``mean + z @ axes`` follows the normal distribution of the rows
    along these directions (Tipping & Bishop 1999, without the noise term).

    Args:
        rows: (n, d) numbers.
        count: directions at most.

    Returns:
        (d,) mean and (k, d) axes, float64, the longest first, as long as the rows' standard
        deviation is along them: ``count`` or, where there are fewer rows or columns, n - 1 or d.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = rows - mean
    n, d = centred.shape
    kept = min(count, n - 1, d)
    if d <= n:
        values, vectors = np.linalg.eigh(centred.T @ centred / max(1, n - 1))
        found = vectors[:, ::-1].T[:kept]
    else:  # the same by the smaller of the two products
        values, sides = np.linalg.eigh(centred @ centred.T / max(1, n - 1))
        found = sides[:, ::-1].T[:kept] @ centred
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), np.finfo(float).tiny)
    lengths = np.sqrt(np.maximum(values[::-1][:kept], 0.0))
    return mean, found * lengths[:, None]


COMPONENTS = 64
"""Principal components of the Gaussian baseline."""


def noise(count: int, side: int, seed: int) -> np.ndarray:
    """(count, side, side) uint8, every pixel on its own."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, side, side), np.uint8)


def mean_image(images: np.ndarray, count: int) -> np.ndarray:
    """``count`` times the mean of (n, S, S) images, uint8."""
    mean = np.rint(images.mean(axis=0)).astype(np.uint8)
    return np.repeat(mean[None], count, axis=0)


def gaussian(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws from the normal distribution with the mean and principal components of ``images``.

    The best that a linear model can do, and blurred: what a generator adds to it is more than
    the position and size of things.

    Args:
        images: (n, S, S) uint8, n at least 2.
        count: images wanted.
        seed: of the draws.

    Returns:
        (count, S, S) uint8.
    """
    mean, axes = principal_axes(images.reshape(len(images), -1), COMPONENTS)
    draws = np.random.default_rng(seed).standard_normal((count, len(axes)))
    drawn = mean + draws @ axes
    levels: np.ndarray = np.rint(drawn.clip(0, 255)).astype(np.uint8)
    return levels.reshape(count, *images.shape[1:])
