"""Tables of a report."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from cxrsearch.report.tables import counts_of, write_tables
from cxrsearch.report.words import table_of


def counted(n: int, positives: int) -> dict[str, Any]:
    return {"value": 0.5, "n": n, "positives": positives}


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"sensitivity": counted(13, 13), "auroc": counted(142, 13)}, (142, 13)),
        ({"threshold": counted(115, 11), "sensitivity": counted(13, 13),
          "accuracy": counted(142, 13)}, (142, 13)),
        ({"threshold": counted(115, 11)}, (115, 11)),
        ({"mean": {"files": {}}, "outside": counted(142, 13)}, (142, 13)),
    ],
)  # fmt: skip
def test_a_row_counts_the_images_that_its_label_is_judged_on(
    figures: dict[str, Any], expected: tuple[int, int]
) -> None:
    assert counts_of(figures) == expected


CONTENT: dict[str, Any] = {
    "labels": {"Mass": {"auroc": counted(142, 13), "brier": counted(142, 13)}},
    "mean": {"auroc": counted(142, 13)},
    "macro": {"auroc": counted(142, 13)},
    "micro": {"auroc": counted(430, 40)},
}


def test_a_table_has_no_row_without_a_figure(tmp_path: Path) -> None:
    write_tables(tmp_path, CONTENT)
    rows = {}
    for name in ("labels", "calibration"):
        with (tmp_path / f"{name}.csv").open() as file:
            rows[name] = [row["label"] for row in csv.DictReader(file)]
    assert rows == {"labels": ["Mass", "mean", "macro", "micro"], "calibration": ["Mass"]}


def test_the_page_says_that_the_micro_average_counts_marks() -> None:
    rows = table_of(CONTENT, ("auroc",), ("mean", "micro"))["rows"]
    assert [row["n"] for row in rows] == ["142", "142", "430 marks"]
