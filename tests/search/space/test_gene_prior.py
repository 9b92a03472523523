"""Priors of genes: how they are written, what they weigh, and what is said of wrong ones."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.errors import SpaceError
from search.space import SearchSpace
from search.space.gene_prior import SURE, ChoicePrior, NumberPrior

GENES: dict[str, Any] = {
    "lr": {"low": 1e-4, "high": 0.1, "log": True, "prior": {"centre": "1e-3", "width": 3}},
    "dropout": {"low": 0.0, "high": 0.5, "prior": {"centre": 0.2, "width": 0.1}},
    "depth": {"low": 1, "high": 9, "prior": {"centre": 3, "width": 1}},
    "model": {"choices": ["a", "b", True], "prior": {"b": 3, True: 2}},
    "mix": {"choices": ["none", "mixup"], "prior": "mixup"},
    "plain": {"low": 0.0, "high": 1.0},
}


def problems(genes: dict[str, Any]) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        SearchSpace.from_dict({"genes": genes}, "my.yaml")
    return [problem.removeprefix("my.yaml: ") for problem in caught.value.problems]


def test_priors_of_all_kinds_are_read_and_told_in_words() -> None:
    genes = SearchSpace.from_dict({"genes": GENES}).genes
    assert {name: gene.prior_words for name, gene in genes.items()} == {
        "lr": "about 0.001, within a factor of 3",
        "dropout": "about 0.2, give or take 0.1",
        "depth": "about 3, give or take 1",
        "model": "b (3 to 1), true (2 to 1)",
        "mix": "mixup (4 to 1)",
        "plain": "",
    }


def test_a_space_with_priors_survives_its_dictionary_and_one_without_says_nothing_of_them() -> None:
    space = SearchSpace.from_dict({"genes": GENES})
    again = SearchSpace.from_dict(json.loads(json.dumps(space.to_dict())))
    assert again.priors == space.priors
    assert set(space.priors) == set(GENES) - {"plain"}
    assert again.fingerprint == space.fingerprint
    assert space.distributions().priors == space.priors
    bare = {name: {k: v for k, v in gene.items() if k != "prior"} for name, gene in GENES.items()}
    without = SearchSpace.from_dict({"genes": bare})
    assert without.priors == {}
    assert "prior" not in json.dumps(without.to_dict())
    assert without.fingerprint != space.fingerprint


def test_all_that_is_wrong_with_priors_is_said_at_once_with_the_way_out() -> None:
    found = problems({
        "lr": {**GENES["lr"], "prior": {"centre": 1, "width": 0.5, "center": 3}},
        "dropout": {**GENES["dropout"], "prior": 0.2},
        "depth": {**GENES["depth"], "prior": {"centre": "many"}},
        "width": {"low": 0.0, "high": 1.0, "prior": {"centre": 0.5, "width": 0}},
        "model": {**GENES["model"], "prior": {"c": 3, "a": -1}},
        "mix": {**GENES["mix"], "prior": [1]},
        "flip": {"choices": [True, False], "prior": "maybe"},
    })  # fmt: skip
    assert found == [
        "lr: prior: unknown key center; did you mean 'centre'?",
        "lr: prior: centre 1 lies outside 0.0001 to 0.1; correct it, or widen the gene",
        "lr: prior: width 0.5 is not above 1; lr is log: give it as a factor, such as 3 for a "
        "third of the centre to three times it",
        "dropout: prior is 0.2; write prior: {centre: ..., width: ...}",
        "depth: prior: centre is many; write a finite number: the value that you believe in most",
        "depth: prior: width is missing; add width: how far from it two thirds of your belief "
        "reach, in the unit of depth",
        "width: prior: width 0 is not above 0; give it in the unit of width",
        "model: prior: c is none of its choices (a, b, true); write CHOICE: WEIGHT of those",
        "model: prior: the weight of a is -1; give a number from 0.001 to 1000: 2 for twice as "
        "likely as a choice of weight 1",
        "mix: prior: has 1 weights for 2 choices; give one for each, in their order, or write "
        "{CHOICE: WEIGHT}",
        "flip: prior: maybe is none of its choices (true, false); write one of them, or "
        "{CHOICE: WEIGHT}",
    ]


@pytest.mark.parametrize(
    ("dist", "centre", "width"),
    [
        (FloatDistribution(0, 1), 0.5, 0.1),
        (FloatDistribution(0, 1), 1.0, 0.3),
        (FloatDistribution(1e-4, 1e-1, log=True), 1e-4, 3),
        (FloatDistribution(0, 1), 0.5, 1e300),
        (FloatDistribution(0, 1), 0.5, 1e-300),
        (IntDistribution(1, 64, log=True), 4, 2),
    ],
)
def test_densities_of_numbers_average_to_an_even_one(
    dist: BaseDistribution, centre: float, width: float
) -> None:
    places = (np.arange(20_000) + 0.5) / 20_000
    prior = NumberPrior.of(dist, centre, width)
    logs = prior.log_density(places)
    assert np.exp(logs).mean() == pytest.approx(1, abs=1e-3)
    assert logs.min() >= np.log(1 - SURE) - 1e-12, "who is sure may be wrong"
    assert abs(places[logs.argmax()] - prior.at) < 1e-3 or width > 1e10


def test_densities_of_choices_average_to_an_even_one_and_keep_their_order() -> None:
    logs = ChoicePrior((1, 3, 2)).log_density(np.arange(3.0))
    assert np.exp(logs).mean() == pytest.approx(1)
    assert logs[1] > logs[2] > logs[0]


def test_two_thirds_of_a_prior_lie_within_its_width() -> None:
    dist = FloatDistribution(1e-6, 1.0, log=True)
    prior = NumberPrior.of(dist, 1e-3, 3)
    drawn = np.array([prior.quantile((i + 0.5) / 3000) for i in range(3000)])
    values = 1e-6 * 1e6**drawn
    assert np.mean((values > 1e-3 / 3) & (values < 3e-3)) == pytest.approx(0.683, abs=0.01)


def test_choices_are_drawn_by_their_weights() -> None:
    prior = ChoicePrior((1, 2, 1))
    drawn = [int(prior.quantile((i + 0.5) / 400) * 3) for i in range(400)]
    assert [drawn.count(index) for index in range(3)] == [100, 200, 100]
    assert int(prior.at * 3) == 1


def test_a_moved_prior_has_its_peak_elsewhere() -> None:
    assert ChoicePrior((1, 4, 2)).moved(2).weights == (1, 2, 4)
    prior = NumberPrior.of(FloatDistribution(0, 1), 0.5, 0.1).moved(0.9)
    assert prior.log_density(np.array([0.9])) > prior.log_density(np.array([0.5]))


def test_words_of_choices_that_weigh_alike_say_so() -> None:
    assert ChoicePrior((2, 2)).words(CategoricalDistribution(("a", "b"))) == "all alike"
