"""Pillow's Lanczos resize of an 8-bit grey picture, to the last bit, as matrix products.

Pillow filters the rows, rounds to 8 bits, and then filters the columns (or first the columns:
which, has changed between its versions, and this keeps to the order of one); its weights are
integers of 22 binary places, so that a sum has one right value whatever its order. Sums of
such products fit a double exactly. So numpy's matrix product gives the same grey levels as
Pillow's loop, and is several times faster. The method is the one of Pillow's ``Resample.c``.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import NamedTuple

import numpy as np

LOBES = 3.0
"""Reach of the Lanczos filter, in pixels of the smaller picture."""
PLACES = 22
"""Binary places of a weight."""
BLOCK = 8
"""Neighbouring outputs that share one product; their windows overlap for the most part."""
PIECE_PIXELS = 1 << 10
"""Pixels held as doubles at once, an output: a core's cache has room for them, and there are as
many products for any size. In between them Python's lock is held, so they must be few."""
MOST_DOUBLES = 1 << 19
"""The most pixels held as doubles at once: 4 MiB, twice a thread."""


_rooms = threading.local()


class Block(NamedTuple):
    """The weights of a few neighbouring outputs.

    Args:
        outputs: which.
        inputs: those that any of them looks at.
        weights: ``(inputs, outputs)``, multiples of ``2 ** -PLACES``.
    """

    outputs: slice
    inputs: slice
    weights: np.ndarray


def resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """``picture``, ``(h, w)`` uint8, stretched or shrunk to ``(height, width)`` uint8.

    The same as ``resize((width, height), Resampling.LANCZOS)`` of Pillow 13 in mode L.
    """
    rows, columns = picture.shape
    # What is shortened much more than narrowed is shortened first, as in Pillow from 13 on.
    tall = rows - height > max(0, 2 * (columns - width))
    for axis in (0, 1) if tall else (1, 0):
        if axis == 1 and columns != width:
            picture = _filter_rows(picture, blocks(columns, width), width)
        if axis == 0 and rows != height:
            picture = _filter_columns(picture, blocks(rows, height), height)
    return picture


def _filter_rows(picture: np.ndarray, plan: tuple[Block, ...], width: int) -> np.ndarray:
    rows, columns = picture.shape
    step = _lines(columns, width)
    result = np.empty((rows, width), np.uint8)
    for start in range(0, rows, step):
        part = picture[start : start + step]
        levels = _room("levels", *part.shape)
        np.copyto(levels, part)
        sums = _room("sums", len(part), width)
        for block in plan:
            np.matmul(levels[:, block.inputs], block.weights, out=sums[:, block.outputs])
        _round(sums, result[start : start + step])
    return result


def _filter_columns(picture: np.ndarray, plan: tuple[Block, ...], height: int) -> np.ndarray:
    rows, columns = picture.shape
    step = _lines(rows, height)
    result = np.empty((height, columns), np.uint8)
    for start in range(0, columns, step):
        part = picture[:, start : start + step]
        levels = _room("levels", *part.shape)
        np.copyto(levels, part)
        sums = _room("sums", height, part.shape[1])
        for block in plan:
            np.matmul(block.weights.T, levels[block.inputs], out=sums[block.outputs])
        _round(sums, result[:, start : start + step])
    return result


def _lines(inputs: int, outputs: int) -> int:
    """How many lines of so many pixels are filtered at once."""
    return max(1, min(PIECE_PIXELS * outputs, MOST_DOUBLES) // max(inputs, outputs))


def _room(use: str, rows: int, columns: int) -> np.ndarray:
    """Doubles that this thread used before: new ones would come from the system page by page."""
    flat = getattr(_rooms, use, None)
    if flat is None or flat.size < rows * columns:
        flat = np.empty(rows * columns)
        setattr(_rooms, use, flat)
    found: np.ndarray = flat[: rows * columns].reshape(rows, columns)
    return found


def _round(sums: np.ndarray, result: np.ndarray) -> None:
    """Nearest grey levels, halves upwards; what the filter overshoots is cut off."""
    sums += 0.5
    np.clip(sums, 0.0, 255.0, out=sums)
    np.copyto(result, sums, casting="unsafe")  # cuts the places off


@lru_cache(maxsize=256)
def blocks(inputs: int, outputs: int) -> tuple[Block, ...]:
    """The weights that take ``inputs`` pixels in a line to ``outputs``."""
    first, weights = _weights(inputs, outputs)
    taps = np.arange(weights.shape[1])
    found = []
    for start in range(0, outputs, BLOCK):
        stop = min(start + BLOCK, outputs)
        low = int(first[start])
        places = first[start:stop, None] - low + taps
        window = np.zeros((stop - start, int(places.max()) + 1))
        np.put_along_axis(window, places, weights[start:stop], axis=1)
        window = window[:, : inputs - low]  # what lies beyond the border has no weight
        found.append(
            Block(
                slice(start, stop),
                slice(low, low + window.shape[1]),
                np.ascontiguousarray(window.T),
            )
        )
    return tuple(found)


def _weights(inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """First input ``(outputs,)`` and weights ``(outputs, taps)``, 0 beyond the border."""
    scale = inputs / outputs
    stretch = max(scale, 1.0)
    reach = LOBES * stretch
    centre = (np.arange(outputs) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), inputs)
    place = first[:, None] + np.arange(int((last - first).max()))
    x = (place - centre[:, None] + 0.5) * (1.0 / stretch)
    weights = np.where((x >= -LOBES) & (x < LOBES), np.sinc(x) * np.sinc(x / LOBES), 0.0)
    weights[place >= last[:, None]] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    units = np.trunc(weights * (1 << PLACES) + np.copysign(0.5, weights))
    return first, units / (1 << PLACES)
