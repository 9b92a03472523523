from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial

from search.expectation import recommend
from search.genetic import GeneticSampler, lineage
from search.genetic.again import ANEW, FROM, SHARE, expected_gain, repeat_of
from search.genetic.recipes import noise_of


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def hill(trial: Any) -> float:
    x, y = trial.suggest_float("x", 0.0, 1.0), trial.suggest_float("y", 0.0, 1.0)
    if trial.suggest_categorical("kind", ["plain", "odd"]) == "odd":
        return -((trial.suggest_int("level", 1, 6) - 3) ** 2) / 4 - x
    return -4 * (x - 0.3) ** 2 - 4 * (y - 0.6) ** 2


def noisy(sd: float) -> Callable[[Any], float]:
    def objective(trial: Any) -> float:
        return hill(trial) + random.Random(trial.number).gauss(0.0, sd)

    return objective


def run(
    objective: Callable[[Any], float], count: int = 40, seed: int = 0, jobs: int = 1, **how: Any
) -> optuna.Study:
    sampler = GeneticSampler(seed=seed, repeats=True, **how)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=count, n_jobs=jobs)
    return study


def repeats(study: optuna.Study) -> list[FrozenTrial]:
    return [trial for trial in study.trials if repeat_of(trial) is not None]


def test_with_noise_good_recipes_are_tried_again() -> None:
    study = run(noisy(0.3), 50)
    found = repeats(study)
    assert min(t.number for t in found) >= FROM
    assert 3 <= len(found) <= 50 / SHARE
    for trial in found:
        first = study.trials[repeat_of(trial) or 0]
        assert trial.params == first.params
        assert trial.user_attrs["lineage"]["changed"] == {}
        assert lineage.record(trial, {t.number: t for t in study.trials}).operator == ANEW


def test_without_noise_nothing_is_tried_again() -> None:
    assert not repeats(run(hill))


def test_by_default_nothing_is_tried_again() -> None:
    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=0))
    study.optimize(noisy(0.3), n_trials=40)
    assert not repeats(study)
    texts = {repr(sorted(trial.params.items())) for trial in study.trials}
    assert len(texts) == 40


def test_less_is_more_where_the_study_minimises() -> None:
    up = run(noisy(0.3), 30)
    down = optuna.create_study(sampler=GeneticSampler(seed=0, repeats=True))
    down.optimize(lambda trial: -noisy(0.3)(trial), n_trials=30)
    assert [t.params for t in up.trials] == [t.params for t in down.trials]
    assert recommend(up).number == recommend(down).number


def test_an_ask_is_repeated_on_the_same_history() -> None:
    study = run(noisy(0.3), 30)
    number = repeats(study)[-1].number
    again = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=0, repeats=True))
    again.add_trials(study.trials[:number])
    again.optimize(noisy(0.3), n_trials=1)
    assert again.trials[number].params == study.trials[number].params
    assert repeat_of(again.trials[number]) == repeat_of(study.trials[number])


def test_workers_at_once_are_no_trouble() -> None:
    study = run(noisy(0.3), 40, jobs=4)
    assert all(t.state.is_finished() for t in study.trials)
    assert len(repeats(study)) <= 40 / SHARE


def test_a_repeat_that_is_running_counts() -> None:
    # Asked one after the other without an answer, not all are repeats, nor of one recipe.
    study = run(noisy(0.3), 45)
    asked = [study.ask() for _ in range(8)]
    for trial in asked:
        hill(trial)
    again = [study.trials[t.number] for t in asked]
    firsts = [repeat_of(trial) for trial in again if repeat_of(trial) is not None]
    assert len(firsts) < 8
    assert not firsts or max(map(firsts.count, firsts)) <= 4


def test_a_trial_with_given_genes_is_no_repeat() -> None:
    study = run(noisy(0.3), 30)
    number = repeats(study)[-1].number
    again = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=0, repeats=True))
    again.add_trials(study.trials[:number])
    again.enqueue_trial({"x": 0.11})
    again.optimize(noisy(0.3), n_trials=1)
    assert again.trials[number].params["x"] == 0.11
    assert repeat_of(again.trials[number]) is None


def test_several_objectives_and_no_surrogate_have_no_repeats() -> None:
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=GeneticSampler(seed=0, repeats=True)
    )
    study.optimize(lambda t: (noisy(0.3)(t), noisy(0.2)(t)), n_trials=20)
    assert not repeats(study)
    assert not repeats(run(noisy(0.3), 30, surrogate=False))


@pytest.mark.parametrize(
    "found", [None, 3, {"operator": ANEW}, {"operator": ANEW, "parents": ["x"]}]
)
def test_whatever_is_no_lineage_is_no_repeat(found: Any) -> None:
    trial = optuna.trial.create_trial(value=0.0, user_attrs={"lineage": found})
    assert repeat_of(trial) is None


def test_the_gain_of_two_alternatives_is_the_known_one() -> None:
    # E[max(0, a + s Z)] - 0 = a Phi(a / s) + s phi(a / s) for the lower of two with a = -0.5.
    mean, moved = np.array([0.0, -0.5]), np.array([0.0, 0.8])
    z = -0.5 / 0.8
    phi = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    exact = -0.5 * 0.5 * math.erfc(-z / math.sqrt(2)) + 0.8 * phi
    assert expected_gain(mean, moved) == pytest.approx(exact, abs=2e-3)


def test_noise_is_what_repeats_say_the_more_there_are() -> None:
    guess = noise_of(0.2, 0.1, 0.0, 0)
    assert 0.15 < guess < 0.2
    assert noise_of(0.2, 1.0, 0.0, 0) < guess
    assert noise_of(0.2, 0.1, 200 * 0.05, 200) == pytest.approx(0.05, abs=0.005)
    assert noise_of(0.2, 0.1, 0.0, 3) == 0.0
    assert noise_of(0.2, 0.1, 0.0, 1) > 0.1
