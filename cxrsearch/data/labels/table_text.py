"""Tables as CSV text, so that no spreadsheet runs a name in them as a formula.

One rule for all that is written: no cell begins like a formula. The name of an image gets ``./`` in
front, which names the same file; other text gets an apostrophe. Numbers stay numbers, and what a
user's own table says (a sample's rows, the columns of a label table) stays as it is there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

RISKY = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How text starts that a spreadsheet would run as a formula (or strip to get at one)."""


def image_cell(name: str) -> str:
    """The name of an image, or its path, as a cell."""
    return f"./{name}" if name.startswith(RISKY) else name


def text_cell(text: str) -> str:
    """Any other text as a cell, its line ends those of Unix."""
    # A lone carriage return would end the line for some readers, and Python's csv leaves it bare.
    shield = "'" if text.startswith(RISKY) else ""
    return shield + text.replace("\r\n", "\n").replace("\r", "\n")


def number_cell(value: float | np.floating) -> str:
    """A number as the shortest text that reads back as the same one in its own precision."""
    return str(value)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV, with its header and Unix line ends."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
