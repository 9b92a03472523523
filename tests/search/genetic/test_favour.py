"""What a user's priors do to the genetic sampler's proposals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from search.genetic import GeneticSampler
from search.genetic.lineage import DOUBTED, doubted_priors
from search.genetic.sampler import INITIAL
from search.objective import Outcome
from search.space import SearchSpace
from search.space.conditions import Condition, Genes
from search.space.gene_prior import ChoicePrior, GenePrior, NumberPrior
from search.study import Study, StudyConfig
from search.trials.marks import LINEAGE

SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0, 1),
    "y": FloatDistribution(0, 1),
    "c": CategoricalDistribution(("a", "b", "d")),
}
Objective = Callable[[optuna.Trial], float]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def number(centre: float, width: float = 0.05) -> NumberPrior:
    return NumberPrior.of(SPACE["x"], centre, width)


def searched(
    priors: dict[str, GenePrior], objective: Objective, trials: int, seed: int = 0, **options: Any
) -> list[optuna.trial.FrozenTrial]:
    sampler = GeneticSampler(seed=seed, space=Genes(SPACE, {}, priors), **options)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study.trials


def peak(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    return (
        -((x - 0.8) ** 2)
        - (y - 0.3) ** 2
        - 0.1 * (trial.suggest_categorical("c", ["a", "b", "d"]) != "b")
    )


def nothing(trial: optuna.Trial) -> float:
    """All recipes are alike, so that priors alone say where to look."""
    peak(trial)
    return 0.5


def test_no_prior_is_an_empty_one() -> None:
    with_none = searched({}, peak, 14)
    sampler = GeneticSampler(seed=0, space=Genes(SPACE, {}))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(peak, n_trials=14)
    assert [t.params for t in with_none] == [t.params for t in study.trials]
    assert not any(DOUBTED in t.user_attrs[LINEAGE] for t in with_none)


def test_the_first_trial_is_the_priors_centre_and_every_second_one_is_drawn_from_them() -> None:
    found = searched({"x": number(0.8), "c": ChoicePrior((1, 50, 1))}, peak, INITIAL)
    assert found[0].params["x"] == 0.8
    assert found[0].params["c"] == "b"
    drawn = [t.params["x"] for t in found[::2]]
    assert all(abs(x - 0.8) < 0.2 for x in drawn)
    assert len(set(drawn)) == 3
    plain = searched({}, peak, INITIAL)
    assert [t.params for t in found[1::2]] == [t.params for t in plain[1::2]]
    assert [t.params["y"] for t in found] == [t.params["y"] for t in plain]


def test_children_lie_where_the_priors_are_as_long_as_the_trials_say_nothing() -> None:
    found = searched({"x": number(0.8), "c": ChoicePrior((1, 20, 1))}, nothing, INITIAL + 8)
    children = found[INITIAL:]
    assert sum(abs(t.params["x"] - 0.8) < 0.2 for t in children) >= 7
    assert sum(t.params["c"] == "b" for t in children) >= 7


def test_a_prior_that_the_trials_contradict_is_named_and_the_search_goes_elsewhere() -> None:
    found = searched({"x": number(0.1), "y": number(0.3)}, peak, 24)
    doubted = [t.user_attrs[LINEAGE].get(DOUBTED, []) for t in found]
    assert doubted[-1] == ["x"], "that of y is right"
    assert doubted_priors(found) == ["x"]
    assert max(found, key=lambda t: t.value or -1).params["x"] == pytest.approx(0.8, abs=0.1)


def test_of_priors_that_are_wrong_together_none_counts_any_more() -> None:
    priors: dict[str, GenePrior] = {"x": number(0.1), "y": number(0.9), "c": ChoicePrior((9, 1, 1))}
    found = searched(priors, peak, 16)
    assert doubted_priors(found) == ["x", "y", "c"]
    assert all(abs(t.params["x"] - 0.1) > 0.2 for t in found[-3:])


def test_an_ask_is_made_again_alike_by_a_sampler_made_anew() -> None:
    priors: dict[str, GenePrior] = {"x": number(0.1), "c": ChoicePrior((1, 4, 1))}
    found = searched(priors, peak, 12)
    study = optuna.create_study(direction="maximize")
    study.add_trials(found[:11])
    study.sampler = GeneticSampler(seed=0, space=Genes(SPACE, {}, priors))
    again = study.ask(SPACE)
    assert again.params == found[11].params


def test_a_study_keeps_its_priors_and_goes_on_with_them_after_a_kill(tmp_path: Path) -> None:
    genes = {
        "x": {"low": 0.0, "high": 1.0, "prior": {"centre": 0.8, "width": 0.05}},
        "c": {"choices": ["a", "b", True], "prior": {True: 3}},
    }
    space = SearchSpace.from_dict({"genes": genes})

    def params_of(folder: Path, cut: int) -> list[dict[str, Any]]:
        study = Study.create(folder, space, StudyConfig("s", "genetic", 5))
        for number in range(10):
            if number == cut:
                study.close()
                study = Study.open(folder)
            study.tell(study.ask().number, Outcome(number / 10))
        found = [dict(t.params) for t in study.trials()]
        study.close()
        return found

    whole = params_of(tmp_path / "a", 99)
    assert whole == params_of(tmp_path / "b", 8)
    assert whole[0] == {"x": 0.8, "c": True}


def test_genes_that_are_off_add_nothing_and_priors_of_strange_genes_are_left_out() -> None:
    genes = Genes(
        {"m": CategoricalDistribution(("on", "off")), "x": FloatDistribution(0, 1)},
        {"x": Condition("m", frozenset({"on"}))},
        {"x": number(0.9), "z": number(0.5)},
    )

    def switched(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("m", ["on", "off"]) == "off":
            return 1.0
        return 0.5 - abs(trial.suggest_float("x", 0, 1) - 0.9)

    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1, space=genes))
    study.optimize(switched, n_trials=16)
    assert study.best_trial.params == {"m": "off"}


def test_several_objectives_and_a_search_without_a_surrogate_take_priors_too() -> None:
    priors: dict[str, GenePrior] = {"x": number(0.8)}
    found = searched(priors, peak, 12, surrogate=False)
    assert found[0].params["x"] == 0.8
    sampler = GeneticSampler(seed=0, space=Genes(SPACE, {}, priors))
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(lambda t: (peak(t), t.params["y"]), n_trials=10)
    assert study.trials[0].params["x"] == 0.8
