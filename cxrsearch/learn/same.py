"""Which recipes are the same training under other names.

A gene that cannot act in a recipe says nothing about it: the momentum of an optimiser that has
none, draw weights where every image is drawn. Two recipes with one `identity` train the same
network on the same images; with one seed they give the same weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from .recipe import Recipe, averaged, size_of

DIGITS = 9
"""Significant digits by which numbers are told apart: rounding noise is no other recipe."""


def effective(recipe: Recipe) -> Recipe:
    """``recipe`` with every gene that cannot act at its default."""
    idle: dict[str, Any] = {
        f.name: f.default
        for f in fields(Recipe)
        for gene, values in f.metadata.get("acts", {}).items()
        if getattr(recipe, gene) not in (values if isinstance(values, tuple) else (values,))
    }
    if recipe.train_seed >= 1:  # every image is drawn once an epoch, whatever the weights
        idle |= {"balance": Recipe.balance, "ratios": Recipe.ratios}
    if recipe.patience >= recipe.epochs - 1:  # the first epoch is always the best so far
        idle["patience"] = Recipe.patience
    if recipe.pseudo == "mean_teacher":
        idle["ema"] = averaged(recipe)
    return replace(recipe, **idle)


def identity(recipe: Recipe) -> str:
    """A text that is the same for recipes which train the same."""
    found = effective(recipe)
    return json.dumps({f.name: _plain(getattr(found, f.name), f.metadata) for f in fields(Recipe)})


def _plain(value: Any, limits: Mapping[str, Any]) -> Any:
    """One gene's value in one way of writing it: 5 is 5.0, and 224 is "224x224"."""
    if limits.get("size"):
        return size_of(value)
    if isinstance(value, tuple):
        return [_plain(item, {}) for item in value]
    return value if isinstance(value, str) else f"{float(value) + 0.0:.{DIGITS}g}"
