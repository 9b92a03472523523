"""A study's trials as CSV: a line a trial, a column a gene and a column a label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxrsearch.data.labels import table_text
from cxrsearch.data.labels.table_text import text_cell
from cxrsearch.writing import check_file
from search.files import write_text

from .rows import Row
from .view import read_view

EXPORT_COLUMNS = (
    "number", "state", "reason", "value", "interval_low", "interval_high", "generation", "origin",
    "parents", "seed", "attempt", "best_epoch", "epochs_run", "images_seen", "seconds", "start",
    "end", "device", "split", "detail", "parameters", "confirms", "round",
)  # fmt: skip


OURS = re.compile(",".join(EXPORT_COLUMNS[:4]).encode())
"""How such a table begins."""


def export_csv(folder: Path, out: Path) -> Path:
    """Write the trials of the study in ``folder`` to the CSV file ``out``, atomically.

    Columns: number, state, value and attributes, ``objective_<name>`` for each further objective
    (empty where a trial is not complete), then ``param_<gene>`` (empty where the gene was not
    active), then ``auroc_<label>`` with its interval. ``value`` of a trial that is
    not complete is its best so far. Reruns of finalists are lines too: ``confirms`` is the
    trial whose recipe they train again, ``round`` the fresh split, whose value does not compare
    with those of the search. Times are seconds since 1970. Text that a spreadsheet
    would take for a formula gets an apostrophe in front.

    Raises:
        search.errors.StudyError: where there is no study in ``folder``.
        InputError: where ``out`` cannot be written, or holds something that is not such a table.
    """
    check_file(out, "trials.csv", OURS)
    write_text(out, csv_text(read_view(folder, curves=False).every_row))
    return out


def csv_text(rows: Sequence[Row]) -> str:
    """The CSV text of ``rows``, with Unix line ends."""
    genes = list(dict.fromkeys(name for r in rows for name in (*r.params, *r.settings)))
    labels = list(dict.fromkeys(name for r in rows for name in r.auroc))
    further = list(dict.fromkeys(name for r in rows for name in list(r.objectives)[1:]))
    heads = [
        *EXPORT_COLUMNS,
        *(f"objective_{name}" for name in further),
        *(f"param_{gene}" for gene in genes),
    ]
    for label in labels:
        heads += [f"auroc_{label}", f"auroc_{label}_low", f"auroc_{label}_high"]
    lines = []
    for r in rows:
        params = {**r.settings, **r.params}
        line = [*_attributes(r), *(r.objectives.get(name) for name in further)]
        line += [*(params.get(gene) for gene in genes)]
        for label in labels:
            line += [r.auroc.get(label), *(r.intervals.get(label) or (None, None))]
        lines.append([_cell(value) for value in line])
    return table_text.csv_text([_cell(head) for head in heads], lines)


def _attributes(r: Row) -> list[Any]:
    low, high = r.interval or (None, None)
    parents = " ".join(str(parent) for parent in r.parents)
    return [
        r.number, r.state, r.reason, r.value, low, high, r.generation, r.origin, parents, r.seed,
        r.attempt, r.best_epoch, r.epochs_run, r.images_seen, r.seconds, r.start, r.end, r.device,
        r.split, r.detail, r.parameters, r.confirms, r.round,
    ]  # fmt: skip


def _cell(value: Any) -> Any:
    return text_cell(value) if isinstance(value, str) else value
