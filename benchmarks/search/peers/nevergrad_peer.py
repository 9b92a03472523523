"""Nevergrad's optimisers on its own parametrisation: Scalar, Log, Choice, and Dict for models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nevergrad as ng

from .genes import Gene, Params, Task, children


class _Nevergrad:
    name: str

    def __init__(self, task: Task) -> None:
        self.task = task
        choices = {gene.name for gene in task.genes if gene.kind == "choice"}
        # Below a number nothing can hang: such genes are always there.
        space = _space(task.genes, [gene for gene in task.genes if gene.parent not in choices])
        space.random_state.seed(task.seed)
        optimiser = ng.optimizers.registry[self.name]
        self.optimiser = optimiser(space, budget=task.trials, num_workers=1)

    def ask(self) -> tuple[Any, Params]:
        """The next candidate."""
        candidate = self.optimiser.ask()
        found: Params = {}
        _collect(candidate.value, found)
        return candidate, self.task.take(found)

    def tell(self, handle: Any, score: float) -> None:
        """Nevergrad minimises."""
        self.optimiser.tell(handle, -score)


class NGOpt(_Nevergrad):
    """The adaptive choice that the documentation recommends to start with."""

    name = "NGOpt"


class TwoPointsDE(_Nevergrad):
    """The differential evolution that the documentation calls excellent in many cases."""

    name = "TwoPointsDE"


class OnePlusOne(_Nevergrad):
    """(1 + 1) evolution strategy with the one-fifth rule."""

    name = "OnePlusOne"


def _space(genes: Sequence[Gene], here: Sequence[Gene]) -> Any:
    """The genes ``here``, with those that they switch on inside them."""
    return ng.p.Dict(**{gene.name: _parameter(genes, gene) for gene in here})


def _parameter(genes: Sequence[Gene], gene: Gene) -> Any:
    if gene.kind == "choice":
        below = [children(genes, gene.name, value) for value in gene.choices]
        if any(below):
            # A choice between dictionaries is how Nevergrad writes a conditional space.
            return ng.p.Choice([ng.p.Tuple(k, _space(genes, b)) for k, b in enumerate(below)])
        return ng.p.Choice(list(range(gene.last() + 1)))
    if gene.levels() == 1 or gene.low == gene.high:
        return ng.p.Constant(0 if gene.indexed() else gene.low)
    if gene.indexed():
        return ng.p.Scalar(lower=0, upper=gene.last()).set_integer_casting()
    kind = ng.p.Log if gene.log else ng.p.Scalar
    number = kind(lower=gene.low, upper=gene.high)
    return number.set_integer_casting() if gene.kind == "int" else number


def _collect(values: dict[str, Any], found: Params) -> None:
    for name, value in values.items():
        if isinstance(value, tuple):
            index, below = value
            found[name] = index
            _collect(below, found)
        else:
            found[name] = value
