from __future__ import annotations

from random import Random

import numpy as np
import pytest
from deap import base, tools
from optuna.study import StudyDirection
from optuna.study._multi_objective import _get_pareto_front_trials_by_trials
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.trials import pareto

BOTH = ("maximize", "minimize")


def drawn(count: int, seed: int = 0) -> list[list[float]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 12, (count, 2)).astype(float).tolist()


def dominates(one: list[float], two: list[float]) -> bool:
    as_good = one[0] >= two[0] and one[1] <= two[1]
    return as_good and one != two


def trials(values: list[list[float] | None]) -> list[FrozenTrial]:
    states = [TrialState.PRUNED if v is None else TrialState.COMPLETE for v in values]
    found = [create_trial(state=s, values=v) for s, v in zip(states, values, strict=True)]
    for number, trial in enumerate(found):
        trial.number = number
    return found


def test_each_front_holds_what_only_earlier_fronts_dominate() -> None:
    values = drawn(60)
    left = set(range(60))
    for front in pareto.fronts(values, BOTH):
        nondominated = {i for i in left if not any(dominates(values[j], values[i]) for j in left)}
        assert front == sorted(nondominated)
        left -= nondominated
    assert not left


def test_the_first_ones_are_those_that_nsga2_keeps() -> None:
    class Both(base.Fitness):
        weights = (1.0, -1.0)

    class Point:
        def __init__(self, index: int, values: list[float]) -> None:
            self.index, self.fitness = index, Both(tuple(values))

    rng = np.random.default_rng(1)
    values = rng.random((40, 2)).tolist()
    ranked = pareto.order(values, BOTH)
    for count in (1, 7, 20, 40):
        kept = tools.selNSGA2([Point(i, v) for i, v in enumerate(values)], count)
        assert set(ranked[:count]) == {point.index for point in kept}


def test_ends_of_a_front_are_the_loneliest() -> None:
    found = pareto.crowding([[1.0, 1.0], [2.0, 2.0], [2.1, 2.2], [4.0, 9.0]], BOTH)
    assert found[0] == found[3] == float("inf")
    assert found[2] > found[1]


def test_scalarised_is_knowles_formula() -> None:
    values = [[0.5, 10.0], [0.9, 30.0], [0.7, 20.0]]
    by = [0.25, 0.75]
    losses = [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)]
    wanted = [-(max(0.25 * a, 0.75 * b) + 0.05 * (0.25 * a + 0.75 * b)) for a, b in losses]
    assert pareto.scalarised(values, BOTH, by) == pytest.approx(wanted)


def test_the_best_scalarised_point_lies_on_the_front() -> None:
    values, rng = drawn(50, 2), Random(0)
    front = pareto.fronts(values, BOTH)[0]
    for _ in range(20):
        found = pareto.scalarised(values, BOTH, pareto.weights(2, rng))
        assert int(np.argmax(found)) in front


def test_an_objective_that_never_varies_is_no_trouble() -> None:
    found = pareto.scalarised([[0.5, 3.0], [0.6, 3.0]], BOTH, [0.5, 0.5])
    assert found[1] > found[0]
    assert pareto.scalarised([], BOTH, [0.5, 0.5]) == []


def test_weights_add_up_to_one_and_favour_no_objective() -> None:
    rng = Random(3)
    found = np.array([pareto.weights(3, rng) for _ in range(2000)])
    assert found.sum(axis=1) == pytest.approx(np.ones(2000))
    assert found.mean(axis=0) == pytest.approx(np.full(3, 1 / 3), abs=0.02)


def test_hypervolume_of_two_steps() -> None:
    # Up to (0, 10): 0.6 * 8 from the first, and 0.3 * 3 that the second adds.
    values = [[0.6, 2.0], [0.9, 7.0], [0.5, 8.0]]
    assert pareto.hypervolume(values, BOTH, [0.0, 10.0]) == pytest.approx(0.6 * 8 + 0.3 * 3)
    assert pareto.hypervolume([], BOTH, [0.0, 10.0]) == 0.0
    assert pareto.hypervolume([[0.5, 11.0]], BOTH, [0.0, 10.0]) == 0.0


def test_front_is_optunas_the_best_first_objective_first() -> None:
    found = trials([*drawn(40, 4), None])
    ours = pareto.front(found, BOTH)
    theirs = _get_pareto_front_trials_by_trials(
        found, [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    )
    assert {t.number for t in ours} == {t.number for t in theirs}
    firsts = [t.values[0] for t in ours]
    assert firsts == sorted(firsts, reverse=True)


def test_what_is_not_judged_is_on_no_front() -> None:
    found = trials([None, [0.5, 3.0]])
    found[1].values = [0.5, float("nan")]
    assert pareto.front(found, BOTH) == []
    assert pareto.front([], BOTH) == []


def test_of_one_objective_each_value_is_a_front() -> None:
    values = [(float(v),) for v in (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5)]
    assert pareto.fronts(values, ["maximize"]) == [[5], [7], [4, 8, 10], [2], [0, 9], [6], [1, 3]]
    assert pareto.fronts(values, ["minimize"]) == [[1, 3], [6], [0, 9], [2], [4, 8, 10], [7], [5]]
