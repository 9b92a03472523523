"""Kinds of recipe: what decides how long a training step takes, and what a trial then costs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from cxrsearch.learn.recipe import Recipe, network_genes, passes, size_of
from search.space import SearchSpace

KINDS = 4
"""Kinds that are timed at most; the others are scaled from the nearest by pixels."""

VALIDATION = 1 / 3
"""What scoring an image costs, as a share of training on it."""


class RecipeKind(NamedTuple):
    """Network and input size of a recipe; ``shape``: its other `network_genes`."""

    model: str
    shape: tuple[Any, ...]
    size: tuple[int, int]

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return math.prod(self.size)

    def __str__(self) -> str:
        return f"{self.model} {self.size[0]}x{self.size[1]}"


def kind_of(recipe: Recipe) -> RecipeKind:
    """The kind of ``recipe``."""
    model, *shape = (getattr(recipe, gene) for gene in network_genes())
    return RecipeKind(model, tuple(shape), size_of(recipe.input_size))


def sample_recipes(space: SearchSpace, count: int = 64, seed: int = 0) -> list[Recipe]:
    """``count`` recipes drawn uniformly from the space's unit cube."""
    rng = np.random.default_rng(seed)
    units = rng.random((count, len(space.genes)))
    return [Recipe.from_params({**space.fixed, **space.decode(unit)}) for unit in units]


def weightiest(recipes: Iterable[Recipe], most: int = KINDS) -> dict[RecipeKind, Recipe]:
    """A recipe of each kind that takes most of the search's time, going by pixels and epochs.

    Their steps take one pass each, whatever the space says.
    """
    kinds: dict[RecipeKind, list[Recipe]] = defaultdict(list)
    for recipe in recipes:
        kinds[kind_of(recipe)].append(recipe)

    def work(kind: RecipeKind) -> float:
        return kind.pixels * sum(r.epochs * passes(r) * r.epoch_share for r in kinds[kind])

    # A plain step is timed: `trial_seconds` knows which recipes take two of them.
    timed = {kind: replace(some[0], sharpness=0.0) for kind, some in kinds.items()}
    return {kind: timed[kind] for kind in sorted(kinds, key=work, reverse=True)[:most]}


def expected_pixels(space: SearchSpace, trials: int, images: int) -> dict[str, float]:
    """Pixels that a search is expected to train on, by kind in words.

    Args:
        space: recipes are drawn from it.
        trials: of the search, none of them stopped early.
        images: in the part that is trained on.
    """
    recipes, found = sample_recipes(space), defaultdict[str, float](float)
    for recipe in recipes:
        kind, seen = kind_of(recipe), recipe.epochs * recipe.epoch_share * images
        found[str(kind)] += trials / len(recipes) * seen * kind.pixels
    return dict(found)


def trial_seconds(
    recipe: Recipe, steps: Mapping[RecipeKind, float], train_images: int, val_images: int
) -> float:
    """Seconds of one trial, its epochs all run.

    Args:
        recipe: what it trains.
        steps: seconds an image takes in an optimiser step, by kind.
        train_images: images in the part that is trained on.
        val_images: images that each epoch is scored on.
    """
    kind = kind_of(recipe)
    near = kind if kind in steps else min(steps, key=lambda k: _distance(k, kind))
    image = steps[near] * kind.pixels / near.pixels
    trained = passes(recipe) * recipe.epoch_share * train_images
    return recipe.epochs * image * (trained + VALIDATION * val_images)


def _distance(one: RecipeKind, other: RecipeKind) -> tuple[bool, bool, int]:
    return one.model != other.model, one.shape != other.shape, abs(one.pixels - other.pixels)
