"""A data set of any labels is looked at: one, hundreds, uncertain, unknown, of any names."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.data.about import read_people
from cxrsearch.data.request import DataRequest
from cxrsearch.show import page
from cxrsearch.show.panels.labels import LABELS_DRAWN
from cxrsearch.systems.eda.command import Exploration, explore
from cxrsearch.systems.eda.figures import axis_texts
from cxrsearch.systems.eda.label_counts import MOST_TOGETHER, explore_labels, together
from cxrsearch.systems.eda.page import explore_html
from cxrsearch.systems.eda.people import groups_of

TABLES = Path(__file__).parents[5] / "shared" / "label-tables"
NAN = np.nan


@pytest.fixture(autouse=True)
def no_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "get_plotlyjs", lambda: "/* plotly.js */")


def written(path: Path, header: list[str], rows: list[list[str]]) -> Exploration:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return explore(DataRequest(data=str(path)))


def said(found: Exploration) -> str:
    return "\n".join(f"{c.what}. {c.todo}" for c in found.cautions)


def test_what_is_not_known_counts_for_neither_side() -> None:
    labels = np.array([[1, NAN], [0, 0.8], [NAN, 0.2], [1, 0.5]], np.float32)
    uncertain = np.array([[0, 1], [0, 0], [0, 0], [0, 0]], bool)
    found = explore_labels(labels, np.array(["a", "a", "b", "c"]), ("x", "y"), uncertain)
    x, y, normal = found.prevalences
    assert (x.images, x.share, x.negative, x.uncertain, x.unknown) == (2, 2 / 3, 1, 0, 1)
    assert (x.patients, x.patient_share) == (2, 1.0)  # nothing is known of b
    assert (y.images, y.share, y.negative, y.uncertain, y.unknown) == (1, 0.5, 1, 1, 1)
    assert (normal.images, normal.share) == (1, 0.25)


def test_labels_go_together_over_the_images_of_which_both_are_known() -> None:
    labels = np.array([[1, 1], [1, NAN], [1, 0], [0, 1], [0, 0]], np.float32)
    found = together(labels, ("x", "y"))
    assert found.counts.tolist() == [[3, 1], [1, 2]]
    assert found.conditional[0, 1] == 0.5  # of the two images with x of which y is known
    assert found.lift[0, 1] == 1 / (2 * 2 / 4)


def test_groups_share_over_what_is_known() -> None:
    labels = np.array([[1], [NAN], [0], [0]], np.float32)
    (group,) = groups_of(np.array(["PA"] * 4), labels, np.array(list("abcd")))
    assert group.shares.tolist() == [1 / 3]


def test_columns_are_those_that_the_data_set_says() -> None:
    extra = {"Age": np.array(["1"]), "years": np.array(["50"]), "Frontal": np.array(["ap"])}
    people = read_people(extra, {"age": "years", "view": "Frontal"})
    assert people.age is not None
    assert people.view is not None
    assert (people.age[0], people.view[0], people.sex) == (50, "AP", None)


def test_a_year_of_birth_and_a_date_make_an_age() -> None:
    extra = {
        "PatientBirth": np.array(["1930.0", "", "2010"]),
        "StudyDate_DICOM": np.array(["20140915", "20140101", "20140101"]),
    }
    for roles in ({}, {"age": "PatientBirth"}):
        people = read_people(extra, roles)
        assert people.age is not None
        assert np.nan_to_num(people.age, nan=-1).tolist() == [84, -1, 4]


def test_one_label_alone_is_a_whole_page(tmp_path: Path) -> None:
    rows = [[f"{i}.png", str(i // 2), str(int(i % 3 == 0))] for i in range(90)]
    found = written(tmp_path / "t.csv", ["image", "patient", "COVID-19"], rows)
    assert found.rows.label_names == ("COVID-19",)
    html = explore_html(found, 0.0)
    assert "There is one label alone" in html
    assert "30 images" in html


def test_hundreds_of_labels_stay_readable(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"finding {i}" for i in range(193)]
    marks = (rng.random((400, 193)) < rng.random(193) ** 3 * 0.4).astype(int)
    marks[0], marks[1] = 1, 0
    rows = [[f"{i}.png", str(i), *map(str, row)] for i, row in enumerate(marks.tolist())]
    found = written(tmp_path / "t.csv", ["image", "patient", *names], rows)
    assert len(found.labels.together.names) == MOST_TOGETHER
    html = explore_html(found, 0.0)
    assert f"Shown are the {LABELS_DRAWN} commonest of 193 labels" in html
    assert f"Shown are the {MOST_TOGETHER} commonest of 193 labels" in html
    assert max(len(c.what) for c in found.cautions) < 600
    assert len(html) < 3_000_000


def test_names_of_any_kind_are_escaped_shortened_and_kept_apart() -> None:
    long = "a very long name of a label " * 4
    names = ["Nodule/Mass", "a < b & c", f"{long}1", f"{long}2", "Pleural_Thickening"]
    found = axis_texts(names)
    assert found[:2] == ["Nodule/Mass", "a &lt; b &amp; c"]
    assert found[4] == "Pleural Thickening"
    assert len(set(found)) == 5
    assert max(map(len, found)) < 50


@pytest.mark.real
@pytest.mark.skipif(not TABLES.exists(), reason="the real tables are not beside the checkout")
@pytest.mark.parametrize("path", sorted(TABLES.glob("*.csv")), ids=lambda path: path.stem)
def test_every_real_table_gives_a_page(path: Path) -> None:
    found = explore(DataRequest(data=str(path)))
    assert found.balance is not None
    html = explore_html(found, 0.0)
    for name in found.rows.label_names[:3]:
        assert name in html
    if "chexpert" in path.stem:
        assert "More often uncertain than positive" in said(found)
        assert "Pneumonia (109 uncertain, 34 positive)" in said(found)
        assert "blank cells" in html
        assert found.people.view is not None
        assert found.people.age is not None
    if "padchest" in path.stem:
        assert found.people.age is not None
        assert 30 < np.nanmedian(found.people.age) < 90
