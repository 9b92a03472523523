from __future__ import annotations

import math
from threading import Event, Thread
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from search.genetic import RUNNING, GeneticSampler
from search.past import Tried, is_bad
from search.surrogate import _libraries, one_thread


def test_a_region_that_diverges_is_left_alone() -> None:
    def objective(trial: optuna.Trial) -> float:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return math.inf if x > 0.5 else -x - y  # the best lies at the edge of the cliff

    study = optuna.create_study(sampler=GeneticSampler(seed=1))
    study.optimize(objective, n_trials=30)
    late = [math.isinf(t.value or 0.0) for t in study.trials[15:]]
    assert sum(late) <= 8
    assert study.best_value < -1.3


def test_stopped_with_nothing_but_infinities_is_bad_too() -> None:
    def stopped(*values: float) -> optuna.trial.FrozenTrial:
        return create_trial(
            state=TrialState.PRUNED, intermediate_values=dict(enumerate(values, start=1))
        )

    assert is_bad(stopped(-math.inf, math.inf))
    assert not is_bad(stopped(-math.inf, 0.5))
    assert not is_bad(stopped())


def test_a_failure_before_the_last_gene_leaves_the_rest_of_its_model_open() -> None:
    def objective(trial: optuna.Trial) -> float:
        model = trial.suggest_categorical("model", ["a", "b"])
        if trial.number == 2:
            raise MemoryError
        return trial.suggest_float(f"{model}_x", 0, 1) + (model == "b")

    study = optuna.create_study(sampler=GeneticSampler(seed=4))
    study.enqueue_trial({"model": "a"})
    study.enqueue_trial({"model": "b"})
    study.enqueue_trial({"model": "a"})
    study.optimize(objective, n_trials=16, catch=(MemoryError,))
    assert study.trials[2].params == {"model": "a"}
    assert sum(t.params["model"] == "a" for t in study.trials[3:]) > 6


def test_a_failure_with_all_its_genes_is_not_tried_again() -> None:
    tried = Tried()
    tried.add({"model": "a", "x": 0.1})
    tried.add_cut({"model": "b"}, {"model": "b", "x": 0.3})
    tried.add_cut({"model": "a", "x": 0.2}, {"model": "a", "x": 0.2, "y": 0.5})
    assert {"model": "a", "x": 0.2, "y": 0.9} in tried
    assert {"model": "b", "x": 0.3} in tried
    assert {"model": "b", "x": 0.4} not in tried


def test_a_trial_that_has_begun_to_ask_for_genes_blocks_no_others() -> None:
    def suggest(trial: optuna.Trial) -> None:
        trial.suggest_float("x" + trial.suggest_categorical("model", ["a", "b"]), 0, 1)

    study = optuna.create_study(sampler=GeneticSampler(seed=1))
    for _ in range(10):
        trial = study.ask()
        suggest(trial)
        study.tell(trial, float(trial.params["model"] == "b"))
    begun = study.ask()
    begun.suggest_categorical("model", ["a", "b"])
    models = set()
    for _ in range(6):
        trial = study.ask()
        suggest(trial)
        models.add(trial.params["model"])
    assert begun.params["model"] in models


def test_hundreds_of_running_trials_cost_no_more_than_the_latest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    class Counting:
        def __init__(self, features: Any, early: Any, found: Any, running: Any, number: int):
            seen.append(len(running))
            raise StopIteration

    study = optuna.create_study(sampler=GeneticSampler(seed=1))
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=8)
    monkeypatch.setattr("search.genetic.Model", Counting)
    for _ in range(100):
        trial = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params={"x": 0.5},
            distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
        )
        study.add_trial(trial)
    with pytest.raises(StopIteration):
        study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    assert seen == [RUNNING]


def test_choices_that_cannot_be_looked_up_are_no_switches() -> None:
    def objective(trial: optuna.Trial) -> float:
        units = trial.suggest_categorical("units", [[1], [2]])  # type: ignore[list-item]
        deep = trial.suggest_categorical("deep", [True, False])
        return units[0] + (trial.suggest_float("x", 0, 1) if deep else 0.5)  # type: ignore[index]

    study = optuna.create_study(sampler=GeneticSampler(seed=1))
    with pytest.warns(UserWarning, match="Choices for a categorical"):
        study.optimize(objective, n_trials=15)
    assert study.best_value < 1.5


@pytest.mark.parametrize("scale", [1e-170, 1.0, 1e200, 1.5e308])
def test_values_of_any_size_teach_the_same(scale: float) -> None:
    def best(by: float) -> list[float]:
        study = optuna.create_study(sampler=GeneticSampler(seed=2))
        study.optimize(lambda t: by * (t.suggest_float("x", 0, 1) - 0.3) ** 2, n_trials=14)
        return [t.params["x"] for t in study.trials]

    if scale == 1.0:
        assert min(abs(x - 0.3) for x in best(1.0)) < 0.01
    assert [round(x, 3) for x in best(scale)][:9] == [round(x, 3) for x in best(1.0)][:9]


def test_ranges_with_more_levels_than_a_float_can_tell_apart_are_searched() -> None:
    study = optuna.create_study(sampler=GeneticSampler(seed=1))
    study.optimize(lambda t: float(t.suggest_int("n", 0, 2**64 - 1)), n_trials=12)
    assert study.best_value < 2**63


def test_the_second_to_want_one_thread_waits_for_the_first() -> None:
    def threads() -> set[int]:
        return {each["num_threads"] for each in _libraries().info() if each["user_api"] == "blas"}

    before, order = threads(), []
    inside = Event()

    def second() -> None:
        inside.wait(5)
        with one_thread():
            order.append(("second", threads()))

    worker = Thread(target=second)
    worker.start()
    with one_thread():
        inside.set()
        worker.join(0.2)
        order.append(("first", threads()))
    worker.join(5)
    assert order == [("first", {1}), ("second", {1})]
    assert threads() == before
