"""Age, sex and view, where the label table has them, and what they alone give away."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from cxrsearch.data.labels.columns import plain
from cxrsearch.data.marks import absent, known, present

AGE_COLUMNS = ("patientage", "age", "ageyears")
SEX_COLUMNS = ("patientgender", "patientsex", "gender", "sex")
VIEW_COLUMNS = ("viewposition", "view", "projection")
"""Names of the columns, as `plain` writes them, where the data set says of none which it is; the
first that is there is taken."""
BIRTH_COLUMNS = ("patientbirth", "birthyear", "yearofbirth")
DATE_COLUMNS = ("studydatedicom", "studydate", "acquisitiondate")
"""A year of birth and a date that begins with a year make an age, as in PadChest."""
YEAR = re.compile(r"\s*((?:18|19|20)\d\d)")
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


def read_people(extra: Mapping[str, np.ndarray], roles: Mapping[str, str] | None = None) -> People:
    """Age, sex and view out of a table's other columns.

    Args:
        extra: column -> ``(n,)`` str.
        roles: role -> column, as in a `Dataset`.
    """
    by_name = {plain(name): values for name, values in extra.items()}
    said = roles or {}

    def column(names: tuple[str, ...], role: str = "") -> np.ndarray | None:
        if said.get(role) in extra:
            return extra[said[role]]
        return next((by_name[name] for name in names if name in by_name), None)

    ages, sexes = column(AGE_COLUMNS, "age"), column(SEX_COLUMNS, "sex")
    views = column(VIEW_COLUMNS, "view")
    births, dates = column(BIRTH_COLUMNS), column(DATE_COLUMNS)
    years = absurd = None
    if births is not None and dates is not None and (ages is None or ages is births):
        years = np.array(list(map(_years_between, births.tolist(), dates.tolist())))
        ages = births
    elif ages is not None:
        years = np.array([_years(cell) for cell in ages.tolist()])
    if years is not None and ages is not None:
        wrong = (years < 0) | (years > OLDEST)
        years, absurd = np.where(wrong, np.nan, years), np.where(wrong, ages, "")
    return People(
        age=years,
        absurd=absurd,
        sex=None if sexes is None else np.array([_sex(cell) for cell in sexes.tolist()], object),
        view=None if views is None else np.array([cell.strip().upper() for cell in views], object),
    )


def _years_between(birth: str, date: str) -> float:
    """Years from a year of birth (``1930.0``) to a date (``20140915``); NaN where one is none."""
    born, taken = YEAR.match(birth), YEAR.match(date)
    return float(taken[1]) - float(born[1]) if born and taken else np.nan


def _years(cell: str) -> float:
    match = AGE.fullmatch(cell.strip())
    return float(match[1]) * YEARS[match[2].upper()] if match else np.nan


def _sex(cell: str) -> str:
    return SEXES.get(cell.strip().lower(), cell.strip())


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
