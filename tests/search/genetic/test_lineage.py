from __future__ import annotations

from itertools import pairwise
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.genetic import GeneticSampler
from search.genetic.lineage import ancestors, distance, diversity, generations, line, operators

SPACE: dict[str, BaseDistribution] = {
    "model": CategoricalDistribution(["dense", "vgg"]),
    "lr": FloatDistribution(0, 1),
    "drop": FloatDistribution(0, 1),
}


def trial(
    number: int,
    params: dict[str, Any],
    value: float | None,
    parents: tuple[int, ...] = (),
    operator: str = "initial",
    state: TrialState | None = None,
    **attrs: Any,
) -> FrozenTrial:
    lineage = {"parents": list(parents), "operator": operator, "changed": {}}
    ended = TrialState.FAIL if value is None else TrialState.COMPLETE
    made = create_trial(
        state=state or ended,
        value=value,
        params=params,
        distributions={n: SPACE[n] for n in params},
        user_attrs={"lineage": lineage, **attrs} if operator else attrs,
    )
    made.number = number
    return made


FAMILY = [
    trial(0, {"model": "dense", "lr": 0.1}, 0.5, operator="", point="report-densenet121"),
    trial(1, {"model": "vgg", "lr": 0.2, "drop": 0.3}, 0.4),
    trial(2, {"model": "dense", "lr": 0.9}, 0.1),
    trial(3, {"model": "vgg", "lr": 0.1, "drop": 0.3}, 0.6, (1, 0), "crossover"),
    trial(4, {"model": "vgg", "lr": 0.1, "drop": 0.5}, None, (3,), "mutation"),
    trial(5, {"model": "vgg", "lr": 0.15, "drop": 0.3}, 0.7, (3,), "mutation"),
]


def test_ancestors_come_oldest_first_and_end_in_the_winner() -> None:
    assert [a.number for a in ancestors(FAMILY, 5)] == [0, 1, 3, 5]
    assert [a.number for a in line(FAMILY, 5)] == [1, 3, 5]
    assert [a.operator for a in ancestors(FAMILY, 5)] == [
        "point",
        "initial",
        "crossover",
        "mutation",
    ]


def test_changes_are_those_of_genes_that_took_part() -> None:
    found = {a.number: a for a in ancestors(FAMILY, 5)}
    assert found[5].changed == {"lr": (0.1, 0.15)}
    assert found[3].changed == {"lr": (0.2, 0.1)}
    switched = [*FAMILY, trial(6, {"model": "dense", "lr": 0.1}, 0.2, (3,), "mutation")]
    assert ancestors(switched, 6)[-1].changed == {"model": ("vgg", "dense"), "drop": (0.3, None)}


def test_values_and_states_are_told() -> None:
    found = ancestors(FAMILY, 4)[-1]
    assert (found.state, found.value) == ("fail", None)
    pruned = trial(0, {"lr": 0.1}, None, state=TrialState.PRUNED)
    pruned.intermediate_values = {1: 0.3, 2: 0.2}
    assert ancestors([pruned], 0)[0].value == 0.3
    assert ancestors([pruned], 0, StudyDirection.MINIMIZE)[0].value == 0.2


def test_an_unknown_number_is_refused() -> None:
    with pytest.raises(KeyError, match="no trial 9 among 6"):
        ancestors(FAMILY, 9)


def test_parents_that_cannot_be_are_left_out() -> None:
    odd = [trial(0, {"lr": 0.1}, 0.1, (0, 7), "mutation")]
    assert ancestors(odd, 0)[0].parents == ()


@pytest.mark.parametrize(
    "lineage",
    [
        [1],
        "mutation",
        5,
        {"parents": None, "operator": None},
        {"parents": 3, "operator": ["mutation"]},
        {"parents": [[0], {}, "0", True, 0.0, None, -1]},
        {"parents": {"0": 0}},
    ],
)
def test_what_another_program_wrote_is_nobody_s_lineage(lineage: Any) -> None:
    odd = [trial(n, {"lr": n / 9}, n / 9, operator="", lineage=lineage) for n in range(3)]
    assert [(a.parents, a.operator) for a in ancestors(odd, 2)] == [((), "")]
    assert [a.number for a in line(odd, 2)] == [2]
    assert operators(odd) == []
    assert len(generations(odd, 2)) == 2


