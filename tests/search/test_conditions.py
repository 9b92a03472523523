from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from search.conditions import Condition, conditions, expressed

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
