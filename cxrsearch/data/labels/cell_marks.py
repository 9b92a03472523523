"""What one cell says of one label: there, not there, uncertain, or nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from .cells import TextColumn

BLANK_WORDS = frozenset(
    ("", "nan", "na", "n/a", "none", "null", "<na>", "not mentioned", "unknown")
)
YES = frozenset(("1", "1.0", "yes", "y", "true", "t", "positive", "pos", "present"))
NO = frozenset(("0", "0.0", "no", "n", "false", "f", "negative", "neg", "absent"))
DOUBT = frozenset(("-1", "-1.0", "uncertain", "u", "?", "possible", "equivocal", "indeterminate"))
SIGNS = frozenset(("0", "1", "0.0", "1.0", "-1", "-1.0"))
"""How a mark is written in numbers."""


class Said(IntEnum):
    """What a cell says."""

    MARK = 0
    DOUBT = 1
    BLANK = 2
    NONSENSE = 3


@dataclass(frozen=True, eq=False)
class Marks:
    """What the rows of a table, or its images, say of the labels.

    Args:
        names: ``(k,)`` the labels.
        sources: ``(k,)`` the column or the word that each is read from.
        values: ``(n, k)`` float32: 0 to 1; NaN where it is no mark.
        said: ``(n, k)`` uint8, see `Said`.
    """

    names: tuple[str, ...]
    sources: tuple[str, ...]
    values: np.ndarray
    said: np.ndarray


def read_mark(text: str) -> tuple[float, Said]:
    """What one cell says, and its value where that is a mark."""
    word = text.strip().lower()
    if word in YES:
        return 1.0, Said.MARK
    if word in NO:
        return 0.0, Said.MARK
    if word in DOUBT:
        return math.nan, Said.DOUBT
    if word in BLANK_WORDS:
        return math.nan, Said.BLANK
    try:
        value = float(word)
    except ValueError:
        return math.nan, Said.NONSENSE
    if value == -1:
        return math.nan, Said.DOUBT
    return (value, Said.MARK) if 0 <= value <= 1 else (math.nan, Said.NONSENSE)


def read_column(column: TextColumn) -> tuple[np.ndarray, np.ndarray]:
    """Values ``(n,)`` float32 and what is said ``(n,)`` uint8 of a column of marks."""
    every = [read_mark(text) for text in column.texts]
    values = np.array([value for value, _ in every], np.float32)
    said = np.array([kind for _, kind in every], np.uint8)
    return values[column.codes], said[column.codes]


def is_of_marks(column: TextColumn, signs_only: bool = False) -> bool:
    """Whether a column says nothing but marks, a plain one of 0 or 1 among them.

    Args:
        column: the column.
        signs_only: words such as yes and no are no marks, nor are values between 0 and 1.
    """
    plain = False
    for text, count in zip(column.texts, column.used.tolist(), strict=True):
        if not count:
            continue
        value, said = read_mark(text)
        word = text.strip().lower()
        if said is Said.NONSENSE or (signs_only and word not in SIGNS and said is not Said.BLANK):
            return False
        plain = plain or value in (0, 1)
    return plain
