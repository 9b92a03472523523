"""DEAP's selection, crossover and mutation, on individuals of this package.

DEAP draws from Python's global ``random``. Seeding and restoring that generator around
each ask would still disturb whatever else draws from it at that moment in another thread,
a user's data augmentation for instance, and be disturbed by it. So `Operators` runs DEAP's
own functions with a generator of its own in the place of the module ``random``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, TypeVar, cast

from deap import base
from deap.tools import crossover, mutation, selection
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search.space.unit import from_unit, levels, to_unit


class Credit(base.Fitness):  # type: ignore[misc]  # DEAP ships no types
    """How good an individual is: ``(steps reached, value)``, compared in order, more is better."""

    weights = (1.0, 1.0)


@dataclass(frozen=True)
class Layout:
    """Which genes there are, and on which scale DEAP sees them.

    Args:
        space: every gene's distribution, by name, in the order used throughout.

    Attributes:
        numeric: names of the genes that are numbers.
        classes: names of those that are choices.
        least: the least step of each number that can matter: one level, 0 if continuous.
        counts: how many choices each has.
    """

    space: Mapping[str, BaseDistribution]
    numeric: tuple[str, ...] = field(init=False)
    classes: tuple[str, ...] = field(init=False)
    least: tuple[float, ...] = field(init=False)
    counts: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        chosen = [n for n, d in self.space.items() if isinstance(d, CategoricalDistribution)]
        numeric = tuple(name for name in self.space if name not in set(chosen))
        object.__setattr__(self, "classes", tuple(chosen))
        object.__setattr__(self, "numeric", numeric)
        steps = (levels(self.space[name]) for name in numeric)
        object.__setattr__(self, "least", tuple(1.0 / n if n else 0.0 for n in steps))
        object.__setattr__(self, "counts", tuple(levels(self.space[n]) or 1 for n in chosen))

    def place(self, name: str, value: Any) -> float:
        """Where one gene's value lies: a number's in [0, 1], a choice's index."""
        dist = self.space[name]
        if isinstance(dist, CategoricalDistribution):
            return float(dist.to_internal_repr(value))
        return to_unit(dist, value)

    def encode(self, values: Mapping[str, Any]) -> tuple[list[float], list[int]]:
        """Values of all genes as (numbers in [0, 1], indices of choices)."""
        return (
            [to_unit(self.space[name], values[name]) for name in self.numeric],
            [int(self.space[name].to_internal_repr(values[name])) for name in self.classes],
        )


@dataclass
class Genome:
    """One set of genes, as the operators see it.

    Args:
        numbers: numeric genes in [0, 1], in the layout's order.
        classes: choices by index, in the layout's order.
        expressed: names of the genes that take part.
        fitness: what it is worth.
    """

    numbers: list[float]
    classes: list[int]
    expressed: AbstractSet[str]
    fitness: Credit

    def copy(self) -> tuple[list[float], list[int]]:
        """The genes again, to be varied."""
        return list(self.numbers), list(self.classes)


@dataclass
class Individual(Genome):
    """A trial as a parent.

    Args:
        number: the trial.
        values: value of every gene, expressed or only carried.
    """

    number: int
    values: dict[str, Any]


G = TypeVar("G", bound=Genome)


def private(module: ModuleType, rng: random.Random) -> dict[str, Callable[..., Any]]:
    """The functions of a DEAP module, drawing from ``rng`` instead of the global generator."""
    namespace = dict(vars(module))
    namespace["random"] = rng
    functions = {
        name: FunctionType(value.__code__, namespace, name, value.__defaults__, value.__closure__)
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    }
    # Functions of the module that call each other (a tournament draws with selRandom) must
    # find each other's private version.
    namespace.update(functions)
    return cast("dict[str, Callable[..., Any]]", functions)


