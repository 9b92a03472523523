"""Several objectives: the front's numbers, its figures, and everywhere else they appear."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxrsearch.show.compare import compare_views, lines
from cxrsearch.show.comparison import comparison_html
from cxrsearch.show.dashboard import dashboard_html
from cxrsearch.show.export import csv_text
from cxrsearch.show.panels.front import field, front, volumes
from cxrsearch.show.panels.front_figures import front_figure, staircase, volume_figure
from cxrsearch.show.panels.table import table
from cxrsearch.show.status import status_of, status_text
from cxrsearch.show.view import StudyView

FOUND = [(0.6, 10.0), (0.7, 100.0), (0.65, 1000.0), (0.7, 300.0), (0.8, 1000.0)]
"""AUROC and seconds: trials 0, 1 and 4 are the front; 2 and 3 are dominated."""


def several(make: SimpleNamespace, found: Any = FOUND, **given: Any) -> StudyView:
    trials = [make.trial(n, value=v, others=[s]) for n, (v, s) in enumerate(found)]
    trials += [make.trial(len(trials), "pruned"), make.trial(len(trials) + 1, "failed")]
    two = {"directions": ("maximize", "minimize"), "metrics": ("auroc", "seconds")}
    view: StudyView = make.view(trials, **two, **given)
    return view


def test_the_front_is_what_none_dominates_the_best_auroc_first(make: SimpleNamespace) -> None:
    view = several(make)
    found = front(view.rows, view.goals)
    assert [r.number for r in found.on] == [4, 1, 0]
    assert [r.number for r in found.off] == [2, 3]
    assert view.best is not None
    assert view.best.number == 4


def test_the_best_of_equal_aurocs_is_the_cheaper_one(make: SimpleNamespace) -> None:
    view = several(make, [(0.7, 300.0), (0.7, 100.0), (0.6, 1.0)])
    assert view.best is not None
    assert view.best.number == 1


def test_hypervolume_is_the_share_of_the_field(make: SimpleNamespace) -> None:
    """Seconds count by their logarithm: 100 of 10 to 1000 is half way."""
    view = several(make)
    ends = field([r for r in view.rows if r.worth], view.goals)
    found = dict(volumes(view.rows, view.goals, ends))
    assert found[0] == 0.0  # the worst AUROC of all spans no box
    assert found[1] == found[2] == pytest.approx(0.5 * 0.5)
    assert found[3] == pytest.approx(found[1])
    assert found[4] == pytest.approx(found[1])  # the slowest of all spans none either


def test_figures_show_every_complete_trial_and_join_the_front(make: SimpleNamespace) -> None:
    view = several(make)
    found = front(view.rows, view.goals)
    traces = {trace.name: trace for trace in front_figure(found, "seconds").data}
    assert list(traces["Pareto front"].x) == [1000.0, 100.0, 10.0]
    assert list(traces["dominated"].y) == [0.65, 0.7]
    assert "lr:" in traces["Pareto front"].text[0]
    assert "seconds 1000" in traces["Pareto front"].text[0]
    assert [r.number for r in staircase(found, "seconds")] == [0, 1, 4]
    line, dots = volume_figure(found).data
    assert list(line.x) == [0, 1, 2, 3, 4]
    assert list(dots.x) == [0, 1, 4]


def test_a_single_objective_has_no_front(make: SimpleNamespace) -> None:
    view = make.view([make.trial(n) for n in range(3)])
    assert front(view.rows, view.goals).on == []
    assert status_of(view)["front"] == []
    assert "Pareto" not in dashboard_html(view, make.start)
    assert not any("Pareto" in label for label, _ in lines(compare_views([view])))


@pytest.mark.parametrize("found", [[], FOUND[:1], FOUND, FOUND * 4])
def test_the_page_has_a_front_however_many_trials(make: SimpleNamespace, found: Any) -> None:
    page = dashboard_html(several(make, found), make.start + 1000)
    assert '<section id="front">' in page
    assert "training time (seconds)" in page
    assert ("there is no front" in page) == (not found)


def test_three_objectives_have_a_figure_for_each_pair_with_the_first(
    make: SimpleNamespace,
) -> None:
    trials = [
        make.trial(n, value=0.6 + n / 100, others=[10.0 + n, 5e6 - n], attrs={"parameters": 5})
        for n in range(4)
    ]
    view = make.view(
        trials,
        directions=("maximize", "minimize", "minimize"),
        metrics=("auroc", "seconds", "parameters"),
    )
    found = front(view.rows, view.goals)
    assert len(found.on) == 4
    names = [trace.name for trace in front_figure(found, "parameters").data]
    assert names == ["Pareto front"]  # with three there is no line between
    page = dashboard_html(view, make.start + 1000)
    assert "training time (seconds)" in page
    assert "trainable parameters" in page


def test_status_lists_the_front(make: SimpleNamespace) -> None:
    record = status_of(several(make), make.start)
    assert record["objectives"] == ["auroc", "seconds"]
    assert record["front"][0] == {"number": 4, "values": {"auroc": 0.8, "seconds": 1000.0}}
    assert record["best"]["number"] == 4
    text = status_text(record)
    assert "Pareto front: 3 of 5 complete trials" in text
    assert "0.7000" in text


def test_table_and_csv_have_a_column_for_each_objective(make: SimpleNamespace) -> None:
    view = several(make)
    found = table(view.rows)
    place = [name for name, _ in found.columns].index("seconds")
    assert [entry.cells[place].text for entry in found.entries][:2] == ["10", "100"]
    assert found.entries[5].cells[place].text == "–"  # pruned
    lines = list(csv.DictReader(io.StringIO(csv_text(view.rows))))
    assert [line["objective_seconds"] for line in lines[:2]] == ["10.0", "100.0"]
    assert lines[5]["objective_seconds"] == ""


def test_model_size_is_in_the_table_where_it_is_known(make: SimpleNamespace) -> None:
    rows = make.view([make.trial(0, attrs={"parameters": 6968206}), make.trial(1)]).rows
    found = table(rows)
    place = [name for name, _ in found.columns].index("parameters")
    assert [entry.cells[place].text for entry in found.entries] == ["6,968,206", "–"]
    assert "parameters" not in [name for name, _ in table(rows[1:]).columns]


def test_comparison_measures_all_fronts_in_one_field(make: SimpleNamespace) -> None:
    better = several(make, [(0.9, 5.0), (0.95, 50.0)], name="better", folder=Path("b"))
    worse = several(make, name="worse", folder=Path("w"))
    rows = compare_views([better, worse]).rows
    assert rows[0].volume is not None
    assert rows[1].volume is not None
    assert 0 < rows[1].volume < rows[0].volume < 1
    assert [row.front for row in rows] == [2, 3]
    page = comparison_html([better, worse], make.start)
    assert '<section id="front">' in page
    single = make.view([make.trial(0)], name="single")
    assert all(row.volume is None for row in compare_views([better, single]).rows)
