from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from search.genetic import GeneticSampler, sampler
from search.genetic.covariances import COVARIANCES, FittedCovariances, kept
from search.genetic.gaussian_process import THETA_REST, Data
from search.genetic.gaussian_process_fit import Belief, fitted
from search.genetic.model import milestone
from search.objective import Outcome, Step
from search.space import SearchSpace
from search.study import Study, StudyConfig
from search.trials.halving import Halving

GENES = 3
SPACE = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """On how many trials covariances were fitted, one entry a fit."""
    found: list[int] = []

    def counting(data: Data) -> Belief:
        found.append(len(data.values))
        return fitted(data)

    monkeypatch.setattr(sampler, "fitted", counting)
    return found


def objective(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    return -((x - 0.3) ** 2) - (y - 0.6) ** 2


def worth(params: dict[str, Any]) -> float:
    return -float((params["x"] - 0.3) ** 2 + (params["y"] - 0.6) ** 2)


def forgotten() -> None:
    """Memos of this process are as in a new one."""
    fitted.__globals__["_fitted"].cache_clear()


def made() -> FittedCovariances:
    rng = np.random.default_rng(0)
    points, values = rng.random((20, GENES)), rng.normal(size=20)
    data = Data(points, values, np.zeros(20), np.zeros(GENES, dtype=bool))
    return FittedCovariances(fitted(data), 20, "genes")


def test_they_come_back_from_a_history_to_the_last_bit() -> None:
    found = made()
    again = FittedCovariances.of(json.loads(json.dumps(found.plain())), GENES)
    assert again is not None
    assert (again.trials, again.space) == (20, "genes")
    assert (again.belief.weights == found.belief.weights).all()
    for one, two in zip(again.belief.kernels, found.belief.kernels, strict=True):
        assert (one.lengths == two.lengths).all()
        assert (one.share, one.amplitude, one.noise) == (two.share, two.amplitude, two.noise)


@pytest.mark.parametrize(
    "damage",
    [
        {"thetas": None},
        {"thetas": []},
        {"thetas": [[0.0]]},
        {"thetas": [[math.nan] * (GENES + THETA_REST)], "weights": [1.0]},
        {"thetas": [[1e9] * (GENES + THETA_REST)], "weights": [1.0]},
        {"thetas": [[True] * (GENES + THETA_REST)], "weights": [1.0]},
        {"weights": [1.0]},
        {"weights": "11111111"},
        {"weights": [0.0] * 8},
        {"trials": "20"},
        {"space": 7},
    ],
)
def test_what_another_program_left_in_their_place_is_none(damage: dict[str, Any]) -> None:
    assert FittedCovariances.of({**made().plain(), **damage}, GENES) is None


def test_those_of_another_number_of_genes_are_none() -> None:
    assert FittedCovariances.of(made().plain(), GENES + 1) is None
    assert FittedCovariances.of([made().plain()], GENES) is None


def with_a_late_end() -> optuna.Study:
    """A study in which trial 10 ended after 42 that were asked for later."""
    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    study.optimize(objective, n_trials=10)
    late = study.ask()
    value = objective(late)
    study.optimize(objective, n_trials=42)
    study.tell(late, value)
    return study


def asked(study: optuna.Study) -> dict[str, Any]:
    return study.ask(dict(study.trials[0].distributions)).params


def copied(study: optuna.Study, without: str = "") -> optuna.Study:
    """The same history for another process."""
    found = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    for trial in study.get_trials():
        trial.system_attrs.pop(without, None)
        found.add_trial(trial)
    forgotten()
    return found


def test_a_late_end_makes_no_covariances_anew(fits: list[int]) -> None:
    study = with_a_late_end()
    assert milestone(52) == milestone(53)  # none are due
    fits.clear()
    asked(study)
    assert fits == []
    asked(copied(study, COVARIANCES))
    assert fits == [50]


def keeping(number: int, **changes: Any) -> optuna.trial.FrozenTrial:
    trial = optuna.trial.create_trial(
        value=0.0, system_attrs={COVARIANCES: {**made().plain(), **changes}}
    )
    trial.number = number
    return trial


@pytest.mark.parametrize("wrong", [{"trials": 10**6}, {"space": "others"}, {"weights": []}])
def test_the_latest_that_can_be_right_count(wrong: dict[str, Any]) -> None:
    trials = [keeping(n, trials=n) for n in range(4)]
    trials.append(keeping(4, **wrong))
    found = kept(trials, 5, "genes", GENES)
    assert found is not None
    assert found.trials == 3


def test_those_of_a_later_trial_are_not_known() -> None:
    found = kept([keeping(n, trials=n) for n in range(4)], 3, "genes", GENES)
    assert found is not None
    assert found.trials == 2


def test_one_who_goes_on_elsewhere_proposes_the_same() -> None:
    study = with_a_late_end()
    other = copied(study)
    assert asked(other) == asked(study)


def test_genes_that_changed_make_them_anew(fits: list[int]) -> None:
    study = with_a_late_end()
    fits.clear()
    wider = {**study.trials[0].distributions, "x": optuna.distributions.FloatDistribution(0, 2)}
    study.ask(wider)
    assert fits == []  # the range that was seen last counts
    study.tell(53, 0.0)
    study.ask(wider)
    assert fits == [50]


def test_a_history_without_any_gets_them_with_the_next_trial(fits: list[int]) -> None:
    study = with_a_late_end()
    other = copied(study, COVARIANCES)
    fits.clear()
    asked(other)
    assert COVARIANCES in other.trials[-1].system_attrs
    asked(other)
    assert fits == [50]


def test_trials_that_go_on_from_their_rungs_make_none_anew(tmp_path: Path, fits: list[int]) -> None:
    config = StudyConfig("rungs", "genetic", 1, halving=Halving(1, 2, 2, promote=True))
    space = SearchSpace.from_dict({"name": "rungs", "genes": SPACE}, "rungs")
    went_on = 0
    with Study.create(tmp_path / "study", space, config) as study:
        while len(study.trials()) < 60:
            task = study.promote()
            went_on += task is not None
            task = task or study.ask()
            # They get worse and worse, so that those that wait come to be among the best.
            value = worth(dict(task.params)) - 0.05 * task.number
            done = len(study.trials()[task.number].intermediate_values)
            for epoch in range(done + 1, 5):
                step = Step(epoch, value - 1 / epoch, last=epoch == 4)
                if not study.report(task.number, step):
                    study.stop(task.number)
                    break
            else:
                study.tell(task.number, Outcome(value))
        kept = [
            t.system_attrs[COVARIANCES] for t in study.trials() if COVARIANCES in t.system_attrs
        ]
    counts = [entry["trials"] for entry in kept]
    assert went_on > 10
    assert counts == sorted(set(counts))
    assert len(fits) == len(counts)


def test_with_several_objectives_none_are_kept() -> None:
    directions = ["maximize", "minimize"]
    study = optuna.create_study(directions=directions, sampler=GeneticSampler(seed=1))
    study.optimize(lambda t: (objective(t), t.params["x"]), n_trials=10)
    assert not any(COVARIANCES in t.system_attrs for t in study.trials)
