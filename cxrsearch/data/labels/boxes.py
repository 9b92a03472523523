"""Tables of boxes: where on an image a finding was drawn in, as NIH's ``BBox_List_2017.csv``.

A row has the image, the finding, and the box: left, top, width and height. NIH's header breaks
``Bbox [x,y,w,h]`` at its commas and ends in three empty columns; both are read as they are. NIH's
coordinates are pixels of its pictures of 1024 x 1024, whatever the size of a copy of them, and that
is what such a table means here. A table of other pictures says their size in two columns more,
``Image Width`` and ``Image Height``. Pictures are stretched to a square here, so that a box is kept
as shares of width and height.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cxrsearch.errors import InputError
from search.files import write_text

from .names import plain_name

BOX_SIDE = 1024.0
"""Pixels a side of the pictures that NIH's boxes are of."""

BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
"""As NIH wrote it."""

LARGEST_TABLE = 64 << 20
"""Bytes of a table at most; NIH's 984 boxes take 96 kB."""

FAULTS_SHOWN = 10

OTHER_NAMES = {"infiltrate": "infiltration"}
"""What findings are called in tables of boxes, without marks, and what the label table says."""

BOX_IMAGE_COLUMNS = ("imageindex", "image", "imageid", "filename")
BOX_LABEL_COLUMNS = ("findinglabel", "finding", "label", "classname")
_CORNERS = {"bboxx": "x", "x": "x", "y": "y", "w": "w", "h": "h", "width": "w", "height": "h"}
_SIZES = {"imagewidth": "image width", "imageheight": "image height"}


class Box(NamedTuple):
    """A finding's place on an image, as shares of the image's width and height.

    Args:
        image: the image, as the table calls it.
        label: the finding, as the table calls it.
        left: 0 at the image's left border.
        top: 0 at its upper border.
        right: 1 at its right border.
        bottom: 1 at its lower border.
        line: of the table.
    """

    image: str
    label: str
    left: float
    top: float
    right: float
    bottom: float
    line: int


def read_boxes(path: Path) -> tuple[Box, ...]:
    """The boxes of a table like NIH's ``BBox_List_2017.csv``.

    Raises:
        InputError: where it is not there, is no such table, has no box, or has rows that cannot be
            right; these are named by line and value.
    """
    try:
        rows = list(csv.reader(io.StringIO(_text(path))))
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}); restore it") from error
    place = _columns(path, rows[0] if rows else [])
    boxes, problems = list[Box](), list[str]()
    for line, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        found = _box(row, line, place)
        if isinstance(found, Box):
            boxes.append(found)
        else:
            problems.append(f"{path}, line {line}: {found}")
    if problems:
        more = len(problems) - FAULTS_SHOWN
        raise InputError(
            problems[:FAULTS_SHOWN] + [f"{path}: {more} more lines like these"] * (more > 0)
        )
    if not boxes:
        raise InputError(f"{path}: no box in it; give a table with a row a box")
    return tuple(boxes)


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file; give a table like NIH's BBox_List_2017.csv")
        if path.stat().st_size > LARGEST_TABLE:
            raise InputError(f"{path}: {path.stat().st_size:,} bytes are too many for boxes")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        why = "it is no UTF-8 text" if isinstance(error, ValueError) else error.strerror
        raise InputError(f"{path}: cannot be read ({why}); give a table as CSV") from error
    if "\0" in text or max(map(len, text.splitlines()), default=0) > 1 << 16:
        raise InputError(f"{path}: no table of boxes; give one like NIH's BBox_List_2017.csv")
    return text