def test_a_known_good_point_is_one_also_in_a_genetic_search() -> None:
    sampler = GeneticSampler(seed=1, population_size=4)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial({"lr": 0.5})
    study.optimize(lambda t: t.suggest_float("lr", 0, 1) + t.suggest_float("drop", 0, 1), 6)
    study.enqueue_trial({"lr": 0.5})
    study.optimize(lambda t: t.suggest_float("lr", 0, 1) + t.suggest_float("drop", 0, 1), 1)
    found = [ancestors(study.trials, n)[-1] for n in (0, 1, 6)]
    assert [a.operator for a in found[:2]] == ["point", "initial"]
    assert found[2].parents, "a child of which one gene was given"
    assert found[2].operator not in ("point", "initial")


def test_operators_count_what_they_brought() -> None:
    counts = {c.operator: c for c in operators(FAMILY)}
    assert (counts["mutation"].trials, counts["mutation"].finished) == (2, 1)
    assert (counts["mutation"].improved, counts["mutation"].best) == (1, 1)
    assert (counts["crossover"].improved, counts["point"].best) == (1, 1)
    assert counts["initial"].improved == 0
    down = {c.operator: c for c in operators(FAMILY, StudyDirection.MINIMIZE)}
    assert (down["mutation"].improved, down["initial"].best) == (0, 2)


def test_generations_tell_best_mean_and_diversity() -> None:
    rows = generations(FAMILY, 3)
    assert [r.number for r in rows] == [0, 1]
    assert (rows[0].best, rows[0].best_so_far) == (0.5, 0.5)
    assert rows[0].mean == pytest.approx(1 / 3)
    assert (rows[1].trials, rows[1].finished, rows[1].best_so_far) == (3, 2, 0.7)
    assert rows[0].diversity is not None
    assert rows[1].diversity is not None
    assert rows[1].diversity < rows[0].diversity
    down = generations(FAMILY, 3, direction=StudyDirection.MINIMIZE)
    assert (down[0].best, down[1].best, down[1].best_so_far) == (0.1, 0.6, 0.1)


def test_generations_without_values_have_no_numbers() -> None:
    assert generations([], 4) == []
    row = generations([trial(0, {"lr": 0.1}, None)], 4)[0]
    assert (row.best, row.mean, row.best_so_far, row.diversity) == (None, None, None, None)
    with pytest.raises(ValueError, match="got 0"):
        generations([], 0)


def test_distance_counts_numbers_choices_and_absence() -> None:
    dense, vgg = FAMILY[0], FAMILY[1]
    assert distance(dense, dense, SPACE) == 0
    assert distance(dense, vgg, SPACE) == pytest.approx((1 + 0.1 + 1) / 3)
    assert distance(dense, vgg, SPACE) == distance(vgg, dense, SPACE)
    assert diversity([dense], SPACE) is None


def test_a_real_search_can_be_read() -> None:
    def objective(trial: Any) -> float:
        value = trial.suggest_float("lr", 0, 1)
        if trial.suggest_categorical("model", ["dense", "vgg"]) == "vgg":
            value += trial.suggest_float("drop", 0, 1)
        return value

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    study.optimize(objective, n_trials=60)
    optuna.logging.set_verbosity(before)
    chain = line(study.trials, study.best_trial.number)
    assert chain[0].operator == "initial"
    assert chain[-1].value == study.best_value
    assert all(b.parents[0] == a.number for a, b in pairwise(chain))
    rows = generations(study.trials, 10)
    assert len(rows) == 6
    assert rows[-1].best_so_far == study.best_value
    assert sum(c.trials for c in operators(study.trials)) == 60
