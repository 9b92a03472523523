"""AUROC of many labels at once, exactly, with patient-level bootstrap intervals.

What is not known of an image takes no part in that label's value: neither in its pairs nor in its
resamples, which still draw patients out of all.

NumPy only, so that status and dashboard can use it without loading torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrsearch.data.marks import absent, present

_CHUNK = 1 << 22  # resampled weights held at once (4 bytes each)


def auroc(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Area under the ROC curve of each column.

    The share of (positive, negative) pairs in which the positive scores higher, a tie
    counting half (Hanley & McNeil, Radiology 1982). Pairs are counted in integers, so the
    result is exact up to one division.

    Args:
        labels: (n, k) of 0, 1, between them, and NaN; see `cxrsearch.data.marks`.
        scores: (n, k), more is more positive; any finite numbers.

    Returns:
        (k,) values in [0, 1]; NaN where a column has no positives known, or no negatives.

    Raises:
        ValueError: where shapes differ, labels are out of range, or scores are not finite.
    """
    return np.array([_column(*column) for column in known_columns(labels, scores)], dtype=float)


def _column(
    positive: NDArray[np.bool_], negative: NDArray[np.bool_], values: NDArray[Any]
) -> float:
    # For 16-bit integers `stable` is a radix sort, and for the others quicksort is faster.
    kind: Any = "stable" if values.dtype.itemsize == 2 else "quicksort"
    positives, negatives = (
        np.sort(values[positive], kind=kind),
        np.sort(values[negative], kind=kind),
    )
    if not positives.size or not negatives.size:
        return float("nan")
    few, many = sorted((positives, negatives), key=len)
    below = np.searchsorted(many, few, "left").sum(dtype=np.int64)
    up_to = np.searchsorted(many, few, "right").sum(dtype=np.int64)
    share = float(below + up_to) / (2.0 * len(few) * len(many))
    return share if few is positives else 1.0 - share


def mean_auroc(values: ArrayLike) -> float:
    """Mean over the defined (not NaN) values; NaN where there is none."""
    defined = np.asarray(values, dtype=float)
    defined = defined[~np.isnan(defined)]
    return float(defined.mean()) if defined.size else float("nan")


@dataclass(frozen=True)
class Intervals:
    """Bootstrap percentile intervals.

    Args:
        mean: lower and upper end for the mean AUROC.
        labels: (k, 2) ends for each column; NaN where no resample defines it.
    """

    mean: tuple[float, float]
    labels: NDArray[np.float64]


def bootstrap(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Intervals:
    """Percentile intervals of AUROC under resampling of whole patients.

    A patient's images are alike, so patients are drawn with replacement, as many as there
    are, each with all of its images (the cluster bootstrap: Field & Welsh, JRSS B 2007). A
    resample in which a label has one class only says nothing about that label and is
    left out for it; the mean is over the labels that the resample defines.

    Args:
        labels: (n, k), as for `auroc`. Patients are drawn out of all, whatever is known of them.
        scores: (n, k), finite.
        patients: (n,) patient of each row, any type that can be compared.
        resamples: how many.
        seed: of the draws.
        level: coverage.

    Raises:
        ValueError: as `auroc`, and where ``patients`` does not have n entries.
    """
    if not 0 < level < 1:
        raise ValueError(f"0 < level < 1, got {level}")
    return _intervals(resampled(labels, scores, patients, resamples, seed), level)


def resampled(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """AUROC of each column under each resample of `bootstrap`: (resamples, k), NaN if undefined.

    With the same patients and ``seed`` the same patients are drawn, so that the differences
    between two models' values are paired.

    Raises:
        ValueError: as `bootstrap`.
    """
    columns = [SortedColumn(*column) for column in known_columns(labels, scores)]
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    images = len(np.asarray(labels))
    if patient.shape != (images,):
        raise ValueError(f"patients must have shape ({images},), got {patient.shape}")
    if resamples < 1:
        raise ValueError(f"resamples >= 1, got {resamples}")
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(1, images))
    drawn = []
    for start in range(0, resamples, step):
        counts = multiplicities(rng, int(patient.max(initial=-1)) + 1, min(step, resamples - start))
        weights = counts[:, patient]
        drawn.append(np.stack([column.auroc(weights) for column in columns], axis=1))
    return np.concatenate(drawn)


def multiplicities(rng: np.random.Generator, n: int, resamples: int) -> NDArray[np.int32]:
    """How often each of n patients is in each resample: (resamples, n)."""
    if n == 0:
        return np.zeros((resamples, 0), dtype=np.int32)
    drawn = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * n)
    return counts.reshape(resamples, n).astype(np.int32)


