"""Pictures of maps: the X-ray as the network saw it, the map over it, and a scale."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxrsearch.data.labels.boxes import Box
from search.files import write_bytes

from .colours import colours_of
from .frames import CELLS, Floats

SIDE = 256
"""Pixels of the longer side of a drawn X-ray."""

COVER = 0.75
"""How much of the X-ray a map hides where it is strongest."""

BAR, PANEL_GAP, TEXT = 12, 6, 52
"""Pixels: width of the scale, between parts, and of the scale's numbers."""

BOX_COLOUR = (0, 200, 0)


def draw_map(
    path: Path,
    grey: NDArray[np.uint8],
    found: Floats,
    place: tuple[float, float, float, float],
    boxes: Sequence[Box] = (),
) -> None:
    """Write a PNG: on the left the X-ray, on the right the map over it, with its scale in logits.

    Args:
        path: the file.
        grey: (H, W) what the network saw.
        found: (CELLS, CELLS), the map over the whole picture.
        place: top, left, height and width of what was seen, as shares of the picture.
        boxes: drawn over both.
    """
    shape = grey.shape
    stretch = SIDE / max(shape)
    size = (max(1, round(shape[1] * stretch)), max(1, round(shape[0] * stretch)))
    # What was seen stays as coarse as it was.
    picture = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.NEAREST))
    values = _over(found, place, size)
    most = float(np.abs(values).max())
    part = values / most if most > 0 else values
    cover = (COVER * np.abs(part))[..., None]
    plain = np.repeat(picture[..., None], 3, axis=2)
    over = np.rint(plain * (1 - cover) + colours_of(part) * cover).astype(np.uint8)
    wide = 2 * size[0] + 2 * PANEL_GAP + BAR + TEXT
    sheet = Image.new("RGB", (wide, size[1]), (255, 255, 255))
    for number, panel in enumerate((plain, over)):
        shown = Image.fromarray(np.ascontiguousarray(panel))
        _outline(shown, boxes, place)
        sheet.paste(shown, (number * (size[0] + PANEL_GAP), 0))
    _scale(sheet, 2 * (size[0] + PANEL_GAP), most)
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=4)
    write_bytes(path, file.getvalue())


def _over(
    found: Floats, place: tuple[float, float, float, float], size: tuple[int, int]
) -> NDArray[np.float64]:
    """(H, W) values of a map at the pixels of what was seen, bilinearly."""
    top, left, tall, wide = place
    rows = (top + (np.arange(size[1]) + 0.5) / size[1] * tall) * CELLS - 0.5
    columns = (left + (np.arange(size[0]) + 0.5) / size[0] * wide) * CELLS - 0.5
    first = max(0, round(top * CELLS)), max(0, round(left * CELLS))
    last = (
        min(CELLS, round((top + tall) * CELLS)),
        min(CELLS, round((left + wide) * CELLS)),
    )
    down = _line(rows, first[0], last[0] - 1)
    across = _line(columns, first[1], last[1] - 1)
    return np.asarray(down @ found.astype(np.float64) @ across.T)


def _line(at: NDArray[np.float64], first: int, last: int) -> NDArray[np.float64]:
    """(pixels, CELLS) bilinear weights; beyond ``first`` and ``last`` the border goes on."""
    at = np.clip(at, first, last)
    low = np.minimum(at.astype(int), CELLS - 2)
    way = np.zeros((len(at), CELLS))
    rows = np.arange(len(at))
    way[rows, low] = 1 - (at - low)
    way[rows, low + 1] = at - low
    return way


def _outline(
    picture: Image.Image, boxes: Sequence[Box], place: tuple[float, float, float, float]
) -> None:
    top, left, tall, wide = place
    pen = ImageDraw.Draw(picture)
    for box in boxes:
        x0, x1 = ((edge - left) / wide * picture.width for edge in (box.left, box.right))
        y0, y1 = ((edge - top) / tall * picture.height for edge in (box.top, box.bottom))
        pen.rectangle((x0, y0, x1, y1), outline=BOX_COLOUR, width=2)


def _scale(sheet: Image.Image, x: int, most: float) -> None:
    """The colours from the strongest for a finding, at the top, to the strongest against it."""
    values = np.linspace(1, -1, sheet.height)
    bar = np.repeat(colours_of(values)[:, None], BAR, axis=1)
    sheet.paste(Image.fromarray(np.ascontiguousarray(bar)), (x, 0))
    pen = ImageDraw.Draw(sheet)
    for value, y in ((most, 0), (0.0, sheet.height // 2 - 6), (-most, sheet.height - 12)):
        pen.text((x + BAR + 3, y), f"{value:+.3g}" if value else "0", fill=(0, 0, 0))
