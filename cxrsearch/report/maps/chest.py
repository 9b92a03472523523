"""How much of a map lies where no chest is.

The chest's window is a rounded rectangle in the middle of the picture,
``|(x - 0.5) / 0.42|^4 + |(y - 0.5) / 0.44|^4 <= 1``, with x and y as shares of width and height. It
is the same for all pictures and fitted to none: lungs, heart and diaphragm of a frontal X-ray lie
within it, while letters, corners and the film's border, by which a network may tell where an X-ray
comes from, lie outside.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .frames import CELLS, Floats

HALF_WIDTH, HALF_HEIGHT, ROUNDNESS = 0.42, 0.44, 4

CHEST_WINDOW = (
    f"|(x - 0.5) / {HALF_WIDTH}|^{ROUNDNESS} + |(y - 0.5) / {HALF_HEIGHT}|^{ROUNDNESS} <= 1, "
    "x and y as shares of the picture's width and height"
)


def chest_window() -> NDArray[np.bool_]:
    """(CELLS, CELLS): the places of the grid in the chest's window."""
    at = (np.arange(CELLS) + 0.5) / CELLS - 0.5
    x, y = np.abs(at / HALF_WIDTH) ** ROUNDNESS, np.abs(at / HALF_HEIGHT) ** ROUNDNESS
    return np.asarray(x[None, :] + y[:, None] <= 1)


def share_outside(maps: Floats, chest: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(...,) how much of the positive part of maps (..., CELLS, CELLS) lies outside ``chest``.

    NaN where a map is positive nowhere.
    """
    positive = np.maximum(maps, 0, dtype=np.float32)
    total = positive.sum((-2, -1), dtype=np.float64)
    outside = (positive * ~chest).sum((-2, -1), dtype=np.float64)
    return np.where(total > 0, outside / np.where(total > 0, total, 1), np.nan)
