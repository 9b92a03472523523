"""SMAC3's facade for hyperparameter optimisation, asked and told as in its example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smac import HyperparameterOptimizationFacade as Facade
from smac import Scenario
from smac.runhistory.dataclasses import TrialValue

from . import configspace
from .genes import Params, Task


class Smac:
    """A random forest with expected improvement; every configuration is run once."""

    def __init__(self, task: Task) -> None:
        self.task = task
        scenario = Scenario(
            configspace.space(task),
            deterministic=not task.noisy,
            n_trials=task.trials,
            seed=task.seed,
            output_directory=Path("smac"),
        )
        self.smac = Facade(
            scenario,
            _never,
            intensifier=Facade.get_intensifier(scenario, max_config_calls=1),
            overwrite=True,
            logging_level=False,
        )

    def ask(self) -> tuple[Any, Params]:
        """A configuration; genes that are switched off are not in it."""
        info = self.smac.ask()
        return info, configspace.values(self.task, info.config)

    def tell(self, handle: Any, score: float) -> None:
        """SMAC minimises."""
        self.smac.tell(handle, TrialValue(cost=-score))


def _never(config: Any, seed: int = 0) -> float:
    raise RuntimeError("SMAC is asked and told; it runs nothing itself")
