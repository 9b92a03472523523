"""The genes as a ConfigSpace, which SMAC3 and DEHB search."""

from __future__ import annotations

from typing import Any

from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    Float,
    InCondition,
    Integer,
)

from .genes import Gene, Params, Task


def space(task: Task) -> ConfigurationSpace:
    """All genes with their conditions."""
    found = ConfigurationSpace(seed=task.seed)
    for gene in task.genes:
        found.add(_parameter(gene))
    for gene in task.genes:
        if gene.parent is not None:
            values = [
                _code(parent, value)
                for parent in task.genes
                if parent.name == gene.parent
                for value in gene.values
            ]
            found.add(InCondition(found[gene.name], found[gene.parent], values))
    return found


def values(task: Task, configuration: Any) -> Params:
    """The genes that ``configuration`` holds: those that are switched on."""
    return task.take(dict(configuration))


def _code(gene: Gene, value: Any) -> Any:
    """What stands for ``value`` in the ConfigSpace."""
    if not gene.indexed():
        return value
    return [gene.level(k) for k in range(gene.last() + 1)].index(value)


def _parameter(gene: Gene) -> Any:
    if gene.levels() == 1 or gene.low == gene.high:
        return Constant(gene.name, 0 if gene.indexed() else gene.low)
    if gene.kind == "choice":
        return Categorical(gene.name, list(range(gene.last() + 1)))
    if gene.indexed():
        return Integer(gene.name, (0, gene.last()))
    kind = Integer if gene.kind == "int" else Float
    return kind(gene.name, (gene.low, gene.high), log=gene.log)
