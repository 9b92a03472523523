from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.report.doubts import DOUBT_COLUMNS, doubts_in, doubts_of, look_alikes
from cxrsearch.report.evidence import Evidence


def test_flipped_marks_are_found_first_whatever_the_prevalence() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((1000, 2)) < np.array([0.05, 0.5])
    scores = 1 / (1 + np.exp(-(rng.normal(0, 1, truth.shape) + np.where(truth, 3, -3))))
    marks = truth.astype(np.uint8)
    flipped = [np.flatnonzero(truth[:, k])[:3] for k in range(2)]
    for column, rows in enumerate(flipped):
        marks[rows, column] = 0
    found, thresholds = doubts_in(marks, scores)
    for column, rows in enumerate(flipped):
        first = [doubt for doubt in found if doubt.column == column and not doubt.mark]
        sure = [row for row in rows if scores[row, column] >= (thresholds[column].positive or 1)]
        assert sure
        assert set(sure) <= {doubt.row for doubt in first}
        assert all(0 <= doubt.margin <= 1 for doubt in first)
        margins = [doubt.margin for doubt in found if doubt.column == column]
        assert margins == sorted(margins, reverse=True)


def test_thresholds_are_means_and_few_marks_have_none() -> None:
    marks = np.array([[1, 1]] * 5 + [[0, 0]] * 5, np.float32)
    marks[0, 1] = np.nan
    scores = np.tile(np.linspace(0.9, 0.0, 10)[:, None], 2)
    scores[9, 0], scores[0, 0] = 0.95, 0.05
    found, thresholds = doubts_in(marks, scores)
    assert thresholds[1].positive is None
    assert thresholds[0].positive == pytest.approx(scores[:5, 0].mean())
    assert thresholds[0].negative == pytest.approx(scores[5:, 0].mean())
    assert {(doubt.row, doubt.mark) for doubt in found} == {(9, 0), (0, 1)}


def test_a_report_has_a_table_and_thumbnails(evidence: Evidence, tmp_path: Path) -> None:
    content = doubts_of(evidence, tmp_path)
    json.dumps(content, allow_nan=False)
    with (tmp_path / content["table"]).open(newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == DOUBT_COLUMNS
    count = sum(label["in_doubt"] or 0 for label in content["labels"].values())
    assert len(rows) == count > 0
    for name, label in content["labels"].items():
        for shown in label["shown"]:
            assert (tmp_path / shown["file"]).is_file()
            assert shown["label"] == name
            assert f"{shown['probability']:.3f}" in shown["reason"]


def test_the_same_picture_with_other_marks_is_named(evidence: Evidence, tmp_path: Path) -> None:
    opened = evidence.opened
    images = np.array(opened.cache.images)
    marks = np.asarray(opened.dataset.labels)
    mass = opened.dataset.label_names.index("Mass")
    one, other = 3, next(r for r in range(4, 60) if marks[r, mass] != marks[3, mass])
    images[other] = images[one]
    cache = replace(opened.cache, images=images)
    changed = replace(evidence, opened=opened._replace(cache=cache))
    groups, notes = look_alikes(changed)
    assert not notes
    (group,) = groups
    names = opened.dataset.names
    assert group["images"] == [names[one], names[other]]
    assert not group["across"]
    assert set(group["labels"]) == {
        opened.dataset.label_names[k] for k in np.flatnonzero(marks[one] != marks[other])
    }
    doubts_of(changed, tmp_path)
    table = (tmp_path / "doubts.csv").read_text()
    assert f"the same picture as {names[one]}, which is marked otherwise" in table


def test_no_cell_of_the_table_begins_like_a_formula(evidence: Evidence, tmp_path: Path) -> None:
    opened = evidence.opened
    names = tuple(f"={name}" for name in opened.dataset.names)
    seen = replace(evidence.seen, names=names)
    opened = opened._replace(
        dataset=replace(opened.dataset, names=names), cache=replace(opened.cache, names=names)
    )
    doubts_of(replace(evidence, opened=opened, seen=seen), tmp_path)
    with (tmp_path / "doubts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(row["image"].startswith("./=") for row in rows)