class SortedColumn:
    """One column, sorted once, whose AUROC under many weightings is then a running sum."""

    def __init__(
        self, positive: NDArray[np.bool_], negative: NDArray[np.bool_], values: NDArray[Any]
    ) -> None:
        negatives = np.flatnonzero(negative)
        self.negatives = negatives[np.argsort(values[negatives], kind="stable")]
        self.positives = np.flatnonzero(positive)
        ordered = values[self.negatives]
        self.below = np.searchsorted(ordered, values[self.positives], "left")
        self.up_to = np.searchsorted(ordered, values[self.positives], "right")

    def running(self, weights: NDArray[np.int32]) -> NDArray[np.int32]:
        """Weight of the j lowest negatives, j from 0 on: (r, negatives + 1)."""
        running = np.zeros((len(weights), len(self.negatives) + 1), dtype=np.int32)
        np.cumsum(weights[:, self.negatives], axis=1, dtype=np.int32, out=running[:, 1:])
        return running

    def auroc(
        self, weights: NDArray[np.int32], running: NDArray[np.int32] | None = None
    ) -> NDArray[np.float64]:
        """AUROC for each row of ``weights`` (r, n), the multiplicities of the images: (r,).

        ``running`` is what `running` says of them, where it is there already.
        """
        if running is None:
            running = self.running(weights)
        positive = weights[:, self.positives].astype(float)
        beaten = running[:, self.below] + running[:, self.up_to]  # twice: a tie is a half
        pairs = positive.sum(axis=1) * running[:, -1]
        with np.errstate(invalid="ignore"):
            share: NDArray[np.float64] = (positive * beaten).sum(axis=1) / (2.0 * pairs)
        return share


def _intervals(drawn: NDArray[np.float64], level: float) -> Intervals:
    """Percentiles over (resamples, k) values with NaN where undefined."""
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    defined = ~np.isnan(drawn)
    some = defined.any(axis=1)
    means = np.where(defined, drawn, 0.0)[some].sum(axis=1) / defined[some].sum(axis=1)
    labels = [_ends(column[~np.isnan(column)], ends) for column in drawn.T]
    low, high = _ends(means, ends)
    return Intervals((float(low), float(high)), np.array(labels, dtype=float).reshape(-1, 2))


def _ends(values: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.quantile(values, ends) if values.size else np.full(2, np.nan)


Column = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[Any]]
"""Which images of a label are positive, which negative (neither: not known), and their scores."""


def known_columns(labels: ArrayLike, scores: ArrayLike) -> list[Column]:
    """Marks and scores, (n, k) both, column by column, or ValueError."""
    marks, values = np.asarray(labels), np.asarray(scores)
    if marks.ndim != 2 or marks.shape != values.shape:
        raise ValueError(
            f"labels and scores must both be (n, k), got {marks.shape} and {values.shape}"
        )
    if marks.dtype.kind not in "biuf" or values.dtype.kind not in "biuf":
        raise ValueError(f"labels and scores must be numbers, got {marks.dtype} and {values.dtype}")
    if marks.dtype != bool:
        other = (marks < 0) | (marks > 1)  # neither is true of a NaN
        if other.any():
            row, column = np.argwhere(other)[0]
            raise ValueError(
                f"labels must be from 0 to 1 or NaN, got {marks[row, column]} in row {row}, "
                f"column {column}"
            )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"scores must be finite, got {values[row, column]} in row {row}, column {column}"
        )
    positive, negative = np.asfortranarray(present(marks)), np.asfortranarray(absent(marks))
    return list(zip(positive.T, negative.T, np.asfortranarray(_sortable(values)).T, strict=True))


