"""Which sampler ``auto`` comes to."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from search.samplers import SAMPLERS, build
from search.samplers.automatic import RULES, choose


@pytest.mark.parametrize(
    ("figures", "sampler"),
    [
        ({"n_trials": 25, "n_genes": 8}, "gp"),
        ({"n_trials": 100, "n_genes": 8, "workers": 8}, "gp"),
        ({"n_trials": 50, "n_genes": 20, "n_conditional": 6}, "tpe"),
        ({"n_trials": 50, "n_genes": 40}, "tpe"),
        ({"n_trials": 40, "n_genes": 8, "workers": 32}, "qmc"),
        ({"n_trials": 200, "n_genes": 8, "workers": 32}, "tpe"),
        ({"n_trials": 200, "n_genes": 8}, "tpe"),
        ({"n_trials": 5000, "n_genes": 8}, "cmaes"),
        ({"n_trials": None, "n_genes": 8}, "tpe"),
        ({"n_trials": 50, "n_genes": 8, "objectives": 2}, "tpe"),
        ({"n_trials": 40, "n_genes": 8, "workers": 64, "objectives": 3}, "tpe"),
    ],
)
def test_each_kind_of_search_gets_its_sampler(figures: dict[str, Any], sampler: str) -> None:
    choice = choose(**figures)
    assert choice.sampler == sampler
    assert "{" not in choice.reason
    budget = figures["n_trials"]
    assert (str(budget) if budget else "an open number") in choice.reason or (
        str(figures.get("objectives")) in choice.reason
    )


def test_a_search_without_noise_tells_the_gaussian_process_so() -> None:
    assert choose(25, 8, noisy=False).options == {"deterministic_objective": True}
    assert choose(25, 8).options == {}


def test_every_rule_names_a_sampler_that_can_be_made_and_takes_the_objectives() -> None:
    for rule in RULES:
        build(rule.sampler, seed=1, distributions={}, options=rule.options)
        assert rule.objectives == (1, 1) or SAMPLERS[rule.sampler].several
    assert {rule.sampler for rule in RULES} <= set(SAMPLERS)


def test_there_is_a_choice_for_everything() -> None:
    budgets, genes, conditional = (1, 10, 99, 101, 999, 10**7, None), (1, 30, 31), (0, 1)
    workers, objectives = (1, 15, 16, 1000), (1, 2, 5)
    for figures in product(budgets, genes, conditional, workers, objectives):
        assert choose(*figures).sampler in SAMPLERS


@pytest.mark.parametrize(
    "figures", [{"n_trials": 0, "n_genes": 1}, {"n_trials": 9, "n_genes": 1, "workers": 0}]
)
def test_figures_that_cannot_be_are_refused(figures: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        choose(**figures)
