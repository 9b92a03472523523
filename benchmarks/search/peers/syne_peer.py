"""Syne Tune's schedulers, asked and told through its `AskTellScheduler`."""

from __future__ import annotations

from typing import Any

import numpy as np
from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform
from syne_tune.optimizer.baselines import REA, BOTorch
from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler

from .genes import Gene, Params, Task

POPULATION, SAMPLE = 20, 5
"""Of regularised evolution. The default of 100 would make the first 100 trials random."""


class _Syne:
    def __init__(self, task: Task, scheduler: Any) -> None:
        self.task = task
        self.scheduler = AskTellScheduler(base_scheduler=scheduler)

    def ask(self) -> tuple[Any, Params]:
        """All genes: Syne Tune knows no conditions."""
        trial = self.scheduler.ask()
        return trial, self.task.take(trial.config)

    def tell(self, handle: Any, score: float) -> None:
        """The score as the metric to be maximised."""
        self.scheduler.tell(handle, {"score": score})


class RegularizedEvolution(_Syne):
    """``REA``."""

    def __init__(self, task: Task) -> None:
        scheduler = REA(
            _space(task),
            metric="score",
            do_minimize=False,
            random_seed=task.seed,
            population_size=POPULATION,
            sample_size=SAMPLE,
        )
        super().__init__(task, scheduler)


class BayesianOptimization(_Syne):
    """``BOTorch`` with its defaults: a Gaussian process and expected improvement."""

    def __init__(self, task: Task) -> None:
        super().__init__(
            task,
            BOTorch(_space(task), metric="score", do_minimize=False, random_seed=task.seed),
        )


def _space(task: Task) -> dict[str, Any]:
    # Some of its searchers draw from the global generator.
    np.random.seed(task.seed)
    return {gene.name: _domain(gene) for gene in task.genes}


def _domain(gene: Gene) -> Any:
    if gene.kind == "choice":
        return choice(list(range(gene.last() + 1)))
    if gene.indexed():
        return randint(0, gene.last())
    if gene.kind == "int":
        return lograndint(int(gene.low), int(gene.high))
    return (loguniform if gene.log else uniform)(gene.low, gene.high)
