"""Label tables: NIH's ``Data_Entry_2017.csv`` and the one-hot tables of competitions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.data.files import shorten, stem
from cxrsearch.errors import InputError
from search.errors import did_you_mean

from .columns import Columns, find_columns, plain
from .csv_rows import read_rows

NIH_TABLE = "Data_Entry_2017.csv"
YES_NO = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
LONGEST_ID = 512
"""Characters of an image's name or a patient's, at most."""
CELL_SHOWN = 80
"""Characters of a cell that are shown."""
NIH_NAME = re.compile(r"(\d{8})_\d{3}")
"""NIH's file names: eight digits of the patient, three of the follow-up."""


_DISEASE = {plain(disease): column for column, disease in enumerate(DISEASES)}
_NO_FINDING = plain(NO_FINDING)


@dataclass(frozen=True, eq=False)
class LabelTable:
    """A label table, row by row as in the file.

    Args:
        path: where it was read from.
        images: image names, each once.
        labels: ``(n, 14)`` uint8.
        patients: ``(n,)`` str.
        extra: every other column, ``(n,)`` of str objects.
        notes: what had to be assumed.
    """

    path: Path
    images: tuple[str, ...]
    labels: np.ndarray
    patients: np.ndarray
    extra: Mapping[str, np.ndarray] = field(repr=False)
    notes: tuple[str, ...] = ()


def find_table(folder: Path) -> Path:
    """The label table that lies in ``folder`` itself.

    ``Data_Entry_2017.csv`` wins; then the only file with the columns of a label table; then
    the only one of those that is named ``Data_Entry_2017*``.

    Raises:
        InputError: where there is none, or more than one to choose from.
    """
    tables = sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith((".csv", ".csv.gz")) and not path.name.startswith(".")
    )
    exact = [path for path in tables if path.name == NIH_TABLE]
    if exact:
        return exact[0]
    fitting = [path for path in tables if _looks_like_labels(path)]
    named = [path for path in fitting if path.name.startswith(NIH_TABLE.removesuffix(".csv"))]
    for choice in (fitting, named):
        if len(choice) == 1:
            return choice[0]
    if fitting:
        listed = ", ".join(path.name for path in fitting)
        raise InputError(f"{folder}: several label tables ({listed}); choose with --labels FILE")
    if len(tables) == 1:  # reading it tells which columns it lacks
        return tables[0]
    raise InputError(
        f"{folder}: no label table in it; wanted is {NIH_TABLE}, or a CSV file with an image "
        "column and one column a disease. Where it lies elsewhere, name it with --labels FILE"
    )


def read_table(path: Path) -> LabelTable:
    """Read a label table.

    Raises:
        InputError: with up to ten problems of each kind, by line.
    """
    header, rows = read_rows(path)
    columns = find_columns(path, header)
    lines = [line for line, _ in rows]
    cells = [row for _, row in rows]
    problems = _Problems(path, lines)
    images = tuple(row[columns.image].strip() for row in cells)
    _check_images(images, problems)
    if columns.labels is not None:
        labels = _finding_labels([row[columns.labels] for row in cells], problems)
    else:
        labels = _one_hot(cells, columns, header, problems)
    patients, notes = _patients(cells, columns, images, problems)
    problems.raise_any()
    extra = {
        # Not of fixed width: one long cell would make all of them as long.
        name: np.array([row[column] for row in cells], object)
        for column, name in enumerate(header)
        if column not in columns.used and name.strip()
    }
    return LabelTable(path, images, labels, patients, extra, notes)


class _Problems:
    """Problems by kind, each with its line in the file."""

    def __init__(self, path: Path, lines: Sequence[int]) -> None:
        self.path = path
        self.lines = lines
        self.kinds: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, row: int, what: str) -> None:
        self.kinds[kind].append(f"{self.path}, line {self.lines[row]}: {what}")

    def raise_any(self) -> None:
        problems = [text for kind in self.kinds.values() for text in shorten(kind)]
        if problems:
            raise InputError(problems)


def _looks_like_labels(path: Path) -> bool:
    try:
        find_columns(path, read_rows(path, header_only=True)[0])
    except InputError:
        return False
    return True


