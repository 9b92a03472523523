"""Images that cost nothing, which a generator has to beat."""

from __future__ import annotations

import numpy as np

from .principal import principal_axes

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
