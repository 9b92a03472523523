"""pymoo's genetic algorithm for mixed variables, and its differential evolution."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator
from pymoo.core.mixed import MixedVariableGA
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Integer, Real
from pymoo.operators.sampling.lhs import LHS
from pymoo.problems.static import StaticProblem
from pymoo.termination import get_termination

from .batches import Batches
from .genes import Gene, Params, Task

GA_POPULATION = 10
"""Of the documentation's page on mixed variables, whose budget is 50 evaluations."""
DE_POPULATION = 20
"""The documentation's 100 would make the first 100 trials one random sample."""


class _Pymoo(Batches):
    def __init__(self, task: Task, algorithm: Algorithm, problem: Problem) -> None:
        super().__init__()
        self.task = task
        self.problem = problem
        self.algorithm = algorithm
        self.algorithm.setup(
            problem, termination=get_termination("n_eval", 10**9), seed=task.seed, verbose=False
        )

    @abstractmethod
    def values(self, point: Any) -> Params:
        """The genes of one individual's variables."""

    def first(self) -> list[Params]:
        """The initial population."""
        self._asked_for = self.algorithm.ask()
        return [self.values(point) for point in self._asked_for.get("X")]

    def next(self, scores: list[float]) -> list[Params]:
        """The offspring. Pymoo minimises."""
        costs = StaticProblem(self.problem, F=-np.array(scores)[:, None])
        Evaluator().eval(costs, self._asked_for)
        self.algorithm.tell(infills=self._asked_for)
        return self.first()


def _variable(gene: Gene) -> Any:
    if gene.kind == "choice":
        return Choice(options=list(range(gene.last() + 1)))
    if gene.indexed():
        return Integer(bounds=(0, gene.last()))
    return Real(bounds=(0.0, 1.0))


class PymooGA(_Pymoo):
    """``MixedVariableGA``. Logarithmic genes are reals on their unit scale."""

    def __init__(self, task: Task) -> None:
        variables = {gene.name: _variable(gene) for gene in task.genes}
        algorithm = MixedVariableGA(pop_size=GA_POPULATION)
        super().__init__(task, algorithm, Problem(vars=variables, n_obj=1))

    def values(self, point: Any) -> Params:
        """The variables by name."""
        return {
            gene.name: gene.take(point[gene.name])
            if gene.indexed()
            else gene.decode(float(point[gene.name]))
            for gene in self.task.genes
        }


class PymooDE(_Pymoo):
    """``DE`` on the unit cube, variant and rates of the documentation's page on it."""

    def __init__(self, task: Task) -> None:
        count = len(task.genes)
        algorithm = DE(
            pop_size=DE_POPULATION,
            sampling=LHS(),
            variant="DE/rand/1/bin",
            CR=0.3,
            dither="vector",
            jitter=False,
        )
        super().__init__(task, algorithm, Problem(n_var=count, n_obj=1, xl=0.0, xu=1.0))

    def values(self, point: Any) -> Params:
        """Decoded from the unit cube."""
        return self.task.decode(point)
