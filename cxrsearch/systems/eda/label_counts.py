"""What the labels say of a data set, as numbers: how often, together with what, in whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cxrsearch.data.diseases import DISEASES, NO_FINDING


class Prevalence(NamedTuple):
    """How common a disease is: images and patients that have it, and their shares.

    ``alone`` counts the images on which it is the only one of the 14.
    """

    name: str
    images: int
    share: float
    patients: int
    patient_share: float
    alone: int


class Together(NamedTuple):
    """Diseases on the same image; row and column in the order of `DISEASES`.

    Args:
        counts: ``(14, 14)`` images with both; on the diagonal those with the one.
        conditional: ``(14, 14)`` P(column | row); NaN in the row of a disease that nobody has.
        lift: ``(14, 14)`` counts over what they would be if the two were independent; NaN where
            one of them never occurs, and on the diagonal, where it says nothing.
    """

    counts: np.ndarray
    conditional: np.ndarray
    lift: np.ndarray


class Spread(NamedTuple):
    """How often each value of a count occurs: ``values`` ascending, ``counts`` of each."""

    values: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Of the value."""
        total = sum(self.counts)
        pairs = zip(self.values, self.counts, strict=True)
        return sum(v * c for v, c in pairs) / total if total else 0.0

    @property
    def median(self) -> float:
        """Of the value."""
        return float(np.median(np.repeat(self.values, self.counts))) if self.values else 0.0


class Combination(NamedTuple):
    """Diseases that occur as one and the same set, and on how many images."""

    diseases: tuple[str, ...]
    images: int


class LabelCounts(NamedTuple):
    """Everything that follows from labels and patients.

    Args:
        images: in all.
        patients: in all.
        prevalences: of the 14 diseases, then of "No Finding".
        together: which go together.
        cardinality: diseases on an image.
        combinations: the commonest sets of diseases, "No Finding" as the empty one.
        per_patient: images of a patient.
        findings: different diseases of a patient, over all images.
    """

    images: int
    patients: int
    prevalences: tuple[Prevalence, ...]
    together: Together
    cardinality: Spread
    combinations: tuple[Combination, ...]
    per_patient: Spread
    findings: Spread


def explore_labels(labels: np.ndarray, patients: np.ndarray, most: int = 15) -> LabelCounts:
    """Count everything.

    Args:
        labels: ``(n, 14)``, 0 or 1; at least one row.
        patients: ``(n,)``, whom each image shows.
        most: combinations to name.
    """
    marks = np.asarray(labels).astype(bool)
    unique, owner = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    has = np.zeros((len(unique), len(DISEASES)), bool)
    np.logical_or.at(has, owner, marks)
    return LabelCounts(
        images=len(marks),
        patients=len(unique),
        prevalences=_prevalences(marks, owner, has),
        together=together(marks),
        cardinality=spread(marks.sum(axis=1)),
        combinations=_combinations(marks, most),
        per_patient=spread(np.bincount(owner)),
        findings=spread(has.sum(axis=1)),
    )


def together(labels: np.ndarray) -> Together:
    """Which of the columns of ``labels`` ``(n, k)`` go together."""
    marks = np.asarray(labels).astype(np.int64)
    counts = marks.T @ marks
    single = np.diag(counts).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        conditional = np.where(single[:, None] > 0, counts / single[:, None], np.nan)
        expected = np.outer(single, single) / len(marks)
        lift = np.where(expected > 0, counts / expected, np.nan)
    np.fill_diagonal(lift, np.nan)
    return Together(counts, conditional, lift)


def spread(values: Sequence[int] | np.ndarray) -> Spread:
    """How often each of the whole numbers ``values`` occurs."""
    found, counts = np.unique(np.asarray(values, int), return_counts=True)
    return Spread(tuple(found.tolist()), tuple(counts.tolist()))


def _prevalences(marks: np.ndarray, owner: np.ndarray, has: np.ndarray) -> tuple[Prevalence, ...]:
    single = marks.sum(axis=1) == 1
    normal = ~marks.any(axis=1)
    normal_patients = len(np.unique(owner[normal]))
    rows = [
        (name, marks[:, i].sum(), has[:, i].sum(), (marks[:, i] & single).sum())
        for i, name in enumerate(DISEASES)
    ]
    rows.append((NO_FINDING, normal.sum(), normal_patients, normal.sum()))
    return tuple(
        Prevalence(name, int(i), float(i / len(marks)), int(p), float(p / len(has)), int(a))
        for name, i, p, a in rows
    )


def _combinations(marks: np.ndarray, most: int) -> tuple[Combination, ...]:
    """The commonest first; among equally common ones those with the earlier diseases."""
    codes = marks @ (1 << np.arange(marks.shape[1]))
    counted = sorted(Counter(codes.tolist()).items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        Combination(tuple(d for i, d in enumerate(DISEASES) if code >> i & 1), count)
        for code, count in counted[:most]
    )
