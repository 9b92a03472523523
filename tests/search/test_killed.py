"""What the machine ended says nothing bad about its recipe, to any sampler."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.genetic import GeneticSampler
from search.genetic.history import History
from search.objective import MACHINE
from search.samplers import SAMPLERS, build
from search.trials.summary import is_bad, is_blameless, past

SPACE: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
BEST = {"x": 0.69, "y": 0.31}
CURVE = {e: 0.8 - 0.3 * math.exp(-e / 5) for e in range(1, 19)}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def worth(x: float, y: float) -> float:
    return 0.8 - (x - 0.7) ** 2 - (y - 0.3) ** 2


def ended(
    params: dict[str, float] = BEST,
    reason: str = "killed",
    reports: dict[int, float] | None = None,
    **attrs: Any,
) -> FrozenTrial:
    return create_trial(
        state=TrialState.FAIL,
        params=params,
        distributions=SPACE,
        intermediate_values=reports or {},
        user_attrs={"reason": reason, **attrs},
    )


def history(curves: bool = False) -> list[FrozenTrial]:
    """Ten random trials, with the curves that they came along where that is wanted."""
    rng = np.random.default_rng(1)
    found = []
    for x, y in rng.random((10, 2)):
        value = worth(x, y)
        steps = {e: value - 0.3 * math.exp(-e / 5) for e in range(1, 31)} if curves else {}
        params = {"x": float(x), "y": float(y)}
        found.append(
            create_trial(params=params, distributions=SPACE, value=value, intermediate_values=steps)
        )
    return found


def go_on(sampler: Any, before: list[FrozenTrial], asks: int = 10) -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(before)
    for _ in range(asks):
        trial = study.ask(SPACE)
        study.tell(trial, worth(**trial.params))
    return study


def lost(study: optuna.Study) -> float:
    return 0.8 - study.best_value


def nearest(study: optuna.Study, last: int = 10) -> float:
    late = study.trials[-last:]
    return min(math.dist((t.params["x"], t.params["y"]), tuple(BEST.values())) for t in late)


@pytest.mark.parametrize("reason", sorted(MACHINE))
@pytest.mark.parametrize("steps", [0, 2, 18])
@pytest.mark.parametrize("surrogate", [True, False], ids=["surrogate", "plain"])
def test_a_good_recipe_whose_machine_died_costs_nothing(
    reason: str, steps: int, surrogate: bool
) -> None:
    reports = {e: v for e, v in CURVE.items() if e <= steps}

    def mean(*more: FrozenTrial) -> tuple[float, float]:
        def one(seed: int) -> optuna.Study:
            sampler = GeneticSampler(seed=seed, space=SPACE, surrogate=surrogate)
            return go_on(sampler, [*history(curves=True), *more])

        runs = [one(seed) for seed in range(3)]
        return float(np.mean([*map(lost, runs)])), float(np.mean([*map(nearest, runs)]))

    regret, near = mean(ended(BEST, reason, reports))
    without, _ = mean()
    assert regret < without + 0.005
    assert near < (0.03 if surrogate else 0.15), "its neighbourhood is looked at"


def test_what_it_had_reported_teaches_as_a_stopped_trials_would() -> None:
    trials = [*history(curves=True), ended(reports=CURVE)]
    for number, trial in enumerate(trials):
        trial.number = number
    read = History.read(trials, 99, StudyDirection.MAXIMIZE, 1, SPACE)
    (seen,) = read.observed(trials)[-1:]
    assert [t.number for t in read.killed] == [10]
    assert not read.failed
    assert not read.bad
    assert seen.value == pytest.approx(0.8, abs=0.001), "also above the best complete trial"
    early = ended(reports={1: CURVE[1]})
    early.number = 11
    seen = History.read([*trials, early], 99, StudyDirection.MAXIMIZE, 1, SPACE).observed(
        [*trials, early]
    )[-1]
    assert seen.value > 0.7, "it was not stopped for being worse"


def test_without_others_to_go_by_it_counts_for_nothing() -> None:
    trials = [*history(), ended(reports={1: 0.5})]
    for number, trial in enumerate(trials):
        trial.number = number
    read = History.read(trials, 99, StudyDirection.MAXIMIZE, 1, SPACE)
    assert len(read.observed(trials)) == 10


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_no_sampler_goes_by_where_it_lay(name: str) -> None:
    """One that ended without a report is as good as one that ended anywhere else."""

    def asked(at: dict[str, float]) -> list[dict[str, Any]]:
        study = optuna.create_study(direction="maximize")
        study.add_trials([*history(), ended(at)])
        for _ in range(4):
            study.sampler = build(name, seed=1, distributions=SPACE, n_trials=20)
            trial = study.ask(SPACE)
            study.tell(trial, worth(**trial.params))
        return [t.params for t in study.trials[-4:]]

    assert asked(BEST) == asked({"x": 0.01, "y": 0.99})


@pytest.mark.parametrize("reason", ["crash", "nan", "out of memory", "bad data"])
def test_what_fails_by_its_own_fault_is_avoided_as_before(reason: str) -> None:
    trial = ended(reason=reason, reports=CURVE)
    trial.number = 0
    assert is_bad(trial)
    assert past([trial], StudyDirection.MAXIMIZE).killed == []
    found = past([trial], StudyDirection.MAXIMIZE)
    found.sum_up(SPACE)
    assert found.bad == {0: {"x": pytest.approx(0.69), "y": pytest.approx(0.31)}}


@pytest.mark.parametrize("reason", [None, 3, ["killed"], {"killed": 1}])
def test_a_reason_of_another_program_is_none(reason: Any) -> None:
    assert not is_blameless(ended(reason=reason))
    assert is_bad(ended(reason=reason))


def test_nan_before_the_machine_died_is_the_recipes_own() -> None:
    assert is_bad(ended(reports={1: 0.5, 2: math.nan}))
    assert not is_bad(ended(reports={1: 0.5}))


def test_a_recipe_is_tried_once_more_and_after_a_second_death_no_more() -> None:
    space: dict[str, BaseDistribution] = {
        "a": CategoricalDistribution(["u", "v", "w"]),
        "k": IntDistribution(1, 2),
    }
    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1, space=space))
    deaths = 0
    for _ in range(12):
        trial = study.ask(space)
        if trial.params == {"a": "w", "k": 2}:
            trial.set_user_attr("reason", "killed")
            study.tell(trial, state=TrialState.FAIL)
            deaths += 1
        else:
            study.tell(trial, "uvw".index(trial.params["a"]) + trial.params["k"])
        if len({tuple(t.params.values()) for t in study.trials}) == 6 and deaths == 2:
            break
    assert deaths == 2
    assert len(study.trials) == 7, "all others once"


def test_several_objectives_learn_from_it_as_from_a_stopped_trial() -> None:
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=GeneticSampler(seed=1, space=SPACE)
    )
    for trial in history(curves=True):
        study.add_trial(
            create_trial(
                params=trial.params, distributions=SPACE, values=[trial.value, trial.params["x"]],
                intermediate_values=trial.intermediate_values,
            )
        )  # fmt: skip
    study.add_trial(ended(reports=CURVE, others=[0.69]))
    study.add_trial(ended({"x": 0.2, "y": 0.2}))
    for _ in range(5):
        trial = study.ask(SPACE)
        study.tell(trial, [worth(**trial.params), trial.params["x"]])
    assert len(study.trials) == 17
