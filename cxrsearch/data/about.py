"""What a table says of each image beside its labels: age, sex and view."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset
from .labels.columns import plain

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

YEARS_OLD = "age"
"""The column of `About` that is years; all others are 0 or 1."""
MOST_VIEWS = 4
"""Views that get a column of their own there; a rarer one is only known to be none of these."""
NOTHING_SAID = (
    "the data say neither age nor sex nor view of their images; name the columns in dataset.yaml "
    "(columns: age, sex, view)"
)
"""What is said where somebody asks for more than labels."""


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


class About(NamedTuple):
    """What is known of the images beside their labels, as numbers.

    Args:
        names: (e,) what the columns are: `YEARS_OLD`, ``sex``, and ``view`` with a view's name.
        values: (n, e) float32: years, 1 for female, 1 for that view; NaN where nothing is known.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]


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


def about(dataset: Dataset) -> About:
    """Age, sex and view of the images of ``dataset``, as numbers.

    A column in which nothing differs says nothing, and is left out. Two views are one column.
    """
    found = read_people(dataset.extra, dataset.roles)
    columns: dict[str, NDArray[np.float64]] = {}
    if found.age is not None:
        columns[YEARS_OLD] = found.age.astype(float)
    if found.sex is not None:
        columns["sex"] = np.array([{"M": 0.0, "F": 1.0}.get(s, np.nan) for s in found.sex.tolist()])
    if found.view is not None:
        columns |= _views(found.view.tolist())
    columns = {name: values for name, values in columns.items() if _differs(values)}
    if not columns:
        return About((), np.zeros((len(dataset.names), 0), np.float32))
    return About(tuple(columns), np.column_stack(list(columns.values())).astype(np.float32))


def _views(views: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    counts = Counter(view for view in views if view)
    ranked = sorted(counts, key=lambda view: (-counts[view], view))
    # The commonest goes without saying where there are two.
    own = ranked[1:] if len(ranked) == 2 else ranked[:MOST_VIEWS]
    return {
        f"view {view}": np.array([float(v == view) if v else np.nan for v in views]) for view in own
    }


def _differs(values: NDArray[np.float64]) -> bool:
    known = values[~np.isnan(values)]
    return bool(len(known)) and bool((known != known[0]).any())
