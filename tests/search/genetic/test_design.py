"""Rows of the space-filling design, and what given trials do to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.genetic import GeneticSampler
from search.genetic.design import design, row_of
from search.genetic.sampler import INITIAL
from search.prior import PRIOR
from search.samplers import build
from search.samplers.cma import CmaSampler
from search.samplers.quasi import RandomSampler
from search.space import SearchSpace
from search.study import Study, StudyConfig

SPACE: dict[str, BaseDistribution] = {f"x{i}": FloatDistribution(0, 1) for i in range(4)}
NEAR = [{**dict.fromkeys(SPACE, 0.5), "x0": v} for v in (0.1, 0.3, 0.5, 0.7, 0.9)]
SPREAD = [dict.fromkeys(SPACE, v) for v in (0.1, 0.3, 0.5, 0.7, 0.9)]


def history(points: Sequence[dict[str, float]], own: int = 0, **attrs: Any) -> list[FrozenTrial]:
    found = []
    for number in range(len(points) + own):
        given = points[number] if number < len(points) else None
        params = given or dict.fromkeys(SPACE, number / 100)
        trial = create_trial(
            value=0.5,
            params=dict(params),
            distributions={name: SPACE[name] for name in params},
            system_attrs={} if given is None else {"fixed_params": given},
            user_attrs={} if given is None else attrs,
        )
        trial.number = number
        found.append(trial)
    return found


def test_without_given_trials_a_row_is_the_trials_number() -> None:
    trials = history([], own=20)
    assert [row_of(trials, n, 6, SPACE) for n in (0, 3, 6, 19)] == [0, 3, 6, 19]


def test_near_copies_count_as_one_row_and_spread_points_each() -> None:
    assert row_of(history(NEAR), 5, 6, SPACE) == 1
    assert row_of(history(SPREAD), 5, 6, SPACE) == 5
    assert row_of(history([*SPREAD, *SPREAD]), 10, 6, SPACE) == 5


def test_points_of_earlier_studies_always_count() -> None:
    assert row_of(history(NEAR, **{PRIOR: {"point": 0}}), 5, 6, SPACE) == 5


def test_given_trials_after_the_design_and_trials_with_higher_numbers_change_nothing() -> None:
    trials = history([], own=8)
    late = history(NEAR)
    for number, trial in enumerate(late, start=8):
        trial.number = number
    assert row_of([*trials, *late], 13, 6, SPACE) == 13
    assert row_of(history(NEAR, own=3), 6, 6, SPACE) == row_of(history(NEAR, own=1), 6, 6, SPACE)


@pytest.mark.parametrize("points", [NEAR, SPREAD], ids=["near-copies", "spread"])
def test_the_design_comes_after_points_that_are_near_copies(points: list[dict[str, float]]) -> None:
    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=3, space=SPACE))
    for point in points:
        study.enqueue_trial(point)
    study.optimize(lambda t: -sum(t.suggest_float(n, 0, 1) for n in SPACE), n_trials=13)
    own = [t.user_attrs["lineage"]["operator"] for t in study.trials[5:]]
    rows = INITIAL - 1 if points is NEAR else INITIAL - 5
    assert own[:rows] == ["initial"] * rows
    assert "initial" not in own[rows:]
    if points is NEAR:  # the rows of one hypercube: no two in the same sixth of a gene
        for name in SPACE:
            sixths = [int(t.params[name] * INITIAL) for t in study.trials[5 : 5 + rows]]
            assert len(set(sixths)) == rows


def test_cma_draws_its_design_after_near_copies_too() -> None:
    sampler = CmaSampler(1, SPACE, RandomSampler(1), population_size=6)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for point in NEAR:
        study.enqueue_trial(point)
    study.optimize(lambda t: -sum(t.suggest_float(n, 0, 1) for n in SPACE), n_trials=12)
    assert study.trials[5].params == design(1, 1, 6, SPACE)
    assert [t.number for t in study.trials if "cma" in t.user_attrs] == [10, 11]


def test_the_points_of_a_study_leave_room_for_the_design_after_a_kill_as_well(
    tmp_path: Path,
) -> None:
    genes = {name: {"low": 0.0, "high": 1.0} for name in SPACE}
    points = [{"name": f"p{i}", "params": params} for i, params in enumerate(NEAR)]
    space = SearchSpace.from_dict({"genes": genes, "points": points}, "space")

    def params_of(folder: Path, cut: int) -> list[dict[str, Any]]:
        study = Study.create(folder, space, StudyConfig("s", "genetic", 5))
        for number in range(11):
            if number == cut:
                study.close()
                study = Study.open(folder)
            study.tell(study.ask().number, _outcome(number))
        found = [dict(t.params) for t in study.trials()]
        study.close()
        return found

    whole = params_of(tmp_path / "a", 99)
    assert whole == params_of(tmp_path / "b", 7)
    expected = design(5, 1, INITIAL, {n: space.distributions()[n] for n in sorted(SPACE)})
    assert whole[5] == expected


def _outcome(number: int) -> Any:
    from search.objective import Outcome

    return Outcome(number / 10)


def test_choices_that_differ_lie_apart() -> None:
    space: dict[str, BaseDistribution] = {
        "a": CategoricalDistribution(["u", "v"]),
        "b": FloatDistribution(0, 1),
    }
    study = optuna.create_study(sampler=build("genetic", seed=1, distributions=space))
    study.enqueue_trial({"a": "u", "b": 0.5})
    study.enqueue_trial({"a": "v", "b": 0.5})
    study.enqueue_trial({"a": "v", "b": 0.6})
    for _ in range(3):
        trial = study.ask(space)
        study.tell(trial, state=TrialState.FAIL)
    assert row_of(study.trials, 3, 6, space) == 2


def test_what_a_point_leaves_out_differs_and_what_the_design_fills_in_does_not_count() -> None:
    """Points of one model, whose other genes are those of another model's trials."""
    space: dict[str, BaseDistribution] = {**SPACE, "m": CategoricalDistribution(["u", "v"])}
    trials = history([{"x0": 0.5, "x1": 0.5}, {"x0": 0.9, "x1": 0.5}, {"x2": 0.5, "x3": 0.1}])
    for trial, given in zip(trials, ({"x0", "x1"}, {"x0", "x1"}, {"x2", "x3"}), strict=True):
        trial.user_attrs = {"carried": {n: trial.number / 3 for n in space if n not in given}}
    assert row_of(trials, 2, 6, space) == 2, "half of their genes differ"
    trials[1].params["x0"] = 0.55
    assert row_of(trials, 2, 6, space) == 1
    assert row_of(trials, 3, 6, space) == 2
