"""The dashboard's section on what the best is worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxrsearch.show import chosen as module
from cxrsearch.show import page
from cxrsearch.show.chosen import choice_of
from cxrsearch.show.dashboard import dashboard_html
from cxrsearch.show.notes import headline
from cxrsearch.show.panels.worth import (
    course,
    course_figure,
    finalist_rows,
    finalists_figure,
    sections,
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held from another test, and Plotly's 4.8 MB are left out."""
    module._memory.clear()
    monkeypatch.setattr(page, "get_plotlyjs", lambda: "/* plotly.js */")


def confirmed_view(make: SimpleNamespace, point: str = "report", **given: Any) -> Any:
    trials = [make.trial(n, attrs={"point": point} if n == 0 else {}) for n in range(4)]
    for place in range(2):
        for finalist in (1, 0, 2):
            value = 0.7 - 0.03 * finalist + 0.001 * place
            trials.append(
                make.rerun(len(trials), finalist, place, {1: value}, value=value)
            )  # fmt: skip
    trials += given.pop("more", [])
    return make.view(trials, attrs=make.finalists([1, 0, 2, 3], 6), **given)


def test_every_kind_of_study_has_the_section(make: SimpleNamespace, any_trials: Any) -> None:
    (found,) = sections(make.view(any_trials, alive=True), now=1.8e9)
    assert found.panels
    assert all(panel.figure is not None or panel.sentence for panel in found.panels)


def test_without_data_there_is_a_sentence(make: SimpleNamespace) -> None:
    (found,) = sections(make.view([]), now=1.8e9)
    assert [panel.sentence for panel in found.panels] == ["No trial is complete yet."]
    assert found.lead == ""


def test_several_objectives_have_no_course(make: SimpleNamespace) -> None:
    goals = {"directions": ("maximize", "minimize"), "metrics": ("auroc", "seconds")}
    (found,) = sections(make.view([make.trial(0, others=(9.0,))], **goals), now=1.8e9)
    assert "Of several objectives" in found.panels[0].sentence


def test_finalists_are_by_their_reruns_the_winner_first(make: SimpleNamespace) -> None:
    view = confirmed_view(make)
    found = finalist_rows(view, choice_of(view))
    assert [entry.number for entry in found] == [0, 1, 2, 3]
    assert [entry.name for entry in found][:2] == ["report (trial 0)", "trial 1"]
    assert [entry.verdict for entry in found] == ["winner", "worse", "worse", "not run yet"]
    assert [len(entry.reruns) for entry in found] == [2, 2, 2, 0]
    running = replace(view, record=SimpleNamespace(**(vars(view.record) | {"driver_alive": True})))
    more = replace(running, record=SimpleNamespace(
        **(vars(running.record) | {"attrs": make.finalists([1, 0, 2, 3], 9)})
    ))  # fmt: skip
    assert finalist_rows(more, choice_of(more))[0].verdict == "ahead so far"
    figure = finalists_figure(found, choice_of(view))
    names = {trace.name for trace in figure.data}
    assert names >= {"observed", "a rerun", "mean of its reruns", "confirmed, 95% interval"}


def test_a_finalist_that_failed_is_out(make: SimpleNamespace) -> None:
    more = [make.rerun(10, 3, 0, state="failed")]
    view = confirmed_view(make, more=more)
    found = {entry.number: entry.verdict for entry in finalist_rows(view, choice_of(view))}
    assert found[3] == "failed"
    reruns = sections(view, now=1.8e9)[0].values["reruns"]
    assert [line[:4] for line in reruns][-2:] == [
        ["9", "trial 2", "2", "complete"], ["10", "trial 3", "1", "failed (nan)"]
    ]  # fmt: skip


def test_the_curve_ends_in_what_the_best_is_worth(make: SimpleNamespace, tmp_path: Path) -> None:
    files = make.files(tmp_path)
    view = make.view([files.trial(n) for n in range(6)], folder=tmp_path)
    chosen = choice_of(view)
    figure = course_figure(course(view.rows, chosen.expected), chosen)
    last = figure.data[-1]
    assert last.name == "corrected, 95% interval"
    assert last.y[0] == pytest.approx(chosen.corrected)
    assert figure.data[0].y[-1] == pytest.approx(chosen.observed)


def test_names_are_escaped_wherever_they_stand(make: SimpleNamespace) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    text = dashboard_html(confirmed_view(make, point=evil), now=1.8e9)
    assert "onerror" in text
    assert "<img" not in text
    assert text.count("</script>") == text.count("<script")


def test_the_headline_has_corrected_and_confirmed_beside_observed(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    files = make.files(tmp_path)
    plain = make.view([files.trial(0), files.trial(1)], folder=tmp_path)
    facts = headline(plain, 1.8e9)
    assert [fact.label for fact in facts][:3] == [
        "Best AUROC, validation", "Corrected for luck", "Its AUROC, test"
    ]  # fmt: skip
    assert facts[1].value == f"{choice_of(plain).corrected:.3f}"
    assert "without the luck of its choice among all trials and their epochs" in facts[1].note
    facts = headline(confirmed_view(make), 1.8e9)
    assert (facts[1].value, facts[2].label, facts[2].value) == ("–", "Confirmed", "0.700")
    assert facts[2].note.endswith("trial 0, by 6 of 6 reruns")
    trials = next(fact for fact in facts if fact.label == "Trials")
    assert (trials.value, trials.note) == ("4", "4 complete, 6 reruns")


def test_before_the_first_rerun_has_ended_the_headline_says_how_far_it_is(
    make: SimpleNamespace,
) -> None:
    trials = [make.trial(0), make.rerun(1, 0, 0, state="running")]
    view = make.view(trials, attrs=make.finalists([0], 6), alive=True)
    fact = next(fact for fact in headline(view, 1.8e9) if fact.label == "Confirmed")
    assert (fact.value, fact.note) == ("–", "0 of 6 reruns so far")
    assert dashboard_html(view, now=1.8e9)
    assert replace(view, reruns=()).every_row == view.rows
