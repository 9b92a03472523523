"""Ax through its `Client`, with the generation strategy that it chooses by default."""

from __future__ import annotations

from typing import Any

import torch
from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

from .genes import Gene, Params, Task, children


class Ax:
    """Sobol points, then Gaussian processes of BoTorch over a hierarchical space."""

    def __init__(self, task: Task) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(task.seed)
        self.task = task
        self.client = Client(random_seed=task.seed)
        self.client.configure_experiment(
            parameters=[_parameter(task, gene) for gene in task.genes], name="peer"
        )
        self.client.configure_optimization(objective="score")

    def ask(self) -> tuple[Any, Params]:
        """One trial; genes that are switched off are not in it."""
        ((index, found),) = self.client.get_next_trials(max_trials=1).items()
        return index, self.task.take(found)

    def tell(self, handle: Any, score: float) -> None:
        """Ax maximises an objective without a minus sign."""
        self.client.complete_trial(handle, raw_data={"score": score})


def _parameter(task: Task, gene: Gene) -> Any:
    if gene.kind == "choice":
        below = {
            k: [child.name for child in children(task.genes, gene.name, value)]
            for k, value in enumerate(gene.choices)
        }
        return ChoiceParameterConfig(
            gene.name,
            values=list(range(gene.last() + 1)),
            parameter_type="int",
            is_ordered=False,
            dependent_parameters={k: names for k, names in below.items() if names} or None,
        )
    return RangeParameterConfig(
        gene.name,
        bounds=(0, gene.last()) if gene.indexed() else (gene.low, gene.high),
        parameter_type="int" if gene.indexed() or gene.kind == "int" else "float",
        scaling="log" if gene.log else None,
    )
