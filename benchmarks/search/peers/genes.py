"""What a peer is told of a problem, in plain Python, so that it can go through a pipe.

Nothing but the standard library is imported: a peer may live in an environment that has
neither Optuna nor this project.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

Params = dict[str, Any]


@dataclass(frozen=True)
class Gene:
    """One gene.

    Args:
        name: as the problem names it.
        kind: ``"float"``, ``"int"`` or ``"choice"``.
        low, high: the range of a number, both ends included.
        log: whether the scale is logarithmic.
        step: between two levels; None for a continuous gene.
        choices: of a gene of kind ``"choice"``.
        parent: the gene that switches this one on, or None where it is always on.
        values: the values of the parent that switch it on.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()
    parent: str | None = None
    values: tuple[Any, ...] = ()

    def levels(self) -> int | None:
        """How many values there are, or None where the gene is continuous."""
        if self.kind == "choice":
            return len(self.choices)
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def level(self, index: int) -> Any:
        """The value of a gene that is not continuous by its place, counted from 0."""
        if self.kind == "choice":
            return self.choices[index]
        assert self.step is not None
        value = min(self.low + index * self.step, self.high)
        return int(value) if self.kind == "int" else value

    def decode(self, unit: float) -> Any:
        """The value at ``unit`` from 0 to 1: bins of equal width for levels and choices.

        A logarithmic integer has bins of equal width in the logarithm, those at the ends too.
        """
        count = self.levels()
        if self.log:
            half = 0.5 if self.kind == "int" else 0.0
            ends = math.log(self.low - half), math.log(self.high + half)
            value = math.exp(ends[0] + unit * (ends[1] - ends[0]))
            return self.fit(value)
        if count is not None:
            return self.level(min(int(unit * count), count - 1))
        return self.fit(self.low + unit * (self.high - self.low))

    def indexed(self) -> bool:
        """Whether libraries are given a place among the levels, 0 first, and no value.

        So for choices, which then can be of any type, and for levels of equal distance,
        since most libraries know no steps.
        """
        return self.kind == "choice" or (self.step is not None and not self.log)

    def last(self) -> int:
        """The highest place of an indexed gene."""
        return (self.levels() or 1) - 1

    def take(self, found: Any) -> Any:
        """The value for what a library gives: a place of an indexed gene, else a number."""
        return self.level(int(found)) if self.indexed() else self.fit(found)

    def fit(self, value: Any) -> Any:
        """A number as the problem takes it: rounded to a level, inside the range."""
        inside = min(max(float(value), self.low), self.high)
        if self.step is None:
            return inside
        count = self.levels()
        assert count is not None
        return self.level(min(round((inside - self.low) / self.step), count - 1))


class Peer(Protocol):
    """A sampler of another library. Higher scores are better."""

    def ask(self) -> tuple[Any, Params]:
        """(handle, values of at least all genes that are switched on)."""

    def tell(self, handle: Any, score: float) -> None:
        """The observed score of what was asked under ``handle``."""


class LegPeer(Protocol):
    """A method that also says how long each configuration is trained. Higher scores are better."""

    def ask(self) -> tuple[Any, Params, int]:
        """(handle, values, epochs): train this to so many epochs altogether.

        A configuration that was asked for before goes on from where it stands.
        """

    def tell(self, handle: Any, score: float) -> None:
        """The observed score after the epochs that were asked for under ``handle``."""


@dataclass(frozen=True)
class Task:
    """What a peer is made for.

    Args:
        genes: parents before the genes that they switch on.
        seed: from 0 to 2**31 - 1.
        trials: how many will be asked for.
        noisy: whether two evaluations of one configuration may differ.
        epochs: of a whole training, for a peer that may train for fewer.
    """

    genes: tuple[Gene, ...]
    seed: int
    trials: int
    noisy: bool = False
    epochs: int = 1

    def decode(self, units: Sequence[float]) -> Params:
        """All genes at a point of the unit cube, shape (genes,)."""
        return {gene.name: gene.decode(float(u)) for gene, u in zip(self.genes, units, strict=True)}

    def take(self, found: Mapping[str, Any]) -> Params:
        """The values for what a library gives; genes that it left out stay out."""
        here = [gene for gene in self.genes if gene.name in found]
        return {gene.name: gene.take(found[gene.name]) for gene in here}

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """The inverse of `to_json`."""
        genes = tuple(
            Gene(**{**gene, "choices": tuple(gene["choices"]), "values": tuple(gene["values"])})
            for gene in data["genes"]
        )
        return cls(genes, data["seed"], data["trials"], data["noisy"], data["epochs"])


def children(genes: Sequence[Gene], parent: str, value: Any) -> list[Gene]:
    """The genes that ``value`` of ``parent`` switches on."""
    return [gene for gene in genes if gene.parent == parent and value in gene.values]
