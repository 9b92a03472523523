"""The genetic algorithm in studies of several objectives."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.genetic import GeneticSampler
from search.genetic.history import History
from search.genetic.several import scores, with_several
from search.trials.pareto import hypervolume, order

BOTH = ["maximize", "minimize"]
SPACE = {"x": FloatDistribution(0.0, 1.0)}


def trial(
    number: int,
    values: list[float] | None = None,
    steps: dict[int, float] | None = None,
    others: list[float] | None = None,
    state: TrialState = TrialState.PRUNED,
) -> FrozenTrial:
    made = create_trial(
        state=TrialState.COMPLETE if values else state,
        values=values,
        params={"x": number / 10},
        distributions=SPACE,
        intermediate_values=steps or {},
        user_attrs={} if others is None else {"others": others},
    )
    made.number = number
    return made


def test_the_population_is_nsga2s_and_stopped_trials_come_after() -> None:
    values = [[0.5, 9.0], [0.9, 9.0], [0.6, 2.0], [0.7, 4.0], [0.55, 3.0]]
    trials = [trial(n, v) for n, v in enumerate(values)]
    trials.append(trial(5, steps={1: 0.99}, others=[1.0]))
    trials.append(trial(6, state=TrialState.FAIL))
    study = optuna.create_study(directions=BOTH)
    history = with_several(History.read(trials, 7, study.directions[0], 0, SPACE), study, 7)
    assert [i.number for i in history.population(9)] == [*order(values, BOTH), 5]
    assert [t.number for t in history.failed] == [6]


def test_the_model_learns_what_the_weights_ask_for() -> None:
    trials = [trial(0, [0.5, 1.0]), trial(1, [0.7, 4.0]), trial(2, [0.9, 9.0])]
    by_score = scores(trials, BOTH, [1.0, 0.0])
    by_cost = scores(trials, BOTH, [0.0, 1.0])
    assert max(by_score, key=lambda n: by_score[n]) == 2
    assert max(by_cost, key=lambda n: by_cost[n]) == 0
    assert all(doubt == 0.0 for _, doubt in by_score.values())


def test_a_stopped_trial_counts_by_estimate_where_it_expected_its_cost() -> None:
    full = [trial(n, [0.5 + n / 10, 1.0 + n], {1: 0.4 + n / 10, 2: 0.5 + n / 10}) for n in range(4)]
    known = trial(4, steps={1: 0.4}, others=[1.0])
    unknown = trial(5, steps={1: 0.4})
    found = scores([*full, known, unknown], BOTH, [0.5, 0.5])
    assert set(found) == {0, 1, 2, 3, 4}
    assert found[4][0] == pytest.approx(found[0][0], abs=0.02)  # the same curve, the same cost
    assert found[4][1] > 0.0


def front_problem(t: optuna.Trial) -> tuple[float, float]:
    """ZDT1 (Zitzler, Deb and Thiele, 2000) with a choice that costs."""
    x = [t.suggest_float(f"x{i}", 0, 1) for i in range(4)]
    cost = {"a": 0.0, "b": 2.0, "c": 4.0}[t.suggest_categorical("kind", ["a", "b", "c"])]
    g = 1 + 3 * sum(x[1:]) + cost
    return -x[0], g * (1 - np.sqrt(x[0] / g))


def reached(sampler: Any) -> float:
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    study.optimize(front_problem, n_trials=45)
    return hypervolume([t.values for t in study.trials], BOTH, [-1.1, 12.0])


@pytest.mark.parametrize("surrogate", [True, False])
def test_it_dominates_more_than_random_search(surrogate: bool) -> None:
    ours = np.mean([reached(GeneticSampler(seed=s, surrogate=surrogate)) for s in range(2)])
    drawn = np.mean([reached(optuna.samplers.RandomSampler(seed=s)) for s in range(2)])
    assert ours > drawn


def test_the_same_seed_gives_the_same_trials_whoever_makes_the_sampler() -> None:
    def params(keep: bool) -> list[dict[str, Any]]:
        study = optuna.create_study(directions=BOTH)
        kept = GeneticSampler(seed=4)
        for _ in range(16):
            study.sampler = kept if keep else GeneticSampler(seed=4)
            asked = study.ask()
            study.tell(asked, front_problem(asked))
        return [t.params for t in study.trials]

    assert params(True) == params(False)


def test_nothing_but_stopped_trials_of_unknown_cost_is_no_trouble() -> None:
    study = optuna.create_study(directions=BOTH, sampler=GeneticSampler(seed=1, population_size=4))
    for number in range(8):
        asked = study.ask()
        x = asked.suggest_float("x", 0, 1)
        study._storage.set_trial_intermediate_value(asked._trial_id, 1, x)
        study.tell(asked, state=TrialState.PRUNED)
        assert number == asked.number
    assert study.trials[-1].user_attrs["lineage"]["operator"] not in ("initial", "random")
