"""Every peer that can be imported here keeps the interface; the others are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from benchmarks.search.contender import Contender
from benchmarks.search.peers.describe import task
from benchmarks.search.peers.entries import ENTRIES
from benchmarks.search.peers.genes import Gene, Task
from benchmarks.search.problem import Problem
from search.space.unit import to_unit

DISTRIBUTIONS = {
    "model": CategoricalDistribution(["a", "b"]),
    "x": FloatDistribution(-1.0, 2.0),
    "rate": FloatDistribution(1e-5, 1.0, log=True),
    "layers": IntDistribution(2, 10, step=2),
    "units": IntDistribution(8, 512, log=True),
    "a_drop": FloatDistribution(0.0, 0.5),
    "b_kind": CategoricalDistribution(["p", "q", "r"]),
}


def bowl(params: dict[str, Any], rng: np.random.Generator) -> tuple[float, float]:
    """Best where every number is at 0.7 of its range and the model is ``a``."""
    numbers = [name for name in ("x", "rate", "layers", "units") if name in params]
    value = -sum((to_unit(DISTRIBUTIONS[name], params[name]) - 0.7) ** 2 for name in numbers)
    value -= 0.3 * (params["model"] == "b")
    return value, value


PROBLEM = Problem(
    "bowl",
    DISTRIBUTIONS,
    bowl,
    0.0,
    -0.5,
    conditions={"a_drop": ("model", ("a",)), "b_kind": ("model", ("b",))},
)


@contextmanager
def running(name: str, seed: int, trials: int) -> Iterator[Contender]:
    entry = ENTRIES[name]
    if entry.missing():
        pytest.skip(entry.missing())
    contender = entry.make(PROBLEM, seed, trials)
    try:
        yield contender
    finally:
        contender.close()


def asked(name: str, seed: int, trials: int, sign: float = 1.0) -> list[dict[str, Any]]:
    found = []
    with running(name, seed, trials) as contender:
        for _ in range(trials):
            key, params = contender.ask()
            found.append(PROBLEM.active(params))
            contender.tell(key, params, sign * bowl(found[-1], np.random.default_rng())[0])
    return found


peers = pytest.mark.parametrize("name", sorted(ENTRIES))


@peers
def test_a_peer_moves_to_higher_scores_inside_the_space(name: str) -> None:
    # Enough for the slow ones, and for two generations of 20.
    trials = 20 if ENTRIES[name].slow else 70
    up, down = asked(name, 1, trials), asked(name, 1, trials, sign=-1.0)
    for params in up + down:
        assert ("a_drop" in params) == (params["model"] == "a")
        for gene, value in params.items():
            dist = DISTRIBUTIONS[gene]
            assert dist._contains(dist.to_internal_repr(value)), (gene, value)
            assert not isinstance(dist, IntDistribution) or isinstance(value, int)

    def late(found: list[dict[str, Any]]) -> float:
        half = found[trials // 2 :]
        return float(np.mean([bowl(p, np.random.default_rng())[0] for p in half]))

    assert late(up) > late(down) + 0.05


@peers
def test_a_seed_fixes_what_a_peer_asks_for(name: str) -> None:
    # HEBO's first eight, one more than there are genes, are a Sobol sequence.
    trials = 10 if ENTRIES[name].slow else 50
    first = asked(name, 3, trials)
    assert first == asked(name, 3, trials)
    assert first != asked(name, 4, trials)


@peers
def test_a_peer_names_its_version(name: str) -> None:
    if ENTRIES[name].missing():
        pytest.skip(ENTRIES[name].missing())
    assert ENTRIES[name].version().split()[1][0].isdigit()


def test_a_task_survives_json() -> None:
    made = task(PROBLEM, 2**40 + 5, 9)
    assert made.seed == 5
    assert Task.from_json(made.to_json()) == made


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS))
def test_a_gene_decodes_to_values_of_its_distribution(name: str) -> None:
    dist = DISTRIBUTIONS[name]
    gene = next(gene for gene in task(PROBLEM, 0, 1).genes if gene.name == name)
    found = [gene.decode(u) for u in np.linspace(0, 1, 101)]
    assert all(dist._contains(dist.to_internal_repr(value)) for value in found)
    if isinstance(dist, FloatDistribution):
        assert (found[0], found[-1]) == pytest.approx((dist.low, dist.high))
    assert [to_unit(dist, v) for v in found] == sorted(to_unit(dist, v) for v in found)


def test_values_outside_are_moved_to_the_nearest_level() -> None:
    gene = Gene("layers", "int", 2, 10, step=2)
    assert [gene.fit(value) for value in (-3, 3.2, 5.1, 99.0)] == [2, 4, 6, 10]
