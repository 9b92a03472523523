"""The table of all trials, as plain cells for the page and for CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cxrsearch.show.clock import duration
from cxrsearch.show.rows import Row, best_row
from cxrsearch.show.section import Section
from cxrsearch.show.theme import show
from cxrsearch.show.view import StudyView

from .front import value_text


class TableCell(NamedTuple):
    """What is shown, and what is sorted by (a number, or text)."""

    text: str
    key: str
    numeric: bool = False


class Entry(NamedTuple):
    """One line: the trial, and whether it is the best."""

    row: Row
    best: bool
    cells: list[TableCell]


class TrialTable(NamedTuple):
    """Columns (name, whether of numbers), lines, and the settings that never change."""

    columns: list[tuple[str, bool]]
    entries: list[Entry]
    fixed: dict[str, Any]


FIRST_COLUMNS = ("trial", "state", "AUROC", "95% interval")
RUN = ("epochs run", "time", "generation")
TAIL = ("origin", "reason")


def table(rows: Sequence[Row]) -> TrialTable:
    """Every trial, by number. Genes with one value throughout are left to ``fixed``."""
    names = list(dict.fromkeys(name for r in rows for name in r.params))
    numeric = {name for name in names if all(_is_number(r.params.get(name, 0)) for r in rows)}
    first = rows[0].settings if rows else {}
    fixed = {
        name: value
        for name, value in first.items()
        if name not in names and all(r.settings.get(name, value) == value for r in rows)
    }
    best = best_row(rows)
    costs = _costs(rows)
    entries = [
        Entry(r, best is not None and r.number == best.number, _cells(r, costs, names, numeric))
        for r in rows
    ]
    columns = [
        *((name, name != "state") for name in (*FIRST_COLUMNS, *costs, *RUN)),
        *((name, name in numeric) for name in names),
        *((name, False) for name in TAIL),
    ]
    return TrialTable(columns, entries, fixed)


def _costs(rows: Sequence[Row]) -> list[str]:
    """Further objectives, and the size of the model where it is known."""
    found = dict.fromkeys(name for r in rows for name in list(r.objectives)[1:])
    if any(r.parameters is not None for r in rows):
        found["parameters"] = None
    return list(found)


def _cost(row: Row, name: str) -> TableCell:
    size = row.parameters if name == "parameters" else None
    value = row.objectives.get(name, size)
    return _number(value, "–" if value is None else value_text(name, value))


def _number(value: float | None, shown: str) -> TableCell:
    return TableCell(shown, "" if value is None else repr(float(value)), True)


def _cells(
    row: Row, costs: Sequence[str], names: Sequence[str], numeric: set[str]
) -> list[TableCell]:
    low = None if row.interval is None else row.interval[0]
    interval = "–" if row.interval is None else f"{row.interval[0]:.3f} to {row.interval[1]:.3f}"
    epochs = "–" if row.epochs_run is None else str(row.epochs_run)
    return [
        _number(row.number, str(row.number)),
        TableCell(row.state, row.state),
        _number(row.value, "–" if row.value is None else f"{row.value:.4f}"),
        _number(low, interval),
        *(_cost(row, name) for name in costs),
        _number(row.epochs_run, epochs),
        _number(row.seconds, duration(row.seconds)),
        _number(row.generation, str(row.generation)),
        *(_gene(row, name, name in numeric) for name in names),
        TableCell(row.origin or "–", row.origin),
        TableCell(row.reason or "–", row.reason),
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _gene(row: Row, name: str, numeric: bool) -> TableCell:
    if name not in row.params:
        return TableCell("n/a", "", numeric)
    value = row.params[name]
    return _number(float(value), show(value)) if numeric else TableCell(str(value), str(value))


def sections(view: StudyView, now: float) -> list[Section]:
    """Every trial as a line."""
    return [
        Section(
            "trials", "Trials", "Every trial", macro="trials", values={"table": table(view.rows)}
        )
    ]
