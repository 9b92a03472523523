"""Lists of labels in one cell, and the words that say that there is none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .cell_marks import BLANK_WORDS
from .cells import TextColumn
from .columns import plain

SEPARATORS = ("|", ";", "\n", ",")
"""What stands between the labels of a cell; the first that is found in a column is taken."""
JOINTS = ("+", "&", "/", " and ")
"""What may stand between labels or within one, such as `Nodule/Mass`; it stands between them where
the words on its sides also stand in other cells."""
NOTHING_WORDS = frozenset((
    "nofinding", "nofindings", "normal", "normals", "negative", "healthy", "control", "controls",
    "noabnormality", "noabnormalities", "unremarkable", "noneofthese", "nonefound", "nodisease",
))  # fmt: skip
"""Words, as `plain` writes them, that say that none of the labels is there."""
NO_LABELS = frozenset(("unchanged", "exclude", "suboptimalstudy"))
"""Words of PadChest's radiologists about the study, not about the patient."""
UNUSABLE = frozenset(("exclude",))
"""An image with one of them is of no use."""
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")


def is_nothing(word: str) -> bool:
    """Whether ``word`` says that nothing was found."""
    return plain(word) in NOTHING_WORDS


def is_denial(word: str, others: Iterable[str]) -> bool:
    """Whether ``word`` says that one of ``others`` is not there, such as no_tb beside tb."""
    bare = re.sub(r"^(no|non|not|without)[\W_]*(?=.)", "", word.strip().lower())
    return bare != word.strip().lower() and plain(bare) in map(plain, others)


def split_cell(text: str, separator: str) -> list[str]:
    """The words of a cell.

    Args:
        text: the cell: words with ``separator`` between them, or a list as Python writes one.
        separator: what stands between them; empty: the whole cell is one word.
    """
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        found = [one or other for one, other in _QUOTED.findall(text)]
    else:
        found = text.split(separator) if separator else [text]
    words = [" ".join(word.split()) for word in found]
    return [word for word in words if word.lower() not in BLANK_WORDS - {"unknown", "none"}]


def separator_in(column: TextColumn) -> str:
    """What stands between the words of a column; empty where each cell is one word."""
    texts = [text for text, count in zip(column.texts, column.used, strict=True) if count]
    texts = [text.strip() for text in texts if not text.lstrip().startswith("[")]
    for separator in SEPARATORS:
        if any(separator in text for text in texts):
            return separator
    return next((joint for joint in JOINTS if _joins(texts, joint)), "")


def _joins(texts: Sequence[str], joint: str) -> bool:
    """Whether each word beside ``joint`` also stands in a cell without it, or in another one."""
    cells = {tuple(map(plain, split_cell(text, joint))) for text in texts}
    several = [cell for cell in cells if len(cell) > 1]
    times = Counter(word for cell in cells for word in set(cell))
    return bool(several) and all(times[word] > 1 for cell in several for word in cell)


def words_of(column: TextColumn, separator: str) -> dict[str, int]:
    """Every word of a column as it is mostly written, and in how many rows it stands."""
    counts: dict[str, int] = {}
    for text, count in zip(column.texts, column.used.tolist(), strict=True):
        if count:
            for word in dict.fromkeys(split_cell(text, separator)):
                counts[word] = counts.get(word, 0) + count
    return counts


def alike(counts: Mapping[str, int]) -> dict[str, str]:
    """Every word -> the commonest one that differs from it in case and marks alone."""
    best: dict[str, str] = {}
    for word in sorted(counts, key=lambda word: (-counts[word], word)):
        best.setdefault(_key(word), word)
    return {word: best[_key(word)] for word in counts}


def _key(word: str) -> str:
    return plain(word) or word


def marked(
    column: TextColumn, separator: str, places: Mapping[str, Sequence[int]], width: int
) -> np.ndarray:
    """``(n, width)`` float32: 1 where a row has a word of that place, else 0.

    Args:
        column: the cells.
        separator: what stands between the words.
        places: word, as `plain` writes it, -> the labels that it means.
        width: how many labels there are.
    """
    table = np.zeros((len(column.texts), width), np.float32)
    for row, text in enumerate(column.texts):
        for word in split_cell(text, separator):
            table[row, list(places.get(_key(plain(word)), ()))] = 1
    return np.asarray(table[column.codes])
