from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cxrsearch.show.compare import compare_views, lines
from cxrsearch.show.export import csv_text
from cxrsearch.show.panels.importance import importance
from cxrsearch.show.status import status_of, status_text
from cxrsearch.show.view import Look


def test_every_kind_of_study_has_a_status(make: SimpleNamespace, any_trials: list[Any]) -> None:
    record = json.loads(json.dumps(status_of(make.view(any_trials), now=1.8e9)))
    assert set(record["best"]) >= {"number", "value", "interval", "params", "test"}
    assert set(record["trials"]) == {
        "complete", "pruned", "failed", "repeated", "reruns", "running", "paused", "interrupted",
        "total",
    }  # fmt: skip
    assert record["name"] in status_text(record)


def test_best_is_an_object_of_nulls_until_a_trial_is_complete(make: SimpleNamespace) -> None:
    best = status_of(make.view([make.trial(0, "pruned")]))["best"]
    assert {best[key] for key in ("number", "value", "interval", "params", "test")} == {None}


def test_best_is_told_with_its_interval_and_parameters(make: SimpleNamespace) -> None:
    view = make.view([make.trial(0, value=0.6), make.trial(1, value=0.7)])
    best = status_of(view)["best"]
    assert (best["number"], best["value"], best["test"]) == (1, 0.7, None)
    assert best["interval"] == pytest.approx([0.65, 0.75])
    assert best["params"]["model"] == "densenet121"
    assert "validation, selected from 2" in status_text(status_of(view))


def test_test_score_is_that_of_the_best_trials_latest_look(make: SimpleNamespace) -> None:
    view = make.view([make.trial(0, value=0.6), make.trial(1, value=0.7)])
    looks = tuple(
        Look(str(i), "m", trial, mean, (0.5, 0.8), {}, {})
        for i, (trial, mean) in enumerate([(0, 0.5), (1, 0.61), (1, 0.62)])
    )
    record = status_of(replace(view, looks=looks))
    assert record["best"]["test"] == {"mean": 0.62, "interval": [0.5, 0.8], "looks": 2}
    assert record["looks"] == 3
    outside = replace(view, looks=(looks[1]._replace(part="external"),))
    assert status_of(outside)["best"]["test"] is None
    assert status_of(outside)["looks"] == 0
    of_another = status_of(replace(view, looks=looks[:1]))
    assert of_another["best"]["test"] is None


def test_names_that_look_like_markup_are_printed_as_they_are(make: SimpleNamespace) -> None:
    view = make.view([make.trial(0)], name="[red]x[/red]")
    assert "[red]x[/red]" in status_text(status_of(view))


def test_csv_has_a_line_a_trial_and_a_column_a_gene(make: SimpleNamespace) -> None:
    view = make.view(make.mixed())
    found = list(csv.DictReader(io.StringIO(csv_text(view.rows))))
    assert len(found) == 30
    assert found[0]["param_dropout"] == ""
    assert found[2]["param_dropout"] != ""
    assert float(found[0]["value"]) == pytest.approx(0.6)
    assert found[4]["state"] == "failed"
    assert found[12]["parents"] == "2 5"
    assert found[0]["auroc_Hernia"] == ""
    assert float(found[0]["auroc_Mass_low"]) == pytest.approx(0.5)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_holds_no_formula(make: SimpleNamespace, start: str) -> None:
    trial = make.trial(0, attrs={"detail": start + "cmd()", "lineage": {"operator": start}})
    found = next(csv.DictReader(io.StringIO(csv_text(make.view([trial]).rows), newline="")))
    assert found["detail"] == "'" + start.replace("\r", "\n") + "cmd()"


def test_comparison_puts_studies_side_by_side(make: SimpleNamespace) -> None:
    first = make.view(make.mixed(), name="a")
    second = make.view([], name="b")
    found = compare_views([first, second])
    cells = dict(lines(found))
    assert cells["best trial"][1] == "–"
    assert cells["trials"][0].startswith("30 (24 complete, 2 pruned")
    assert cells["  model"][1] == "n/a"
    assert [row.name for row in found.rows] == ["a", "b"]


def test_same_names_carry_their_folder(make: SimpleNamespace) -> None:
    names = [row.name for row in compare_views([make.view([]), make.view([])]).rows]
    assert names == ["tiny (tiny)", "tiny (tiny)"]


def test_what_is_not_recorded_is_said(make: SimpleNamespace) -> None:
    first = make.view([], name="a", attrs={"split_fingerprint": "1"})
    warnings = compare_views([first, make.view([], name="b")]).warnings
    assert warnings == ["The split of b is not recorded, so it may differ."]


def test_a_repeat_is_no_candidate_and_says_whose_value_it_has(make: SimpleNamespace) -> None:
    view = make.view([make.trial(0, value=0.6), make.repeat(1, 0, value=0.6)])
    record = status_of(view)
    assert (record["trials"]["complete"], record["trials"]["repeated"]) == (1, 1)
    assert (record["best"]["number"], record["best"]["selected_from"]) == (0, 1)
    assert "1 complete, 1 repeated" in status_text(record)
    line = csv_text(view.rows).splitlines()[2]
    assert line.startswith("1,repeated,as trial 0,0.6,")


def test_a_repeat_is_not_on_the_front(make: SimpleNamespace) -> None:
    goals = {"directions": ("maximize", "minimize"), "metrics": ("auroc", "seconds")}
    trials = [
        make.trial(0, value=0.6, others=(9.0,)), make.repeat(1, 0, value=0.6, others=(9.0,))
    ]  # fmt: skip
    assert [t["number"] for t in status_of(make.view(trials, **goals))["front"]] == [0]


def test_a_repeat_says_nothing_about_importance(make: SimpleNamespace) -> None:
    trials = [make.trial(n) for n in range(15)]
    again = [*trials, *(make.repeat(15 + n, n, value=0.9) for n in range(10))]
    assert importance(again) == importance(trials)
