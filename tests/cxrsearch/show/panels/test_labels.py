"""What pages say of labels: of one, of thirty, of as many as PadChest has, and of odd names."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.show import page
from cxrsearch.show.dashboard import dashboard_html
from cxrsearch.show.marks import marks_text
from cxrsearch.show.notes import citations
from cxrsearch.show.panels.exposure import exposures, most_changed
from cxrsearch.show.panels.labels import (
    LABELS_DRAWN,
    label_scores,
    labels_figure,
    named,
    shown_in_figure,
)
from cxrsearch.show.panels.ratios import ratios
from cxrsearch.show.status import status_of, status_text
from cxrsearch.show.view import StudyView

ODD = 'A<B & "C"'
PADCHEST = 193


@pytest.fixture(autouse=True)
def without_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "get_plotlyjs", lambda: "/* plotly.js */")


def study(make: SimpleNamespace, names: Sequence[str], **data: Any) -> StudyView:
    """A study of two trials whose data have the labels ``names``."""
    count = len(names)
    trials = [
        make.trial(
            number,
            params={"ratio_label_1": 2.0, "train_seed": 0.5},
            attrs={
                "params": {"ratio_label_1": 2.0, "train_seed": 0.5},
                "auroc": {name: 0.5 + i / count / 3 for i, name in enumerate(names)},
                "intervals": {name: [0.4, 0.9] for name in names},
                "exposure": {name: 0.1 + 0.8 * i / count for i, name in enumerate(names)},
            },
            extra={"ratio_label_1": make.genes["lr"], "train_seed": make.genes["dropout"]},
        )
        for number in range(2)
    ]
    labels = {n: {"positive": 9, "negative": 90, "uncertain": 0, "unknown": 0} for n in names}
    counts = {name: 10 + i for i, name in enumerate(names)}
    settings = {
        "data": {"labels": {**labels, **data.pop("labels", {})}, **data},
        "splits": {"counts": {p: {"images": 400, **counts} for p in ("train", "val")}},
    }
    view: StudyView = make.view(trials, settings=settings)
    return view


@pytest.mark.parametrize("names", [["TB"], [f"label {i}" for i in range(30)], ["COVID-19", ODD]])
def test_every_label_of_the_study_is_on_its_page(make: SimpleNamespace, names: list[str]) -> None:
    view = study(make, names)
    assert view.labels == tuple(names)
    found = label_scores(view.best, None, view.counts["val"], view.labels)
    assert {d.name for d in found.judged} == set(names)
    assert len(labels_figure(found).data[0].x) == len(names)
    text = dashboard_html(view, now=1.7e9)
    assert "Hernia" not in text
    assert all(name in text for name in names if name != ODD)


def test_of_very_many_labels_a_figure_draws_the_surest_and_says_so(make: SimpleNamespace) -> None:
    view = study(make, [f"label {i}" for i in range(PADCHEST)])
    found = label_scores(view.best, None, view.counts["val"], view.labels)
    drawn = {d.name for d in shown_in_figure(found)}
    assert drawn == {f"label {i}" for i in range(PADCHEST - LABELS_DRAWN, PADCHEST)}
    text = dashboard_html(view, now=1.7e9)
    assert f"Drawn are the {LABELS_DRAWN} of {PADCHEST} labels that have the most" in text
    assert f"Shown are the {LABELS_DRAWN} of {PADCHEST} that this changed most" in text
    assert "<td>label 0</td>" in text  # the table has them all


def test_of_very_many_ratios_those_are_drawn_that_are_farthest_from_one(
    make: SimpleNamespace,
) -> None:
    view = study(make, [f"label {i}" for i in range(PADCHEST)])
    found = ratios(view.rows, view.counts["train"], view.labels)
    assert found is not None
    assert "label 1" in found.names
    assert (len(found.names), found.labels) == (LABELS_DRAWN, PADCHEST + 1)
    changed = most_changed(exposures(view.best, view.counts["train"], view.labels))
    assert len(changed) == LABELS_DRAWN


def test_a_label_with_marks_of_html_is_text_on_the_page(make: SimpleNamespace) -> None:
    view = study(make, [ODD, "Nodule/Mass"], uncertain_as={ODD: "soft"})
    text = dashboard_html(view, now=1.7e9)
    assert "A<B" not in text
    assert "<td>A&lt;B &amp; &#34;C&#34;</td>" in text
    figure = labels_figure(label_scores(view.best, labels=view.labels))
    assert 'A&lt;B &amp; "C"' in figure.layout.yaxis.ticktext


def test_marks_that_are_not_plain_are_counted_and_said(make: SimpleNamespace) -> None:
    labels = {
        "Edema": {"positive": 1, "negative": 2, "uncertain": 412, "unknown": 3100, "blank": 3200},
        "Mass": {"positive": 1, "negative": 2, "uncertain": 8, "unknown": 0},
    }
    policies = {
        "uncertain_as": {"Edema": "ignore", "Mass": "soft"},
        "blank_as": {"Edema": "negative"},
    }
    view = study(make, ["Edema"], labels=labels, **policies)
    assert view.marks == {"ignore": 412, "unknown": 3100, "soft": 8, "blank negative": 3200}
    said = (
        "Uncertain marks: 412 are ignored, 8 count as half in training; validation and test use "
        "none of them. Blank cells of the table: 3,200 count as negative. Marks not known: 3,100; "
        "they count nowhere."
    )
    assert marks_text(view.marks) == said
    assert said in dashboard_html(view, now=1.7e9)
    record = {**status_of(view, now=1.7e9)}
    assert record["labels"] == ["Edema", "Mass"]
    assert said in status_text(record)
    assert marks_text({}) == ""


def test_nihs_data_are_cited_where_the_labels_are_nihs(make: SimpleNamespace) -> None:
    assert "Wang X" in citations(study(make, DISEASES))[0]
    assert not any("Wang X" in text for text in citations(study(make, ["Edema"])))


def test_a_study_from_before_labels_had_names_has_those_of_nih(make: SimpleNamespace) -> None:
    view = make.view([make.trial(0)])
    assert (len(view.labels), view.labels[4], view.marks) == (14, "Mass", {})


def test_a_sentence_names_some_labels_and_counts_the_rest() -> None:
    assert named(["Pleural_Thickening", "TB"]) == "Pleural Thickening, TB"
    assert named([str(i) for i in range(25)], most=2) == "0, 1 and 23 more"
