"""What age, sex and view alone give away, where the label table has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from cxrsearch.data.about import People
from cxrsearch.data.marks import absent, known, present

AGE_BAND = 10
"""Years of an age group."""
UNKNOWN_PERSON = ""


class Group(NamedTuple):
    """Some of the images: how many, and how many patients; ``(k,)`` those with each label, and
    those of which it is known."""

    name: str
    images: int
    patients: int
    positives: np.ndarray
    known: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """``(k,)`` of the images of which a label is known, the share that have it."""
        return np.asarray(self.positives / np.maximum(self.known, 1))


class Shortcut(NamedTuple):
    """How well one column alone tells a label, without any image: its AUROC."""

    column: str
    label: str
    auroc: float
    positives: int


def groups_of(values: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> list[Group]:
    """The images by what ``values`` ``(n,)`` str says, the commonest first; unknown last.

    Args:
        values: ``(n,)`` str; empty where unknown.
        labels: ``(n, k)``, see `cxrsearch.data.marks`.
        patients: ``(n,)``.
    """
    names, counts = np.unique(values, return_counts=True)
    order = sorted(
        range(len(names)), key=lambda i: (names[i] == UNKNOWN_PERSON, -counts[i], names[i])
    )
    return [_group(str(names[i]), values == names[i], labels, patients) for i in order]


def age_bands(age: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> list[Group]:
    """The images by age in tens of years, the youngest first; unknown ages are left out."""
    known = np.isfinite(age)
    tens = np.full(len(age), -1)
    tens[known] = (age[known] // AGE_BAND).astype(int)
    return [
        _group(
            f"{ten * AGE_BAND} to {ten * AGE_BAND + AGE_BAND - 1}", tens == ten, labels, patients
        )
        for ten in sorted(set(tens[known].tolist()))
    ]


def _group(name: str, inside: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> Group:
    here = np.asarray(labels)[inside]
    positives, told = present(here).sum(axis=0), known(here).sum(axis=0)
    return Group(name, int(inside.sum()), len(np.unique(patients[inside])), positives, told)


def shortcuts(people: People, labels: np.ndarray, label_names: Sequence[str]) -> list[Shortcut]:
    """How well age, sex and view alone tell each label.

    Of a column of words the commonest value is held against all others. Values below 0.5 count
    from the other side: what matters is how well it could be told. Images of which the column
    says nothing, or of which the label is not known, are left out.

    Args:
        people: age, sex and view.
        labels: ``(n, k)``, see `cxrsearch.data.marks`.
        label_names: ``(k,)``.
    """
    columns = {"age": people.age, "sex": people.sex, "view": people.view}
    found = []
    for column, values in columns.items():
        if values is None:
            continue
        number = values if column == "age" else _against_commonest(values)
        told = np.isfinite(number)
        for label, marks in zip(label_names, np.asarray(labels)[told].T, strict=True):
            value = told_auroc(number[told], marks)
            if value is not None:
                found.append(
                    Shortcut(column, label, max(value, 1 - value), int(present(marks).sum()))
                )
    return found


def _against_commonest(values: np.ndarray) -> np.ndarray:
    known = values != UNKNOWN_PERSON
    names, counts = np.unique(values[known], return_counts=True)
    if not len(names):
        return np.full(len(values), np.nan)
    return np.where(known, (values == names[counts.argmax()]).astype(float), np.nan)


def told_auroc(scores: np.ndarray, marks: np.ndarray) -> float | None:
    """The AUROC of ``scores`` ``(n,)`` for the known of ``marks`` ``(n,)``, ties counted half.

    By ranks (Mann and Whitney). None without positives or negatives.
    """
    has, without = present(marks), absent(marks)
    positives, negatives = int(has.sum()), int(without.sum())
    if not positives or not negatives:
        return None
    ranks = rankdata(np.concatenate([scores[has], scores[without]]))
    wins = ranks[:positives].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def of_two_sexes(sex: np.ndarray, patients: np.ndarray) -> list[str]:
    """Patients whom the table calls both M and F: two people under one number?"""
    men = set(patients[sex == "M"].tolist())
    return sorted(men & set(patients[sex == "F"].tolist()))
