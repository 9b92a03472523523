"""Several rows of one image become one: boxes, and readers who may disagree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cxrsearch.data.marks import HALF

from .cell_marks import Marks, Said
from .cells import TextColumn

_DOUBT, _BLANK = -1.0, -2.0


def groups_of(column: TextColumn) -> tuple[np.ndarray, np.ndarray]:
    """The groups of equal cells, numbered as they first come.

    Returns:
        ``(n,)`` the group of each row, and ``(groups,)`` the first row of each.
    """
    names: dict[str, int] = {}
    own = np.array([names.setdefault(text.strip(), len(names)) for text in column.texts], np.int64)
    return _in_order(own[column.codes])


def _in_order(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[inverse], first[order]


def by_image(marks: Marks, group: np.ndarray, count: int) -> Marks:
    """What any row of an image says: a mark above doubt, doubt above nothing.

    Args:
        marks: of ``(n, k)`` rows.
        group: ``(n,)`` the image of each row.
        count: how many images there are.
    """
    score = np.where(marks.said == Said.MARK, marks.values, _BLANK)
    score = np.where(marks.said == Said.DOUBT, _DOUBT, score).astype(np.float32)
    most = np.full((count, score.shape[1]), _BLANK, np.float32)
    np.maximum.at(most, group, score)
    # A row that says no and one that is not sure: somebody has a doubt.
    doubt = np.zeros(most.shape, bool)
    np.logical_or.at(doubt, group, score == _DOUBT)
    said = np.where(most >= 0, Said.MARK, np.where(most == _DOUBT, Said.DOUBT, Said.BLANK))
    said = np.where(doubt & (most == 0), Said.DOUBT, said).astype(np.uint8)
    values = np.where(said == Said.MARK, most, np.nan).astype(np.float32)
    return Marks(marks.names, marks.sources, values, said)


def by_readers(
    marks: Marks, readers: TextColumn, image: np.ndarray, count: int, rule: str
) -> tuple[Marks, np.ndarray]:
    """What the readers of each image say together.

    A reader of an image is whoever has a row of it; a label that none of these rows names is one
    that this reader did not see.

    Args:
        marks: of ``(n, k)`` rows.
        readers: ``(n,)`` who says it.
        image: ``(n,)`` the image of each row.
        count: how many images there are.
        rule: one of `READERS`: more than half of the readers, any of them, or their mean. At half
            a majority is in doubt.

    Returns:
        the marks of the images, and ``(count,)`` how many readers each has.
    """
    who, _ = groups_of(readers)
    each, first = _in_order(image * (int(who.max()) + 1) + who)
    own = by_image(marks, each, len(first))
    whose = image[first]
    marked = own.said == Said.MARK
    votes = np.zeros((count, marked.shape[1]), np.float32)
    total = np.zeros_like(votes)
    np.add.at(votes, whose, marked.astype(np.float32))
    np.add.at(total, whose, np.where(marked, own.values, 0).astype(np.float32))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / votes
    said = by_image(own, whose, count).said
    said = np.where(votes > 0, Said.MARK, said).astype(np.uint8)
    if rule == "any":
        values = np.where(votes > 0, total > 0, np.nan)
    elif rule == "mean":
        values = mean
    else:
        values = np.where(votes > 0, mean > HALF, np.nan).astype(np.float32)
        tie = (votes > 0) & np.isclose(mean, HALF)
        values[tie] = np.nan
        said[tie] = Said.DOUBT
    counts = np.bincount(whose, minlength=count)
    return Marks(marks.names, marks.sources, values.astype(np.float32), said), counts


def readers_note(counts: np.ndarray, rule: str, ties: int) -> str:
    """How many readers the images have, and what was made of them."""
    few, most = int(counts.min()), int(counts.max())
    each = f"{few}" if few == most else f"{few} to {most}"
    tied = f"; {ties:,} marks are in doubt, as the readers are even" if ties else ""
    return f"{each} readers an image, taken together by readers: {rule}{tied}"


def repeated(images: Sequence[str]) -> bool:
    """Whether a name stands in more than one row."""
    return len(set(images)) < len(images)
