"""A problem in the words of `genes`."""

from __future__ import annotations

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from benchmarks.search.problem import Problem

from .genes import Gene, Task


def task(problem: Problem, seed: int, trials: int) -> Task:
    """What a peer is told of ``problem``."""
    genes = tuple(_gene(problem, name, dist) for name, dist in problem.distributions.items())
    return Task(genes, seed % 2**31, trials, problem.noisy)


def _gene(problem: Problem, name: str, dist: BaseDistribution) -> Gene:
    parent, values = problem.conditions.get(name, (None, ()))
    if isinstance(dist, CategoricalDistribution):
        return Gene(name, "choice", choices=tuple(dist.choices), parent=parent, values=values)
    if not isinstance(dist, FloatDistribution | IntDistribution):
        raise TypeError(f"{type(dist).__name__} of gene {name} has no description for peers")
    kind = "int" if isinstance(dist, IntDistribution) else "float"
    return Gene(name, kind, dist.low, dist.high, dist.log, dist.step, (), parent, values)