def _columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Where image, label, x, y, w, h and the picture's size are in a row."""
    place: dict[str, int] = {}
    for column, cell in enumerate(header):
        name = plain_name(cell)
        known = {**_CORNERS, **_SIZES}.get(name)
        if name in BOX_IMAGE_COLUMNS:
            known = "image"
        elif name in BOX_LABEL_COLUMNS:
            known = "label"
        if known is not None:
            place.setdefault(known, column)
    missing = [name for name in ("image", "label", "x", "y", "w", "h") if name not in place]
    if missing:
        seen = ", ".join(map(repr, header[:12])) or "nothing"
        raise InputError(
            f"{path}, line 1: no column for {', '.join(missing)} among {seen[:300]}; NIH's header "
            f"is {BOX_HEADER!r}"
        )
    sizes = [name for name in _SIZES.values() if name in place]
    if len(sizes) == 1:
        raise InputError(
            f"{path}, line 1: a column {sizes[0]!r} alone; give Image Width and Image Height both"
        )
    return place


def _box(row: Sequence[str], line: int, place: dict[str, int]) -> Box | str:
    """A row's box, or what is wrong with it."""
    cells = {name: row[at].strip() if at < len(row) else "" for name, at in place.items()}
    for name in ("image", "label"):
        if not cells[name]:
            return f"no {name}; fill the cell or remove the row"
    numbers: dict[str, float] = {"image width": BOX_SIDE, "image height": BOX_SIDE}
    for name in [name for name in cells if name not in ("image", "label")]:
        value = _number(cells[name])
        if value is None:
            return f"{name} is {cells[name][:40]!r}; give a number of pixels"
        numbers[name] = value
    x, y, w, h = (numbers[name] for name in "xywh")
    wide, tall = numbers["image width"], numbers["image height"]
    if wide < 1 or tall < 1:
        return f"the picture is {wide:g} x {tall:g} pixels; give its width and height"
    if w <= 0 or h <= 0:
        return f"the box is {w:g} wide and {h:g} high; both are more than 0"
    if x < -1 or y < -1 or x + w > wide + 1 or y + h > tall + 1:
        return (
            f"the box reaches from ({x:g}, {y:g}) to ({x + w:g}, {y + h:g}), beyond a picture of "
            f"{wide:g} x {tall:g} pixels; where the boxes are of pictures of another size than "
            "NIH's, say it in columns Image Width and Image Height"
        )
    edges = (x / wide, y / tall, (x + w) / wide, (y + h) / tall)
    left, top, right, bottom = (min(1.0, max(0.0, edge)) for edge in edges)
    return Box(cells["image"], cells["label"], left, top, right, bottom, line)


def _number(text: str) -> float | None:
    if not re.fullmatch(r"[+-]?(\d{1,12}(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def box_label(name: str, labels: Sequence[str]) -> str | None:
    """That of ``labels`` which a table of boxes calls ``name``, or None.

    ``Infiltrate`` is Infiltration; case, spaces and marks do not matter.
    """
    plain = plain_name(name)
    known = {plain_name(label): label for label in labels}
    return known.get(plain) or known.get(OTHER_NAMES.get(plain, plain))


def images_called(names: Sequence[str], called: Iterable[str]) -> dict[str, int]:
    """Where the images of a table are among ``names``: by name, or by file name or stem alone.

    Those that are not there, or that several could be, are left out.
    """
    by: tuple[dict[str, list[int]], ...] = ({}, {}, {})
    for row, name in enumerate(names):
        for known, key in zip(by, _keys(name), strict=True):
            known.setdefault(key, []).append(row)
    found: dict[str, int] = {}
    for image in called:
        for known, key in zip(by, _keys(image), strict=True):
            if rows := known.get(key):
                if len(rows) == 1:
                    found[image] = rows[0]
                break
    return found


def _keys(name: str) -> tuple[str, str, str]:
    file = name.replace("\\", "/").rpartition("/")[2]
    return name, file, file.rpartition(".")[0] or file


def write_boxes(path: Path, boxes: Iterable[Box]) -> None:
    """Write a table as NIH's, in pixels of `BOX_SIDE`."""
    text = io.StringIO()
    text.write(BOX_HEADER + "\n")
    rows = csv.writer(text, lineterminator="\n")
    for box in boxes:
        edges = [box.left, box.top, box.right - box.left, box.bottom - box.top]
        cells = [f"{edge * BOX_SIDE:.10g}" for edge in edges]
        rows.writerow((box.image, box.label, *cells, "", "", ""))
    write_text(path, text.getvalue())
