"""The pieces of the genetic sampler that can be taken out, to see what each is worth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from importlib import import_module
from typing import Any

from search.genetic import gaussian_process_fit
from search.genetic.history import History
from search.genetic.operators import Individual


@dataclass(frozen=True)
class Piece:
    """A piece, and what stands in its place when it is taken out.

    Args:
        instead: the latter in a few words.
        settings: values for names within `search.genetic`, as ``offspring.GENERATIONS``.
        options: of the sampler.
    """

    instead: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def _luckiest(self: History, trials: Any, expected: Any, size: int) -> list[Individual]:
    return self.population(size)


PIECES = {
    "surrogate": Piece("no surrogate: the first child that is new", options={"surrogate": False}),
    "mixture": Piece(
        "one covariance, the most probable", {"gaussian_process_fit.MIXTURE_MEMBERS": 1}
    ),
    "single-genes": Piece(
        "a covariance of all genes together only",
        {"gaussian_process_fit.SHARE_MEDIAN": 0.02, "gaussian_process_fit.SHARE_SPREAD": 1e-3},
    ),
    "ambition": Piece("every improvement counts, always", {"model.AMBITIONS": (0.0,)}),
    "floor": Piece("the worst values as they are", {"model.FLOOR": math.inf}),
    "expected-parents": Piece(
        "parents by their observed value", {"history.History.promising": _luckiest}
    ),
    "descent": Piece(
        "420 random candidates, no parents",
        {
            "offspring.CHILDREN": 0,
            "offspring.IMMIGRANTS": 420,
            "offspring.GENERATIONS": 0,
        },
    ),
    "inner-generations": Piece(
        "360 children and 60 immigrants, bred once",
        {"offspring.CHILDREN": 360, "offspring.GENERATIONS": 0},
    ),
    "immigrants": Piece(
        "180 children, no immigrants",
        {
            "offspring.CHILDREN": 180,
            "offspring.IMMIGRANTS": 0,
        },
    ),
    "crossover": Piece("mutation only", options={"crossover_probability": 0.0}),
    "fine-and-coarse": Piece(
        "one size of mutation, 0.1", {"offspring.MUTATION_SPREADS": (0.1, 0.1)}
    ),
}
"""By name. Where candidates go, others come in their place, so that their number stays."""


@contextmanager
def without(piece: Piece) -> Iterator[None]:
    """The package `search` with ``piece`` taken out, in this process."""
    before = [(*_holder(name), value) for name, value in piece.settings.items()]
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


def _holder(place: str) -> tuple[Any, str]:
    """(module or class, name in it) of ``module.NAME`` or ``module.Class.name``."""
    module, *path, name = place.split(".")
    return reduce(getattr, path, import_module(f"search.genetic.{module}")), name


def _forget() -> None:
    """What was worked out with other settings."""
    gaussian_process_fit._fitted.cache_clear()
    gaussian_process_fit._normal.cache_clear()
