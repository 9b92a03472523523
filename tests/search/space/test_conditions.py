from __future__ import annotations

import copy
from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from search.genetic import sampler as genetic
from search.genetic.model import Features
from search.genetic.operators import Layout
from search.samplers import build
from search.space import SearchSpace
from search.space.conditions import Condition, Genes, conditions, expressed
from search.space.unit import from_unit

SPACE: dict[str, BaseDistribution] = {
    "adam_beta": FloatDistribution(0, 1),
    "depth": FloatDistribution(0, 1),
    "lr": FloatDistribution(0, 1),
    "model": CategoricalDistribution(["a", "b", "c"]),
    "optimizer": CategoricalDistribution(["sgd", "adam"]),
    "other": CategoricalDistribution([0, 1]),
}


def test_a_gene_of_one_model_has_the_model_as_its_parent() -> None:
    trials = [
        {"lr": 0.1, "model": "a", "other": 0},
        {"lr": 0.2, "model": "b", "other": 0, "depth": 0.5},
        {"lr": 0.3, "model": "c", "other": 1, "depth": 0.1},
    ]
    found = conditions(trials, SPACE)
    assert found == {"depth": Condition("model", frozenset({"b", "c"}))}
    assert "depth" not in expressed({**trials[0], "depth": 0.7}, found, SPACE)
    assert "depth" in expressed({**trials[1]}, found, SPACE)


def test_parents_come_before_the_genes_that_depend_on_them() -> None:
    trials = [
        {"model": "a"},
        {"model": "b", "optimizer": "sgd"},
        {"model": "b", "optimizer": "adam", "adam_beta": 0.9},
    ]
    found = conditions(trials, SPACE)
    assert list(found) == ["optimizer", "adam_beta"]
    assert found["adam_beta"] == Condition("optimizer", frozenset({"adam"}))
    values = {"model": "a", "optimizer": "adam", "adam_beta": 0.5}
    assert expressed(values, found, values) == {"model"}


def test_a_gene_that_comes_and_goes_by_no_rule_counts_as_always_on() -> None:
    trials = [{"other": 0, "lr": 0.1}, {"other": 0}, {"other": 1, "lr": 0.3}, {"other": 1}]
    assert conditions(trials, SPACE) == {}


def test_trials_without_genes_are_passed_over() -> None:
    assert conditions([{}, {"lr": 0.1}, {"unknown": 3}], SPACE) == {}


def drawn(space: SearchSpace, rng: Random) -> dict[str, Any]:
    """A value for every gene, those that are off too."""
    return {n: from_unit(d, rng.random()) for n, d in space.distributions().items()}


DEEP = SearchSpace.from_dict(
    {
        "genes": {
            "zeta": {"low": 0.0, "high": 1.0, "when": {"depth": [2, 3], "model": ["b", "c"]}},
            "beta": {"low": 0.0, "high": 1.0, "when": {"kind": "adam"}},
            "depth": {"type": "int", "low": 1, "high": 60},
            "kind": {"choices": ["sgd", "adam"], "when": {"model": ["a", "b"]}},
            "model": {"choices": ["a", "b", "c"]},
            "ema": {"low": 0.5, "high": 1.0, "when": {"mode": "long"}},
            "warm": {"low": 0.5, "high": 1.0, "when": {"mode": "short", "share": 0.3}},
            "share": {"low": 0.0, "high": 0.5, "step": 0.1, "when": {"flag": [True, None]}},
            "flag": {"choices": [True, False, None]},
        },
        "fixed": {"mode": "short"},
    },
    "deep",
)


def test_a_space_states_its_conditions_and_nothing_is_guessed() -> None:
    space = DEEP.distributions()
    rules = conditions([{"model": "a"}, {"model": "a", "zeta": 0.5}], space)
    assert rules.keys() == {"zeta", "beta", "kind", "ema", "warm", "share"}
    assert list(rules).index("kind") < list(rules).index("beta")
    assert rules["kind"] == Condition("model", frozenset({"a", "b"}))
    rng = Random(1)
    for _ in range(500):
        values = drawn(DEEP, rng)
        assert expressed(values, rules, values) == DEEP.active(values)


def test_a_condition_on_a_fixed_value_holds_always_or_never() -> None:
    rules = conditions([], DEEP.distributions())
    assert rules["warm"] == Condition("share", frozenset({0.3}))
    rng = Random(2)
    assert all("ema" not in expressed(v, rules, v) for v in (drawn(DEEP, rng) for _ in range(20)))


def test_the_surrogate_blanks_just_the_genes_that_are_off() -> None:
    space = dict(sorted(DEEP.distributions().items()))
    layout, rules = Layout(space), conditions([], DEEP.distributions())
    features = Features(layout, rules)
    names = [*layout.numeric, *layout.classes]
    rng = Random(3)
    for _ in range(300):
        values = drawn(DEEP, rng)
        numbers, classes = layout.encode(values)
        row = features.of(np.array([numbers]), np.array([classes]))[0]
        bare = Features(layout, {}).of(np.array([numbers]), np.array([classes]))[0]
        on = DEEP.active(values)
        for name, seen, plain in zip(names, row, bare, strict=True):
            blank = -1.0 if name in layout.classes else 0.5
            assert seen == (plain if name in on else blank), (name, values)


def test_stated_conditions_outlast_a_copy_and_foreign_genes_are_still_guessed() -> None:
    told = copy.copy(Genes({"m": SPACE["model"], "x": SPACE["lr"]}, {"x": RULE}))
    assert told.stated == {"x": RULE}
    space = {**told, "other": SPACE["other"], "depth": SPACE["depth"]}
    trials = [{"m": "a", "x": 0.1, "other": 0}, {"m": "a", "x": 0.3, "other": 1, "depth": 0.5}]
    assert conditions(trials, space, told) == {
        "x": RULE,
        "depth": Condition("other", frozenset({1})),
    }


RULE = Condition("m", frozenset({"a"}))


@pytest.mark.parametrize("through", ["build", "sampler"])
def test_the_genetic_sampler_goes_by_the_stated_conditions_from_its_first_child(
    through: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Mapping[str, Condition]] = []
    real = genetic.offspring

    def watched(
        operators: Any, population: Any, model: Any, breeding: Any, rules: Any, *more: Any
    ) -> Any:
        seen.append(rules)
        return real(operators, population, model, breeding, rules, *more)

    monkeypatch.setattr(genetic, "offspring", watched)
    genes = DEEP.distributions()
    sampler = (
        build("genetic", seed=1, distributions=genes)
        if through == "build"
        else genetic.GeneticSampler(seed=1, space=genes)
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: len(DEEP.suggest(trial)) / 10, n_trials=9)
    assert len(seen) == 3
    assert all(rules == genes.stated for rules in seen)
