from __future__ import annotations

import copy
import math
from threading import Event, Thread
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.genetic import GeneticSampler
from search.genetic.gaussian_process import (
    Data,
    GaussianProcess,
    Kernel,
    _libraries,
    one_thread,
)
from search.genetic.history import History
from search.genetic.model import RUNNING_BELIEVED
from search.trials import summary as past_module
from search.trials.pausing import AsSampled
from search.trials.summary import Past, Tried, is_bad, past


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


def test_hundreds_of_running_trials_cost_little_more_than_the_latest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    class Counting(GaussianProcess):
        def __init__(self, data: Data, kernel: Kernel) -> None:
            seen.append(len(data.values))
            super().__init__(data, kernel)

    study = optuna.create_study(sampler=GeneticSampler(seed=1))
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=8)
    monkeypatch.setattr("search.genetic.gaussian_process.GaussianProcess", Counting)
    for _ in range(100):
        trial = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params={"x": 0.5},
            distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
        )
        study.add_trial(trial)
    study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    assert set(seen) == {8 + RUNNING_BELIEVED}


def test_running_trials_are_encoded_once_and_anew_where_they_come_to_further_genes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[int] = []

    def counting(self: History, trial: FrozenTrial, known: Any) -> Any:
        encoded.append(trial.number)
        return plainly(self, trial, known)

    plainly = History._encoded
    monkeypatch.setattr(History, "_encoded", counting)
    space = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
    study = optuna.create_study(sampler=GeneticSampler(seed=1, space=space))
    study.optimize(lambda t: t.suggest_float("x", 0, 1) + t.suggest_float("y", 0, 1), n_trials=8)
    running = study.ask()
    running.suggest_float("x", 0, 1)
    study.ask(space)
    encoded.clear()
    study.ask(space)
    assert running.number not in encoded
    running.suggest_float("y", 0, 1)
    study.ask(space)
    assert running.number in encoded
    study.tell(running, 0.0)
    study.ask(space)
    assert running.number not in past_module.past_of(study).begun


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


GENES: dict[str, BaseDistribution] = {
    "model": CategoricalDistribution(["a", "b"]),
    "x": FloatDistribution(0, 1),
}


def paused(rng: np.random.Generator, number: int) -> FrozenTrial:
    """A trial of any kind, most of them waiting at a rung."""
    state = rng.choice(["RUNNING", "RUNNING", "RUNNING", "COMPLETE", "FAIL", "PRUNED"])
    params = {"model": str(rng.choice(["a", "b"])), "x": round(float(rng.random()), 1)}
    if rng.random() < 0.2:
        del params["x"]
    value = round(float(rng.random()), 1)
    reports = {1: value, 2: value} if rng.random() < 0.8 else {1: math.nan}
    attrs: dict[str, Any] = {"carried": {"x": 0.5, **params}}
    if state == "RUNNING" and rng.random() < 0.8:
        attrs["paused"] = 2
    if state == "FAIL":
        attrs["reason"] = str(rng.choice(["killed", "crash"]))
    made = create_trial(
        state=TrialState[state],
        value=value if state == "COMPLETE" else None,
        params=params,
        distributions={n: GENES[n] for n in params},
        intermediate_values=reports,
        user_attrs=attrs,
    )
    made.number = number
    return made


def changed(rng: np.random.Generator, trial: FrozenTrial) -> FrozenTrial:
    """An unfinished trial some time later: promoted, paused once more, or ended."""
    later = copy.copy(trial)
    if trial.user_attrs.get("paused"):
        later.user_attrs = {**trial.user_attrs, "paused": None}
        if rng.random() < 0.3:
            later.distributions = {**trial.distributions, "x": FloatDistribution(0, 2)}
    elif rng.random() < 0.5:
        later.user_attrs = {**trial.user_attrs, "paused": 3}
        later.intermediate_values = {**trial.intermediate_values, 3: float(rng.random())}
    else:
        later.state = TrialState.COMPLETE
        later.values = [float(rng.random())]
    return later


def content(found: Past, number: int) -> dict[str, Any]:
    found.sum_up(GENES)
    lists = {n: [t.number for t in getattr(found, n)] for n in ("learnt", "failed", "killed")}
    ranked = [(worth, trial.number) for worth, trial in found.ranked]
    tried = {k: dict(v) for k, v in found.tried._seen.items()}
    open_ = [t.number for t in found.running]
    genes = found.genes(number, None)
    return {**lists, "ranked": ranked, "bad": found.bad, "tried": tried, "cut": found.tried._cut,
            "running": open_, "genes": genes}  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_trials_that_wait_and_go_on_are_summed_up_as_if_seen_for_the_first_time(seed: int) -> None:
    rng, seen, memo = np.random.default_rng(seed), AsSampled(), Past(StudyDirection.MAXIMIZE)
    trials: list[FrozenTrial] = []
    for _ in range(60):
        if rng.random() < 0.6:
            trials.append(paused(rng, len(trials)))
        for index in rng.integers(len(trials), size=2) if trials else ():
            if not trials[index].state.is_finished():
                trials[index] = changed(rng, trials[index])
        view = seen(trials, 1)
        memo.look(view)
        number = int(rng.integers(len(trials) + 1))
        if rng.random() < 0.7:
            assert content(memo, number) == content(past(view, StudyDirection.MAXIMIZE), number)


def test_a_promotion_costs_one_trial_and_not_the_whole_past(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, seen, memo = np.random.default_rng(1), AsSampled(), Past(StudyDirection.MAXIMIZE)
    trials = [paused(rng, number) for number in range(200)]
    memo.look(seen(trials, 1))
    memo.sum_up(GENES)
    looked: list[int] = []
    real = past_module.merit

    def counted(trial: FrozenTrial, *rest: Any) -> Any:
        looked.append(trial.number)
        return real(trial, *rest)

    monkeypatch.setattr(past_module, "merit", counted)
    index = next(i for i, t in enumerate(trials) if t.user_attrs.get("paused") and not is_bad(t))
    trials[index] = changed(rng, trials[index])
    memo.look(seen(trials, 1))
    memo.sum_up(GENES)
    assert looked == [index]
