"""AUROC of many diseases at once, exactly, with patient-level bootstrap intervals.

NumPy only, so that status and dashboard can use it without loading torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrsearch.data.diseases import DISEASES

_CHUNK = 1 << 22  # resampled weights held at once (4 bytes each)


def auroc(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Area under the ROC curve of each column.

    The share of (positive, negative) pairs in which the positive scores higher, a tie
    counting half (Hanley & McNeil, Radiology 1982). Pairs are counted in integers, so the
    result is exact up to one division.

    Args:
        labels: (n, k), 0 or 1 (bool, int or float).
        scores: (n, k), more is more positive; any finite numbers.

    Returns:
        (k,) values in [0, 1]; NaN where a column has positives only, or none.

    Raises:
        ValueError: where shapes differ, labels are not 0 or 1, or scores are not finite.
    """
    truth, values = _checked(labels, scores)
    return np.array([_column(t, v) for t, v in zip(truth.T, values.T, strict=True)], dtype=float)


def _column(truth: NDArray[np.bool_], values: NDArray[Any]) -> float:
    # For 16-bit integers `stable` is a radix sort, and for the others quicksort is faster.
    kind: Any = "stable" if values.dtype.itemsize == 2 else "quicksort"
    positives, negatives = np.sort(values[truth], kind=kind), np.sort(values[~truth], kind=kind)
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
        diseases: (k, 2) ends for each column; NaN where no resample defines it.
    """

    mean: tuple[float, float]
    diseases: NDArray[np.float64]


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
    resample in which a disease has one class only says nothing about that disease and is
    left out for it; the mean is over the diseases that the resample defines.

    Args:
        labels: (n, k), 0 or 1.
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
    truth, values = _checked(labels, scores)
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    if patient.shape != (len(truth),):
        raise ValueError(f"patients must have shape ({len(truth)},), got {patient.shape}")
    if resamples < 1:
        raise ValueError(f"resamples >= 1, got {resamples}")
    columns = [_Sorted(t, v) for t, v in zip(truth.T, values.T, strict=True)]
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(1, len(truth)))
    drawn = []
    for start in range(0, resamples, step):
        counts = _multiplicities(
            rng, int(patient.max(initial=-1)) + 1, min(step, resamples - start)
        )
        weights = counts[:, patient]
        drawn.append(np.stack([column.auroc(weights) for column in columns], axis=1))
    return np.concatenate(drawn)


def _multiplicities(rng: np.random.Generator, n: int, resamples: int) -> NDArray[np.int32]:
    """How often each of n patients is in each resample: (resamples, n)."""
    if n == 0:
        return np.zeros((resamples, 0), dtype=np.int32)
    drawn = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * n)
    return counts.reshape(resamples, n).astype(np.int32)


class _Sorted:
    """One column, sorted once, whose AUROC under many weightings is then a running sum."""

    def __init__(self, truth: NDArray[np.bool_], values: NDArray[Any]) -> None:
        negatives = np.flatnonzero(~truth)
        self.negatives = negatives[np.argsort(values[negatives], kind="stable")]
        self.positives = np.flatnonzero(truth)
        ordered = values[self.negatives]
        self.below = np.searchsorted(ordered, values[self.positives], "left")
        self.up_to = np.searchsorted(ordered, values[self.positives], "right")

    def auroc(self, weights: NDArray[np.int32]) -> NDArray[np.float64]:
        """AUROC for each row of ``weights`` (r, n), the multiplicities of the images: (r,)."""
        running = np.zeros((len(weights), len(self.negatives) + 1), dtype=np.int32)
        np.cumsum(weights[:, self.negatives], axis=1, dtype=np.int32, out=running[:, 1:])
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
    diseases = [_ends(column[~np.isnan(column)], ends) for column in drawn.T]
    low, high = _ends(means, ends)
    return Intervals((float(low), float(high)), np.array(diseases, dtype=float).reshape(-1, 2))


def _ends(values: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.quantile(values, ends) if values.size else np.full(2, np.nan)


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Labels as bool and scores as float, both column-major (n, k), or ValueError."""
    truth, values = np.asarray(labels), np.asarray(scores)
    if truth.ndim != 2 or truth.shape != values.shape:
        raise ValueError(
            f"labels and scores must both be (n, k), got {truth.shape} and {values.shape}"
        )
    if truth.dtype.kind not in "biuf" or values.dtype.kind not in "biuf":
        raise ValueError(f"labels and scores must be numbers, got {truth.dtype} and {values.dtype}")
    if truth.dtype != bool:
        other = (truth != 0) & (truth != 1)
        if other.any():
            row, column = np.argwhere(other)[0]
            raise ValueError(
                f"labels must be 0 or 1, got {truth[row, column]} in row {row}, column {column}"
            )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"scores must be finite, got {values[row, column]} in row {row}, column {column}"
        )
    return np.asfortranarray(truth.astype(bool)), np.asfortranarray(_sortable(values))


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
) -> tuple[float, dict[str, Any], list[str]]:
    """The mean AUROC over some diseases, with all that is said beside it.

    Args:
        labels: (n, 14), 0 or 1.
        scores: (n, 14).
        patients: (n,) whom each image shows; the bootstrap draws patients.
        columns: the diseases that the mean is over.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        the mean (NaN where none of them is defined), a dict of ``auroc``, ``interval`` (of
        the mean) and ``intervals``, and notes on diseases that have no AUROC.
    """
    columns = list(columns)
    values = auroc(labels, scores)
    every = bootstrap(labels, scores, patients, resamples, seed)
    ends = every.mean
    if columns != list(range(len(DISEASES))):
        ends = bootstrap(labels[:, columns], scores[:, columns], patients, resamples, seed).mean
    details: dict[str, Any] = {
        "auroc": by_disease(values),
        "interval": [None if math.isnan(end) else end for end in ends],
        "intervals": intervals_by_disease(every.diseases),
    }
    return mean_auroc(values[columns]), details, undefined_notes(values, columns)


def by_disease(values: np.ndarray) -> dict[str, float | None]:
    """(14,) values by disease; None where not defined."""
    return {
        name: None if math.isnan(value) else float(value)
        for name, value in zip(DISEASES, values, strict=True)
    }


def intervals_by_disease(ends: np.ndarray) -> dict[str, list[float] | None]:
    """(14, 2) interval ends by disease; None where not defined."""
    return {
        name: None if np.isnan(pair).any() else [float(pair[0]), float(pair[1])]
        for name, pair in zip(DISEASES, ends, strict=True)
    }


def undefined_notes(values: np.ndarray, columns: Sequence[int]) -> list[str]:
    """A note that names the objective's diseases which have no AUROC."""
    names = [DISEASES[column] for column in columns if math.isnan(values[column])]
    if not names:
        return []
    return [
        f"no AUROC, left out of the mean, for want of positives or negatives: {', '.join(names)}"
    ]
