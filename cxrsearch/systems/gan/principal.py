"""Principal components: the best that a linear map can make of images."""

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
