"""DEHB in full, and its differential evolution alone, which is left where trainings are whole."""

from __future__ import annotations

from typing import Any

from dehb import DE, DEHB
from greenlet import greenlet

from . import configspace
from .genes import Params, Task


class DehbDE:
    """``dehb.DE``, population 20, with DEHB's own rates, stopped wherever it evaluates."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._loop = greenlet(self._run)
        self._score: tuple[float, ...] = ()

    def ask(self) -> tuple[Any, Params]:
        """The next individual.

        Raises:
            RuntimeError: the last one has no score yet.
        """
        if self._loop and not self._score:
            raise RuntimeError("DE waits for the score of the trial that it asked for last")
        configuration = self._loop.switch(*self._score)
        self._score = ()
        return None, configspace.values(self.task, configuration)

    def tell(self, handle: Any, score: float) -> None:
        """DEHB minimises."""
        self._score = (-score,)

    def _run(self) -> None:
        space = configspace.space(self.task)
        method = DE(
            cs=space,
            f=self._evaluate,
            dimensions=len(self.task.genes),
            pop_size=20,
            mutation_factor=0.5,
            crossover_prob=0.5,
            strategy="rand1_bin",
            seed=self.task.seed,
        )
        method.run(generations=self.task.trials)

    def _evaluate(self, configuration: Any, **_: Any) -> dict[str, float]:
        return {"fitness": self._loop.parent.switch(configuration), "cost": 1.0}


class DehbBrackets:
    """``dehb.DEHB`` with its defaults: evolution in the brackets of Hyperband, asked and told."""

    def __init__(self, task: Task) -> None:
        self.task = task
        space = configspace.space(task)
        self.dehb = DEHB(
            cs=space,
            dimensions=len(task.genes),
            min_fidelity=1,
            max_fidelity=task.epochs,
            n_workers=1,
            seed=task.seed,
            save_freq="end",  # which never comes: files are for going on after a kill
            log_level="ERROR",
        )

    def ask(self) -> tuple[Any, Params, int]:
        """A configuration of the current bracket; its rungs lie between epochs."""
        job = self.dehb.ask()
        return job, configspace.values(self.task, job["config"]), round(job["fidelity"])

    def tell(self, handle: Any, score: float) -> None:
        """DEHB minimises."""
        self.dehb.tell(handle, {"fitness": -score, "cost": float(handle["fidelity"])})
