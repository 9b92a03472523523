"""DEAP's own (mu + lambda) algorithm with the operators of its documentation."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from deap import algorithms, base, tools
from greenlet import greenlet

from .batches import Batches
from .genes import Params, Task

POPULATION = 20
CROSSOVER, MUTATION = 0.7, 0.2
"""The probabilities of DEAP's example for ``eaMuPlusLambda``."""
SIGMA, GENE_MUTATION, TOURNAMENT = 0.2, 0.1, 3


class _Fitness(base.Fitness):  # type: ignore[misc]
    weights = (1.0,)


class _Individual(list[float]):
    """A point of the unit cube."""

    def __init__(self, genes: Iterable[float]) -> None:
        super().__init__(genes)
        self.fitness = _Fitness()


def _clip(mutate: Callable[..., Any]) -> Callable[..., Any]:
    # DEAP's documentation, "Tool decoration": a mutant is moved back between the bounds.
    def inside(individual: _Individual, *args: Any, **kwargs: Any) -> Any:
        (found,) = mutate(individual, *args, **kwargs)
        found[:] = [min(max(gene, 0.0), 1.0) for gene in found]
        return (found,)

    return inside


class MuPlusLambda(Batches):
    """``deap.algorithms.eaMuPlusLambda`` itself, stopped wherever it evaluates a generation."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task
        self._random = random.Random(task.seed).getstate()
        self._loop = greenlet(self._run)

    def first(self) -> list[Params]:
        """A random population."""
        return self._switch()

    def next(self, scores: list[float]) -> list[Params]:
        """The offspring that are no copies."""
        return self._switch([(score,) for score in scores])

    def _switch(self, *args: Any) -> list[Params]:
        # DEAP draws from the global generator, which belongs to whoever called us.
        outside = random.getstate()
        random.setstate(self._random)
        try:
            return [self.task.decode(point) for point in self._loop.switch(*args)]
        finally:
            self._random = random.getstate()
            random.setstate(outside)

    def _run(self) -> None:
        toolbox = base.Toolbox()
        toolbox.register("map", lambda _, points: self._evaluate(points))
        toolbox.register("evaluate", lambda point: point)
        toolbox.register("mate", tools.cxTwoPoint if len(self.task.genes) > 1 else _same)
        toolbox.register("mutate", tools.mutGaussian, mu=0, sigma=SIGMA, indpb=GENE_MUTATION)
        toolbox.decorate("mutate", _clip)
        toolbox.register("select", tools.selTournament, tournsize=TOURNAMENT)
        population = [
            _Individual(random.random() for _ in self.task.genes) for _ in range(POPULATION)
        ]
        algorithms.eaMuPlusLambda(
            population,
            toolbox,
            mu=POPULATION,
            lambda_=POPULATION,
            cxpb=CROSSOVER,
            mutpb=MUTATION,
            ngen=self.task.trials,  # a generation has at least one new trial, or costs nothing
            verbose=False,
        )

    def _evaluate(self, points: list[_Individual]) -> list[tuple[float]]:
        scores: list[tuple[float]] = self._loop.parent.switch(points) if points else []
        return scores


def _same(first: _Individual, second: _Individual) -> tuple[_Individual, _Individual]:
    return first, second  # two-point crossover needs two genes
