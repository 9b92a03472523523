"""Age, sex and view, where the label table has them, and what they alone give away."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.labels.columns import plain

AGE_COLUMNS = ("patientage", "age", "ageyears")
SEX_COLUMNS = ("patientgender", "patientsex", "gender", "sex")
VIEW_COLUMNS = ("viewposition", "view", "projection")
"""Names of the columns, as `plain` writes them; the first that is there is taken."""
OLDEST = 110
"""An age above is an error: NIH's first release of 2017 has 148, 155 and 411."""
AGE = re.compile(r"(-?\d+(?:\.\d+)?)\s*([YMWD]?)", re.IGNORECASE)
"""A number of years, or as DICOM and NIH's first release write it: 058Y, 003M, 021D."""
YEARS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
SEXES = {"m": "M", "male": "M", "f": "F", "female": "F"}
AGE_BAND = 10
"""Years of an age group."""
UNKNOWN_PERSON = ""


@dataclass(frozen=True, eq=False)
class People:
    """Who is on the images; None where the table has no such column.

    Args:
        age: ``(n,)`` years; NaN where the table has none that can be right.
        absurd: ``(n,)`` str, what the table says where that cannot be an age, else empty.
        sex: ``(n,)`` str: M, F or whatever else the table says; empty where unknown.
        view: ``(n,)`` str, such as PA and AP; empty where unknown.
    """

    age: np.ndarray | None
    absurd: np.ndarray | None
    sex: np.ndarray | None
    view: np.ndarray | None


class Group(NamedTuple):
    """Some of the images: how many, how many patients, and with each disease ``(14,)``."""

    name: str
    images: int
    patients: int
    positives: np.ndarray


class Shortcut(NamedTuple):
    """How well one column alone tells a disease, without any image: its AUROC."""

    column: str
    disease: str
    auroc: float
    positives: int


def read_people(extra: Mapping[str, np.ndarray]) -> People:
    """Age, sex and view out of a table's other columns, each ``(n,)`` str."""
    by_name = {plain(name): values for name, values in extra.items()}

    def column(names: tuple[str, ...]) -> np.ndarray | None:
        return next((by_name[name] for name in names if name in by_name), None)

    ages, sexes, views = column(AGE_COLUMNS), column(SEX_COLUMNS), column(VIEW_COLUMNS)
    years = absurd = None
    if ages is not None:
        years = np.array([_years(cell) for cell in ages.tolist()])
        wrong = (years < 0) | (years > OLDEST)
        years, absurd = np.where(wrong, np.nan, years), np.where(wrong, ages, "")
    return People(
        age=years,
        absurd=absurd,
        sex=None if sexes is None else np.array([_sex(cell) for cell in sexes.tolist()], object),
        view=None if views is None else np.array([cell.strip().upper() for cell in views], object),
    )


def _years(cell: str) -> float:
    match = AGE.fullmatch(cell.strip())
    return float(match[1]) * YEARS[match[2].upper()] if match else np.nan


def _sex(cell: str) -> str:
    return SEXES.get(cell.strip().lower(), cell.strip())


def groups_of(values: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> list[Group]:
    """The images by what ``values`` ``(n,)`` str says, the commonest first; unknown last.

    Args:
        values: ``(n,)`` str; empty where unknown.
        labels: ``(n, 14)``.
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
    positives = np.asarray(labels)[inside].sum(axis=0).astype(int)
    return Group(name, int(inside.sum()), len(np.unique(patients[inside])), positives)


def shortcuts(people: People, labels: np.ndarray) -> list[Shortcut]:
    """How well age, sex and view alone tell each disease.

    Of a column of words the commonest value is held against all others. Values below 0.5 count
    from the other side: what matters is how well it could be told. Images of which the column
    says nothing are left out.
    """
    columns = {"age": people.age, "sex": people.sex, "view": people.view}
    found = []
    for name, values in columns.items():
        if values is None:
            continue
        number = values if name == "age" else _against_commonest(values)
        known = np.isfinite(number)
        marks = np.asarray(labels)[known].astype(bool)
        if len(marks):
            found += _aurocs(name, number[known], marks)
    return found


def _against_commonest(values: np.ndarray) -> np.ndarray:
    known = values != UNKNOWN_PERSON
    names, counts = np.unique(values[known], return_counts=True)
    if not len(names):
        return np.full(len(values), np.nan)
    return np.where(known, (values == names[counts.argmax()]).astype(float), np.nan)


def _aurocs(name: str, number: np.ndarray, marks: np.ndarray) -> list[Shortcut]:
    """By ranks (Mann and Whitney), ties counted half; diseases without two sides left out."""
    ranks = rankdata(number)
    found = []
    for column, disease in enumerate(DISEASES):
        positives = int(marks[:, column].sum())
        negatives = len(marks) - positives
        if positives and negatives:
            wins = ranks[marks[:, column]].sum() - positives * (positives + 1) / 2
            auroc = float(wins / (positives * negatives))
            found.append(Shortcut(name, disease, max(auroc, 1 - auroc), positives))
    return found


def of_two_sexes(sex: np.ndarray, patients: np.ndarray) -> list[str]:
    """Patients whom the table calls both M and F: two people under one number?"""
    men = set(patients[sex == "M"].tolist())
    return sorted(men & set(patients[sex == "F"].tolist()))
