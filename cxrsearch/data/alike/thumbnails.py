"""Every image as a few hundred numbers: small enough to compare all of them with one another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

THUMBNAIL_SIDE = 32
"""Pixels a side of a thumbnail."""
THUMBNAIL_BLOCK = 1024
"""Thumbnails that are worked on at once."""
FRAMES = 128
"""Images of full size that are."""
DARK, BRIGHT = 20.0, 235.0
"""Grey levels that count as black and as white."""
SHOWING = 0.05
"""Share of a thumbnail that has to be neither for the image to show anything."""
FLAT = 6.0
"""Deviation of the grey levels below which a picture is nearly one grey; NIH's least is 25."""
MEDIAN_SAMPLE = 4096
"""Images at most that a median over the set is taken of, evenly spread."""


def thumbnails(
    images: np.ndarray,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    to: int = THUMBNAIL_SIDE,
) -> np.ndarray:
    """Shrink every image by averaging the area under each pixel.

    Args:
        images: ``(n, side, side)`` uint8, such as a cache's; read block by block.
        on_progress: called with images done and images in all.
        to: pixels a side of a thumbnail.

    Returns:
        ``(n, to, to)`` float32 grey levels, 0 to 255.
    """
    count, side = len(images), images.shape[-1]
    weights = _area_weights(side, to)
    small = np.empty((count, to, to), np.float32)
    on_progress(0, count)
    for start in range(0, count, FRAMES):
        block = np.asarray(images[start : start + FRAMES], np.float32)
        narrow = (block.reshape(-1, side) @ weights.T).reshape(len(block), side, to)
        small[start : start + len(block)] = weights @ narrow
        on_progress(start + len(block), count)
    return small


def _area_weights(side: int, to: int) -> np.ndarray:
    """``(to, side)``: how much of each pixel lies under each pixel of a thumbnail."""
    edges = np.linspace(0, side, to + 1)
    pixel = np.arange(side)
    low = np.maximum(edges[:-1, None], pixel)
    high = np.minimum(edges[1:, None], pixel + 1)
    weights: np.ndarray = (np.maximum(high - low, 0) * to / side).astype(np.float32)
    return weights


def blanks(small: np.ndarray) -> np.ndarray:
    """Which of the thumbnails ``(n, 32, 32)`` show nothing: ``(n,)`` int, 0 where one
    shows something, 1 nearly black, 2 nearly white, 3 nearly one grey."""
    flat = small.reshape(len(small), -1)
    kinds = np.zeros(len(small), int)
    kinds[flat.std(axis=1) < FLAT] = 3
    kinds[(flat < BRIGHT).mean(axis=1) < SHOWING] = 2
    kinds[(flat > DARK).mean(axis=1) < SHOWING] = 1
    return kinds


def detail(small: np.ndarray, width: float) -> np.ndarray:
    """What is finer than ``width``: neither brightness and contrast nor the exposure's slope.

    Args:
        small: ``(n, 32, 32)``.
        width: deviation in pixels of the Gaussian whose picture is taken off.

    Returns:
        ``(n, 1024)`` float32, each row of mean 0 and length 1 (all 0 for a flat picture). A
        turned thumbnail gives the turned detail, and an inverted one its negative.
    """
    fine = np.empty((len(small), THUMBNAIL_SIDE * THUMBNAIL_SIDE), np.float32)
    for start in range(0, len(small), THUMBNAIL_BLOCK):
        block = small[start : start + THUMBNAIL_BLOCK]
        sharp = block - gaussian_filter(block, (0, width, width))
        fine[start : start + len(block)] = sharp.reshape(len(block), -1)
    return unit(fine)


def unit(rows: np.ndarray) -> np.ndarray:
    """``rows`` ``(n, k)`` with mean 0 and length 1, in place; a constant row becomes 0."""
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(length > 1e-3, length, np.inf)
    return rows


def typical(rows: np.ndarray) -> np.ndarray:
    """The median of ``rows`` ``(n, k)``, over `MEDIAN_SAMPLE` of them at most: ``(k,)``."""
    step = -(-len(rows) // MEDIAN_SAMPLE)
    median: np.ndarray = np.median(rows[::step], axis=0)
    return median
