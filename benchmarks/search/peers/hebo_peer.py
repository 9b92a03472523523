"""HEBO through its own `suggest` and `observe`."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from hebo.design_space.design_space import DesignSpace
from hebo.optimizers.hebo import HEBO

from .genes import Gene, Params, Task


class Hebo:
    """A Gaussian process over warped scores, and three acquisitions searched by NSGA-II."""

    def __init__(self, task: Task) -> None:
        # It imports torch with all its threads, and draws from the global generators.
        torch.set_num_threads(1)
        torch.manual_seed(task.seed)
        np.random.seed(task.seed)
        random.seed(task.seed)
        self.task = task
        # Its scaling divides by a gene's range.
        self.fixed = {gene.name: 0 if gene.indexed() else gene.low for gene in _fixed(task)}
        free = [gene for gene in task.genes if gene.name not in self.fixed]
        space = DesignSpace().parse([_parameter(gene) for gene in free])
        self.hebo = HEBO(space, scramble_seed=task.seed)

    def ask(self) -> tuple[Any, Params]:
        """All genes: HEBO knows no conditions."""
        found = self.hebo.suggest()
        return found, self.task.take({**self.fixed, **found.iloc[0].to_dict()})

    def tell(self, handle: Any, score: float) -> None:
        """HEBO minimises."""
        self.hebo.observe(handle, np.array([[-score]]))


def _fixed(task: Task) -> list[Gene]:
    return [gene for gene in task.genes if gene.levels() == 1 or gene.low == gene.high]


def _parameter(gene: Gene) -> dict[str, Any]:
    if gene.kind == "choice":
        return {"name": gene.name, "type": "cat", "categories": list(range(gene.last() + 1))}
    if gene.indexed():
        return {"name": gene.name, "type": "int", "lb": 0, "ub": gene.last()}
    kind = {"int": "pow_int", "float": "pow" if gene.log else "num"}[gene.kind]
    return {"name": gene.name, "type": kind, "lb": gene.low, "ub": gene.high}
