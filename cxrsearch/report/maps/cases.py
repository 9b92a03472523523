"""Which images a reader is shown: the extremes of a label's scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrsearch.data.marks import absent, present

CASE_RIGHT, CASE_WRONG, CASE_OPEN = "right", "wrong", "no_threshold"
"""Kinds of cases: as the operating threshold decides, and those that none decides."""


class MapCase(NamedTuple):
    """An image that is shown with a label's map.

    Args:
        row: of the image among those judged.
        column: of the label.
        kind: `CASE_RIGHT`, `CASE_WRONG` or `CASE_OPEN`.
        what: in words: the positive with the highest score, and so on.
        name: of it in file names.
    """

    row: int
    column: int
    kind: str
    what: str
    name: str


def extreme_cases(
    marks: np.ndarray, scores: np.ndarray, thresholds: np.ndarray | None = None
) -> list[MapCase]:
    """Of each label the positive with the highest score, the negative with the highest and the
    positive with the lowest, right or wrong by the label's threshold.

    Args:
        marks: (n, k), see `cxrsearch.data.marks`.
        scores: (n, k).
        thresholds: (k,) an image is positive from this score on; NaN, or None for all: there is
            none, and no case is called right or wrong.
    """
    limits = np.full(scores.shape[1], np.nan) if thresholds is None else thresholds
    found = []
    for column in range(scores.shape[1]):
        there, gone = present(marks[:, column]), absent(marks[:, column])
        own = scores[:, column].astype(np.float64)
        highest = _best(own, there)
        lowest = _best(-own, there)
        false = _best(own, gone)
        for row, end, mark in (
            (highest, "highest", "positive"),
            (false, "highest", "negative"),
            (None if lowest == highest else lowest, "lowest", "positive"),
        ):
            if row is not None:
                kind = _kind(float(own[row]), mark == "positive", float(limits[column]))
                what = f"the {mark} with the {end} score"
                found.append(MapCase(row, column, kind, what, f"{end}-{mark}"))
    return found


def _kind(score: float, positive: bool, threshold: float) -> str:
    """What the threshold makes of a case."""
    if np.isnan(threshold):
        return CASE_OPEN
    return CASE_RIGHT if (score >= threshold) == positive else CASE_WRONG


def _best(scores: NDArray[np.float64], among: NDArray[np.bool_]) -> int | None:
    """The first of the highest ``scores`` ``among`` images."""
    rows = np.flatnonzero(among & np.isfinite(scores))
    return int(rows[np.argmax(scores[rows])]) if len(rows) else None


def spread(rows: np.ndarray, most: int) -> NDArray[np.int64]:
    """At most so many of ``rows``, evenly spread over them, in their order."""
    if len(rows) <= most:
        return np.asarray(rows, np.int64)
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).round().astype(int)], np.int64)
