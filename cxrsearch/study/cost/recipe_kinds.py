"""Kinds of recipe: what decides how long a training step takes, and what a trial then costs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from cxrsearch.learn.augment.sizes import size_shares
from cxrsearch.learn.networks.architectures import NETWORKS
from cxrsearch.learn.networks.weights.asked import start_of
from cxrsearch.learn.recipe import (
    Recipe,
    as_trained,
    gene_limits,
    network_genes,
    passes,
    size_of,
)
from search.space import SearchSpace

KINDS = 4
"""Kinds that are timed at least, where there are as many; the others are scaled from the nearest
by `image_flops`."""

MOST_NETWORKS = 16
"""Networks that are timed at most."""

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

    @property
    def network(self) -> tuple[Any, ...]:
        """What tells its network from others, whatever its images."""
        return self.model, *self.shape

    def __str__(self) -> str:
        limits = gene_limits()
        genes = zip(network_genes()[1:], self.shape, strict=True)
        acting = [
            str(value) for gene, value in genes if self.model in limits[gene]["acts"]["model"]
        ]
        return " ".join([self.model, *acting, f"{self.size[0]}x{self.size[1]}"])


def kind_of(recipe: Recipe) -> RecipeKind:
    """The kind of ``recipe``."""
    model, *shape = (getattr(recipe, gene) for gene in network_genes())
    return RecipeKind(model, tuple(shape), size_of(recipe.input_size))


def sample_recipes(space: SearchSpace, count: int = 64, seed: int = 0) -> list[Recipe]:
    """``count`` recipes drawn uniformly from the space's unit cube."""
    rng = np.random.default_rng(seed)
    units = rng.random((count, len(space.genes)))
    return [Recipe.from_params({**space.fixed, **space.decode(unit)}) for unit in units]


def image_flops(kind: RecipeKind) -> int:
    """Floating-point operations of an image's way through a network, forward and alone.

    Those of convolutions and matrix products, counted on shapes: nothing is computed.
    """
    return _counted(kind, NETWORKS.get(kind.model))


@lru_cache(maxsize=1024)
def _counted(kind: RecipeKind, entry: Callable[..., Any] | None) -> int:
    """`image_flops`, remembered; ``entry`` is what `NETWORKS` has under the name."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cxrsearch.learn.networks.models import build_model

    model, *shape = network_genes()
    genes = {model: kind.model, **dict(zip(shape, kind.shape, strict=True))}
    height, width = kind.size
    with torch.device("meta"), torch.no_grad():
        network = build_model(Recipe(**genes, input_size=f"{height}x{width}"), n_classes=2).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(2, 1, height, width))
    return max(1, int(counter.get_total_flops()) // 2)


def weightiest(recipes: Iterable[Recipe]) -> dict[RecipeKind, Recipe]:
    """A recipe of each kind that is worth timing, those first that take most of the search's time.

    Each network is among them, up to `MOST_NETWORKS`, at the size that takes most of its time; and
    there are `KINDS`, where there are as many. What takes the time is guessed by `image_flops` and
    epochs. Their steps take one pass each, whatever the space says.
    """
    kinds: dict[RecipeKind, list[Recipe]] = defaultdict(list)
    for recipe in recipes:
        kinds[kind_of(recipe)].append(recipe)

    def work(kind: RecipeKind) -> float:
        return image_flops(kind) * sum(_trained_on(recipe) for recipe in kinds[kind])

    heavy = sorted(kinds, key=work, reverse=True)
    firsts = {kind.network: kind for kind in reversed(heavy)}
    chosen = [kind for kind in heavy if firsts[kind.network] == kind][:MOST_NETWORKS]
    chosen += [kind for kind in heavy if kind not in chosen][: max(0, KINDS - len(chosen))]
    # A plain step is timed: `trial_seconds` knows which recipes take two of them.
    return {kind: replace(kinds[kind][0], sharpness=0.0) for kind in chosen}


def expected_pixels(space: SearchSpace, trials: int, images: int) -> dict[str, float]:
    """Pixels that a search is expected to train on, by kind in words.

    Args:
        space: recipes are drawn from it.
        trials: of the search, none of them stopped early.
        images: in the part that is trained on.
    """
    recipes, found = sample_recipes(space), defaultdict[str, float](float)
    for recipe in map(as_trained, recipes):
        kind, seen = kind_of(recipe), sum(size_shares(recipe)) * recipe.epoch_share * images
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
    image = steps[near] * image_flops(kind) / image_flops(near)
    scored = VALIDATION * val_images * as_trained(recipe).epochs
    return image * (_trained_on(recipe) * train_images + scored)


def _trained_on(recipe: Recipe) -> float:
    """How often all training images are trained on, by what it costs.

    Frozen features take one pass without gradients, and later trials of the same network none.
    """
    if start_of(recipe.init).frozen:
        return VALIDATION
    return sum(size_shares(recipe)) * passes(recipe) * recipe.epoch_share


def _distance(one: RecipeKind, other: RecipeKind) -> tuple[bool, bool, float]:
    ratio = math.log(image_flops(one) / image_flops(other))
    return one.model != other.model, one.shape != other.shape, abs(ratio)
