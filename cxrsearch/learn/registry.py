"""Tables of functions by name: their keyword-only arguments are the genes that they take.

A gene chooses among the names of a table, and the genes that only some of its functions take act
with those alone. Both follow from the functions themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

Function = Callable[..., Any]


def genes_of(function: Function) -> tuple[str, ...]:
    """The genes that ``function`` takes: its keyword-only arguments."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def taken(function: Function, recipe: object) -> dict[str, Any]:
    """The arguments of ``function`` out of a recipe that has such genes."""
    return {gene: getattr(recipe, gene) for gene in genes_of(function)}


def taking(table: Mapping[str, Function], gene: str) -> tuple[str, ...]:
    """The names in ``table`` of what takes ``gene``: with the others it does nothing."""
    return tuple(name for name, function in table.items() if gene in genes_of(function))
