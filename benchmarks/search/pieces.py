"""The pieces of the genetic sampler that can be taken out, to see what each is worth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any

from search.genetic import gaussian_process_fit
from search.genetic.history import History
from search.genetic.operators import Individual


@dataclass(frozen=True)
class Piece:
    """A piece, and what stands in its place when it is taken out.

    Args:
        instead: the latter in a few words.
        settings: values for names within `search`, as ``genetic.offspring.GENERATIONS``.
        options: of the sampler.
        where: patterns of the problems on which it can make a difference.
    """

    instead: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    where: Sequence[str] = ("*",)


def _luckiest(self: History, trials: Any, expected: Any, size: int) -> list[Individual]:
    return self.population(size)


PIECES = {
    "surrogate": Piece("no surrogate: the first child that is new", options={"surrogate": False}),
    "mixture": Piece(
        "one covariance, the most probable", {"genetic.gaussian_process_fit.MIXTURE_MEMBERS": 1}
    ),
    "single-genes": Piece(
        "a covariance of all genes together only",
        {
            "genetic.gaussian_process_fit.SHARE_MEDIAN": 0.02,
            "genetic.gaussian_process_fit.SHARE_SPREAD": 1e-3,
        },
    ),
    "ambition": Piece("every improvement counts, always", {"genetic.model.AMBITIONS": (0.0,)}),
    "floor": Piece("the worst values as they are", {"genetic.model.FLOOR": math.inf}),
    "expected-parents": Piece(
        "parents by their observed value", {"genetic.history.History.promising": _luckiest}
    ),
    "descent": Piece(
        "420 random candidates, no parents",
        {
            "genetic.offspring.CHILDREN": 0,
            "genetic.offspring.IMMIGRANTS": 420,
            "genetic.offspring.GENERATIONS": 0,
        },
    ),
    "inner-generations": Piece(
        "360 children and 60 immigrants, bred once",
        {"genetic.offspring.CHILDREN": 360, "genetic.offspring.GENERATIONS": 0},
    ),
    "immigrants": Piece(
        "180 children, no immigrants",
        {
            "genetic.offspring.CHILDREN": 180,
            "genetic.offspring.IMMIGRANTS": 0,
        },
    ),
    "crossover": Piece("mutation only", options={"crossover_probability": 0.0}),
    "fine-and-coarse": Piece(
        "one size of mutation, 0.1", {"genetic.offspring.MUTATION_SPREADS": (0.1, 0.1)}
    ),
}
"""By name. Where candidates go, others come in their place, so that their number stays."""
TAUGHT = {
    "points": Piece(
        "each near copy among the known points is a row of the design",
        {"genetic.design.APART": -1.0},
        where=("*+copies", "*+all"),
    ),
    "blameless": Piece(
        "who was ended by the machine failed, as the worst",
        {"trials.summary.MACHINE": frozenset()},
        where=("*+failures", "*+all"),
    ),
    "shares": Piece(
        "stopped trials compared after the same epoch",
        options={"length": None},
        where=("*+lengths",),
    ),
    "conditions": Piece(
        "which gene switches which on is learnt", options={"space": None}, where=("models-*",)
    ),
}
"""What the sampler is taught of a history; it shows in situations alone. By name."""


def piece_of(name: str) -> Piece:
    """The piece ``name`` of `PIECES` or `TAUGHT`.

    Raises:
        ValueError: there is none.
    """
    known = {**PIECES, **TAUGHT}
    if name not in known:
        raise ValueError(f"there is no piece {name!r}; there are {', '.join(known)}")
    return known[name]


@contextmanager
def without(piece: Piece) -> Iterator[None]:
    """The package `search` with ``piece`` taken out, in this process."""
    before = []
    for place, value in piece.settings.items():
        holder, _, name = place.rpartition(".")
        before.append((resolve_name(f"search.{holder}"), name, value))
    kept = [(holder, name, getattr(holder, name)) for holder, name, _ in before]
    _forget()
    for holder, name, value in before:
        setattr(holder, name, value)
    try:
        yield
    finally:
        for holder, name, value in kept:
            setattr(holder, name, value)
        _forget()


def _forget() -> None:
    """What was worked out with other settings."""
    gaussian_process_fit._fitted.cache_clear()
    gaussian_process_fit._normal.cache_clear()