class Operators:
    """Selection, crossover and mutation drawing from one generator.

    Args:
        layout: the genes.
        rng: where every draw comes from.
        tournament: how many individuals compete to be a parent.
    """

    def __init__(self, layout: Layout, rng: random.Random, tournament: int) -> None:
        self.layout = layout
        self.rng = rng
        self._tournament = tournament
        self._cross = private(crossover, rng)
        self._mutate = private(mutation, rng)
        self._select = private(selection, rng)

    def parents(self, population: Sequence[G], count: int) -> list[G]:
        """``count`` different individuals out of ``population``, each the best of a tournament."""
        chosen: list[G] = []
        left = list(population)
        for _ in range(min(count, len(population))):
            (best,) = self._select["selTournament"](left, 1, min(self._tournament, len(left)))
            chosen.append(best)
            left = [one for one in left if one is not best]
        return chosen

    def mate(self, first: Genome, second: Genome) -> tuple[list[float], list[int]]:
        """One child of two parents, as (numbers, classes).

        Half of the matings swap genes whole (uniform crossover), half blend the numeric
        ones (BLX-alpha of Eshelman and Schaffer, 1993). A gene that only one parent
        expressed is that parent's: the other's was never tested.
        """
        (numbers, classes), (others, choices) = first.copy(), second.copy()
        self._share(first, second, numbers, others, self.layout.numeric)
        self._share(first, second, classes, choices, self.layout.classes)
        if self.rng.random() < 0.5:
            self._cross["cxUniform"](numbers, others, 0.5)
        else:
            self._cross["cxBlend"](numbers, others, 0.25)
        self._cross["cxUniform"](classes, choices, 0.5)
        return [reflect(u) for u in numbers], classes

    def _share(
        self, first: Genome, second: Genome, one: list[Any], two: list[Any], names: Any
    ) -> None:
        for i, name in enumerate(names):
            if name in first.expressed and name not in second.expressed:
                two[i] = one[i]
            elif name in second.expressed and name not in first.expressed:
                one[i] = two[i]

    def mutate(
        self, numbers: list[float], classes: list[int], probability: float, strength: float
    ) -> tuple[list[float], list[int]]:
        """Genes after mutation, as (numbers, classes).

        Args:
            numbers: numeric genes in [0, 1].
            classes: choices by index.
            probability: of each gene to change.
            strength: standard deviation of the Gaussian step, in the unit interval; at
                least one level for genes with few.
        """
        numbers, drawn = list(numbers), list(classes)
        if numbers:
            sigma = [max(strength, least) for least in self.layout.least]
            self._mutate["mutGaussian"](numbers, 0.0, sigma, probability)
        if drawn:
            # mutUniformInt may draw what was there; drawing one fewer and stepping over the
            # present choice makes every mutation a change.
            top = [max(count - 2, 0) for count in self.layout.counts]
            marked = [-1] * len(drawn)
            self._mutate["mutUniformInt"](marked, [0] * len(drawn), top, probability)
            for i, (new, old) in enumerate(zip(marked, classes, strict=True)):
                if new >= 0 and self.layout.counts[i] > 1:
                    drawn[i] = new + (new >= old)
        return [reflect(u) for u in numbers], drawn

    def decode(
        self, numbers: list[float], classes: list[int], parents: Sequence[Individual]
    ) -> dict[str, Any]:
        """The values of a child. What comes unchanged from a parent keeps its exact value."""
        values: dict[str, Any] = {}
        for i, name in enumerate(self.layout.numeric):
            dist, unit = self.layout.space[name], numbers[i]
            same = (p.values[name] for p in parents if p.numbers[i] == unit)
            value = next(same, None)
            if value is None or not dist._contains(dist.to_internal_repr(value)):
                value = from_unit(dist, unit)
            values[name] = value
        for i, name in enumerate(self.layout.classes):
            values[name] = self.layout.space[name].to_external_repr(classes[i])
        return {name: values[name] for name in self.layout.space}


def distance(one: Genome, numbers: Sequence[float], classes: Sequence[int]) -> float:
    """How far genes lie from those of ``one``: another choice counts as a whole range."""
    apart = sum(abs(a - b) for a, b in zip(one.numbers, numbers, strict=True))
    return apart + sum(a != b for a, b in zip(one.classes, classes, strict=True))


def reflect(unit: float) -> float:
    """``unit`` folded back into [0, 1] at the ends, so that the ends draw no crowd."""
    unit = abs(unit) % 2.0
    return 2.0 - unit if unit > 1.0 else unit