def _sortable(values: NDArray[Any]) -> NDArray[Any]:
    """The same order and the same ties in the type that sorts fastest.

    Narrow floats sort faster, and networks in half precision give scores that fit 16 bits
    in whatever type they arrive. As integers those are even sorted in linear time.
    """
    for wide, narrow in ((np.float64, np.float32), (np.float32, np.float16)):
        if values.dtype == wide:
            values = _narrowed(values, narrow)
    if values.dtype != np.float16:
        return values
    bits = values.view(np.int16)
    # Sign and magnitude to two's complement; -0.0 becomes -1, and counts as the 0.0 it equals.
    ascending: NDArray[Any] = bits ^ ((bits >> 15) & np.int16(0x7FFF))
    ascending += ascending == -1
    return ascending


def _narrowed(values: NDArray[Any], narrow: type[np.floating[Any]]) -> NDArray[Any]:
    """``values`` as ``narrow`` where that loses nothing."""
    for part in (values[:32], values):  # a few of them tell most of the time
        with np.errstate(over="ignore", under="ignore"):
            shorter = part.astype(narrow)
        if not np.array_equal(shorter.astype(values.dtype), part):
            return values
    return shorter


def judge(
    labels: np.ndarray,
    scores: np.ndarray,
    patients: np.ndarray,
    columns: Sequence[int],
    resamples: int,
    seed: int,
    label_names: Sequence[str],
) -> tuple[float, dict[str, Any], list[str]]:
    """The mean AUROC over some labels, with all that is said beside it.

    Args:
        labels: (n, k), as for `auroc`.
        scores: (n, k).
        patients: (n,) whom each image shows; the bootstrap draws patients.
        columns: the labels that the mean is over.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        label_names: (k,) what the columns are.

    Returns:
        the mean (NaN where none of them is defined), a dict of ``auroc``, ``interval`` (of
        the mean) and ``intervals``, and notes on labels that have no AUROC.
    """
    columns = list(columns)
    values = auroc(labels, scores)
    every = bootstrap(labels, scores, patients, resamples, seed)
    ends = every.mean
    if columns != list(range(len(label_names))):
        ends = bootstrap(labels[:, columns], scores[:, columns], patients, resamples, seed).mean
    details: dict[str, Any] = {
        "auroc": by_label(values, label_names),
        "interval": [None if math.isnan(end) else end for end in ends],
        "intervals": intervals_by_label(every.labels, label_names),
    }
    return mean_auroc(values[columns]), details, undefined_notes(values, columns, label_names)


def by_label(values: np.ndarray, label_names: Sequence[str]) -> dict[str, float | None]:
    """(k,) values by label; None where not defined."""
    return {
        name: None if math.isnan(value) else float(value)
        for name, value in zip(label_names, values, strict=True)
    }


def intervals_by_label(
    ends: np.ndarray, label_names: Sequence[str]
) -> dict[str, list[float] | None]:
    """(k, 2) interval ends by label; None where not defined."""
    return {
        name: None if np.isnan(pair).any() else [float(pair[0]), float(pair[1])]
        for name, pair in zip(label_names, ends, strict=True)
    }


def undefined_notes(
    values: np.ndarray, columns: Sequence[int], label_names: Sequence[str]
) -> list[str]:
    """A note that names the objective's labels which have no AUROC."""
    names = [label_names[column] for column in columns if math.isnan(values[column])]
    if not names:
        return []
    return [
        f"no AUROC, left out of the mean, for want of positives or negatives: {', '.join(names)}"
    ]
