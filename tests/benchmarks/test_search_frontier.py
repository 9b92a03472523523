"""Rules of early stopping replayed on recipes whose curves are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.search import stopping
from benchmarks.search.frontier import __main__ as command
from benchmarks.search.frontier.__main__ import Judge, at_equal_epochs, main, search_of
from benchmarks.search.frontier.curve_model import CurveModel, best_so_far
from benchmarks.search.frontier.rules import KINDS, Recipes, Replay, Rule, hindsight
from benchmarks.search.problems import EPOCHS, Curve
from benchmarks.search.stopping import Cell


def crossing(task: str, params: Any) -> Curve:
    """A curve that ends at ``max_dropout`` and is the slower the larger ``momentum``."""
    epochs = np.arange(1, EPOCHS + 1)
    values = params["max_dropout"] * (1 - np.exp(-epochs / (20 * params["momentum"])))
    return Curve(2.0 * epochs, values, values)


def drawn(count: int = 40, epochs: int = 52) -> Recipes:
    """The same, of two genes."""
    genes = np.random.default_rng(0).random((count, 2))
    speed = 1 + 20 * genes[:, 1:]
    return Recipes(genes, genes[:, :1] * (1 - np.exp(-np.arange(1, epochs + 1) / speed)))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_replay_spends_and_completes_what_the_search_did(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "lcbench_curve", crossing)
    recipes, spent, final = search_of(Cell("t", "random", "promote, no margin", 0.0, seed, 30))
    found = Replay(recipes, Rule()).run()
    assert found.spent == spent
    assert recipes.values[found.complete, -1].max() == final
    assert spent < recipes.values.size


def test_genes_tell_what_equal_curves_come_to() -> None:
    genes = np.linspace(0, 1, 20)[:, None]
    values = np.repeat(np.linspace(0.1, 0.4, 4)[None], 20, axis=0)
    values[:, 3] += genes[:, 0]
    reached = np.where(np.arange(20) % 2, 4, 3)
    paused = np.flatnonzero(reached == 3)
    told = CurveModel(best_so_far(values), genes, [2, 3, 4], reached).expected(paused, 1)
    blind = CurveModel(best_so_far(values), None, [2, 3, 4], reached).expected(paused, 1)
    assert told is not None
    assert blind is not None
    assert np.abs(told - values[paused, 3]).max() < 0.1
    assert np.ptp(blind) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("told", [True, False])
def test_the_model_does_not_look_beyond_where_a_trial_stands(told: bool) -> None:
    recipes = drawn()
    reached = np.where(np.arange(40) % 3, 52, 3)
    rows = np.flatnonzero(reached == 3)
    later = recipes.values.copy()
    later[rows, 3:] = 9.0
    one, two = (
        CurveModel(best_so_far(v), recipes.genes if told else None, [3, 6, 52], reached).expected(
            rows, 0
        )
        for v in (recipes.values, later)
    )
    assert one is not None
    assert two is not None
    assert (one == two).all()


def test_nothing_is_expected_where_too_few_went_on() -> None:
    recipes = drawn(10)
    reached = np.array([52, 52] + [3] * 8)
    model = CurveModel(best_so_far(recipes.values), recipes.genes, [3, 52], reached)
    assert model.expected(np.array([5]), 0) is None


@pytest.mark.parametrize("sees", KINDS)
def test_a_stricter_rule_takes_fewer_epochs_and_completes_fewer(sees: Any) -> None:
    loose, strict = (Replay(drawn(), Rule(keep=k, sees=sees)).run() for k in (0.5, 0.25))
    assert strict.spent < loose.spent < drawn().values.size
    assert len(strict.complete) < len(loose.complete)
    assert loose.kept().top >= strict.kept().top


@pytest.mark.parametrize("sees", KINDS)
def test_hindsight_that_stops_nobody_loses_nothing(sees: Any) -> None:
    found = hindsight(drawn(), (1, 1, 1, 1), sees)
    assert (found.epochs, found.short, found.lost, found.top) == (1.0, 0.0, 0.0, 1.0)


def test_a_budget_ends_a_replay_after_the_leg_that_spends_it() -> None:
    found = Replay(drawn(200), Rule(grace=1, spacing=3, keep=1 / 3), budget=500).run()
    assert 500 <= found.spent < 500 + 52
    assert found.started < 200


def test_a_budget_that_outlasts_the_recipes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "random_recipes", lambda task, seed: drawn())
    assert at_equal_epochs("t", 0, Rule(), 200) <= 1
    with pytest.raises(ValueError, match="not 5000: raise ENDLESS"):
        at_equal_epochs("t", 0, Rule(), 5000)


def test_tasks_weigh_the_same_whatever_their_searches() -> None:
    judge = Judge(["a", "a", "a", "b"])
    assert judge.text(np.array([1.0, 1.0, 1.0, 0.0]), 1, 2).startswith("0.50 (")


def test_an_unknown_task_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--tasks", "3945,nope"])
    assert "nope" in capsys.readouterr().err
