"""What the labels say of a data set, as numbers: how often, together with what, in whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cxrsearch.data.diseases import NO_FINDING
from cxrsearch.data.marks import known, nothing_found, present

MOST_TOGETHER = 24
"""Labels of which it is shown what they go together with: more squares cannot be read."""


class Prevalence(NamedTuple):
    """How common a label is: images and patients that have it.

    Args:
        name: of the label, or "No Finding".
        images: that have it.
        share: of the images of which it is known.
        patients: that have it.
        patient_share: of the patients with an image of which it is known.
        alone: images on which it is the only one.
        negative: images known to be without it.
        uncertain: images of which a reader or report was not sure.
        unknown: images of which nothing else is known either.
    """

    name: str
    images: int
    share: float
    patients: int
    patient_share: float
    alone: int
    negative: int
    uncertain: int
    unknown: int


class Together(NamedTuple):
    """Labels on the same image; each figure over the images of which both are known.

    Args:
        names: ``(m,)`` of rows and columns.
        counts: ``(m, m)`` images with both; on the diagonal those with the one.
        conditional: ``(m, m)`` P(column | row); NaN in the row of a label that nobody has.
        lift: ``(m, m)`` counts over what they would be if the two were independent; NaN where
            one of them never occurs, and on the diagonal, where it says nothing.
    """

    names: tuple[str, ...]
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
    """Labels that occur as one and the same set, and on how many images."""

    labels: tuple[str, ...]
    images: int


class LabelCounts(NamedTuple):
    """Everything that follows from labels and patients.

    Args:
        images: in all.
        patients: in all.
        prevalences: of the labels, then of "No Finding".
        together: which go together, of the `MOST_TOGETHER` commonest.
        cardinality: labels on an image.
        combinations: the commonest sets of labels, "No Finding" as the empty one.
        per_patient: images of a patient.
        findings: different labels of a patient, over all images.
    """

    images: int
    patients: int
    prevalences: tuple[Prevalence, ...]
    together: Together
    cardinality: Spread
    combinations: tuple[Combination, ...]
    per_patient: Spread
    findings: Spread


def explore_labels(
    labels: np.ndarray,
    patients: np.ndarray,
    label_names: Sequence[str],
    uncertain: np.ndarray | None = None,
    most: int = 15,
) -> LabelCounts:
    """Count everything.

    Args:
        labels: ``(n, k)``, see `cxrsearch.data.marks`; at least one row.
        patients: ``(n,)``, whom each image shows.
        label_names: ``(k,)``.
        uncertain: ``(n, k)`` bool, or None.
        most: combinations to name.
    """
    marks = present(labels)
    unique, owner = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    has = _of_patients(marks, owner, len(unique))
    commonest = np.argsort(-marks.sum(axis=0), kind="stable")[:MOST_TOGETHER]
    shown = np.sort(commonest)
    return LabelCounts(
        images=len(marks),
        patients=len(unique),
        prevalences=_prevalences(labels, owner, has, label_names, uncertain),
        together=together(labels[:, shown], [label_names[i] for i in shown]),
        cardinality=spread(marks.sum(axis=1)),
        combinations=_combinations(marks, label_names, most),
        per_patient=spread(np.bincount(owner)),
        findings=spread(has.sum(axis=1)),
    )


def _of_patients(marks: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """``(p, k)`` bool: which of ``count`` patients have such an image; ``owner`` ``(n,)`` int."""
    return np.stack([np.bincount(owner[m], minlength=count) > 0 for m in marks.T], axis=1)


def together(labels: np.ndarray, names: Sequence[str]) -> Together:
    """Which of the columns of ``labels`` ``(n, m)``, called ``names``, go together."""
    has, told = present(labels).astype(float), known(labels).astype(float)
    counts = has.T @ has
    given, images = has.T @ told, told.T @ told
    with np.errstate(divide="ignore", invalid="ignore"):
        conditional = np.where(given > 0, counts / given, np.nan)
        expected = given * given.T / images
        lift = np.where(expected > 0, counts / expected, np.nan)
    np.fill_diagonal(lift, np.nan)
    return Together(tuple(names), counts.astype(np.int64), conditional, lift)


def spread(values: Sequence[int] | np.ndarray) -> Spread:
    """How often each of the whole numbers ``values`` occurs."""
    found, counts = np.unique(np.asarray(values, int), return_counts=True)
    return Spread(tuple(found.tolist()), tuple(counts.tolist()))


def _prevalences(
    labels: np.ndarray,
    owner: np.ndarray,
    has: np.ndarray,
    label_names: Sequence[str],
    uncertain: np.ndarray | None,
) -> tuple[Prevalence, ...]:
    marks, told = present(labels), known(labels)
    asked = _of_patients(told, owner, len(has)).sum(axis=0)
    single = marks.sum(axis=1) == 1
    doubts = np.zeros(len(label_names), int) if uncertain is None else uncertain.sum(axis=0)
    rows = []
    for i, name in enumerate(label_names):
        images, seen = int(marks[:, i].sum()), int(told[:, i].sum())
        people, whose = int(has[:, i].sum()), int(asked[i])
        rows.append(
            Prevalence(
                name,
                images,
                images / seen if seen else 0.0,
                people,
                people / whose if whose else 0.0,
                int((marks[:, i] & single).sum()),
                seen - images,
                int(doubts[i]),
                len(marks) - seen - int(doubts[i]),
            )
        )
    normal = nothing_found(labels)
    images, people = int(normal.sum()), len(np.unique(owner[normal]))
    share, whole = images / len(marks), people / len(has)
    rows.append(
        Prevalence(NO_FINDING, images, share, people, whole, images, len(marks) - images, 0, 0)
    )
    return tuple(rows)


def _combinations(
    marks: np.ndarray, label_names: Sequence[str], most: int
) -> tuple[Combination, ...]:
    """The commonest first; among equally common ones those with the earlier labels."""
    packed = np.packbits(marks, axis=1, bitorder="little")
    rows, counts = np.unique(packed, axis=0, return_counts=True)
    codes = [int.from_bytes(row.tobytes(), "little") for row in rows]
    counted = sorted(zip(codes, counts.tolist(), strict=True), key=lambda item: (-item[1], item[0]))
    return tuple(
        Combination(tuple(name for i, name in enumerate(label_names) if code >> i & 1), count)
        for code, count in counted[:most]
    )
