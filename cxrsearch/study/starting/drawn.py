"""Starting weights from drawn X-rays, ``init: drawn``: no download, and nobody's images.

A network learns to name the signs in X-rays that are drawn for it (`cxrsearch.phantom`). Edges,
ribs, lung fields and opacities are then known to it before it sees the first patient. The idea is
that of Kataoka et al. (ACCV 2020), who pre-train on drawn fractals. What it is worth on real
X-rays is measured by ``experiments.genes``, see docs/spaces.md.

The weights of a network are made once and kept as a model folder where `find_weights` looks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrsearch.learn.networks.models import network_problem, weights_problem
from cxrsearch.learn.networks.weights.asked import DRAWN, start_of
from cxrsearch.learn.networks.weights.places import find_weights
from cxrsearch.learn.recipe import Recipe

RECIPE: dict[str, Any] = {
    "batch_size": 32, "lr": 2e-3, "weight_decay": 0.05, "ema": 0.98, "mix": "mixup",
    "mix_alpha": 0.4, "rotation": 10.0, "width_shift": 0.05, "height_shift": 0.05, "zoom": 0.1,
    "brightness": 0.1, "contrast": 0.1, "optimizer": "adamw", "schedule": "onecycle",
    "vgg_head": "pooled",
}  # fmt: skip
"""How is trained, beside what a `DrawnPlan` has."""


@dataclass(frozen=True)
class DrawnPlan:
    """What a network learns from before it sees a patient.

    Args:
        images: drawn X-rays.
        epochs: times that each is seen.
        input_size: what the network sees, in pixels.
    """

    images: int = 6_000
    epochs: int = 8
    input_size: int | str = 64

    def recipe(self, model: str) -> Recipe:
        """What trains the network ``model``."""
        return Recipe.from_params(
            {**RECIPE, "model": model, "epochs": self.epochs, "input_size": self.input_size}
        )


PLAN = DrawnPlan()
"""Of the weights that ``init: drawn`` means. With a change of it goes one of `DRAWN_FOLDER`."""


def missing(recipes: Iterable[Recipe], weights_dir: str | None) -> list[str]:
    """The networks of ``recipes`` that begin with weights of drawn X-rays nobody has made yet."""
    wanted = {recipe.model for recipe in recipes if start_of(recipe.init).source == DRAWN}
    return sorted(name for name in wanted if not _file(name, weights_dir).is_file())


def starting_problem(recipe: Recipe, weights_dir: str | None) -> str | None:
    """`weights_problem`; weights of drawn X-rays that are still to be made are none if they can be.

    Args:
        recipe: what is to begin.
        weights_dir: folder of weights, as the user gave it.
    """
    folder = Path(weights_dir) if weights_dir else None
    if start_of(recipe.init).source != DRAWN:
        return weights_problem(recipe, folder)
    file, made = _file(recipe.model, weights_dir), PLAN.recipe(recipe.model)
    if file.is_file():
        found = weights_problem(recipe, folder)
        return found and f"{found}; delete {file.parent}, and they are made again"
    if found := network_problem(made) or weights_problem(recipe, folder, like=made):
        found = found.replace(str(file), f"what is made at {PLAN.input_size} pixels")
        reason = found.partition("; to take what fits")[0].removeprefix(f"init {recipe.init}: ")
        return f"init: {recipe.init}: {reason}; or use init: none"
    there = next(place for place in file.parents if place.exists())
    if there.is_dir() and os.access(there, os.W_OK):
        return None
    return (
        f"init: {recipe.init}: weights of {recipe.model} cannot be made in {file.parent}, as "
        f"nothing can be written to {there}; name another --weights-dir, or use init: none"
    )


def _file(model: str, weights_dir: str | None) -> Path:
    return find_weights(DRAWN, model, Path(weights_dir) if weights_dir else None)


def announced(recipes: Iterable[Recipe], weights_dir: str | None) -> list[str]:
    """Notes on what is made before a training of ``recipes`` can begin."""
    return [
        f"init drawn: weights of {model} are made first, from {PLAN.images:,} "
        f"drawn X-rays at {PLAN.input_size} pixels, {PLAN.epochs} times each, outside of any "
        "--time-budget; later searches have them"
        for model in missing(recipes, weights_dir)
    ]