def _short(cell: str) -> str:
    """What a cell says, for people."""
    return repr(cell if len(cell) <= CELL_SHOWN else f"{cell[:CELL_SHOWN]}...")


def _too_long(what: str, text: str) -> str:
    return (
        f"{what} of {len(text):,} characters ({text[:20]!r}...); {LONGEST_ID} are read at most. Is "
        "a quote missing?"
    )


def _check_images(images: Sequence[str], problems: _Problems) -> None:
    first: dict[str, int] = {}
    for row, name in enumerate(images):
        if not name:
            problems.add("no image", row, "no image name")
        elif len(name) > LONGEST_ID:
            problems.add("long", row, _too_long("image name", name))
        elif name in first:
            line = problems.lines[first[name]]
            problems.add("twice", row, f"duplicate image {name!r}, first on line {line}; keep one")
        else:
            first[name] = row


def _finding_labels(cells: Sequence[str], problems: _Problems) -> np.ndarray:
    """NIH's label cells, diseases joined with ``|``, as ``(n, 14)`` uint8."""
    labels = np.zeros((len(cells), len(DISEASES)), np.uint8)
    known: dict[str, tuple[list[int], str]] = {}  # few hundred combinations in 112,120 rows
    for row, cell in enumerate(cells):
        if cell not in known:
            known[cell] = _parse_labels(cell)
        marks, problem = known[cell]
        labels[row, marks] = 1
        if problem:
            problems.add("label", row, problem)
    return labels


def _parse_labels(cell: str) -> tuple[list[int], str]:
    """Columns of a label cell, and what is wrong with it."""
    parts = [part.strip() for part in cell.split("|")]
    if parts == [""]:
        return [], f"no label; write {NO_FINDING!r} for an image without any of the 14"
    unknown = [part for part in parts if plain(part) not in _DISEASE | {_NO_FINDING: -1}]
    if unknown:
        hint = did_you_mean(unknown[0][:CELL_SHOWN], (*DISEASES, NO_FINDING))
        return [], f"unknown disease {_short(unknown[0])}{hint}"
    marks = [_DISEASE[plain(part)] for part in parts if plain(part) != _NO_FINDING]
    if marks and len(marks) < len(parts):
        return [], f"{_short(cell)} says {NO_FINDING!r} and a disease at once"
    return marks, ""


def _one_hot(
    cells: Sequence[Sequence[str]], columns: Columns, header: Sequence[str], problems: _Problems
) -> np.ndarray:
    """The 14 columns of zeros and ones as ``(n, 14)`` uint8."""
    labels = np.zeros((len(cells), len(DISEASES)), np.uint8)
    for row, cell in enumerate(cells):
        for place, column in enumerate(columns.diseases):
            mark = YES_NO.get(cell[column].strip().lower())
            if mark is None:
                what = f"{header[column]} is {_short(cell[column])}; write 0 or 1"
                problems.add("0 or 1", row, what)
            else:
                labels[row, place] = mark
        normal = "0" if columns.no_finding is None else cell[columns.no_finding]
        if labels[row].any() and YES_NO.get(normal.strip().lower()):
            problems.add("both", row, f"{NO_FINDING!r} and a disease at once")
    return labels


def _patients(
    cells: Sequence[Sequence[str]],
    columns: Columns,
    images: Sequence[str],
    problems: _Problems,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Whom each image shows, ``(n,)`` str, and what had to be assumed."""
    if columns.patient is not None:
        values = [row[columns.patient].strip() for row in cells]
        for row, value in enumerate(values):
            if not value or value.lower() in ("nan", "na", "none", "null"):
                problems.add("patient", row, "no patient; an image of an unknown patient leaks")
            elif len(value) > LONGEST_ID:
                problems.add("long", row, _too_long("patient", value))
                values[row] = ""
        return np.array(values), ()
    numbers = [NIH_NAME.fullmatch(stem(name.rpartition("/")[2])) for name in images]
    if all(numbers):
        return np.array([str(int(match[1])) for match in numbers if match]), (
            "no patient column; patients are told from NIH's file names (00000001_000.png)",
        )
    return np.array([name[:LONGEST_ID] for name in images]), (
        "no patient column: every image counts as a patient of its own. Where patients have "
        "several images, scores on validation and test will be too good",
    )
