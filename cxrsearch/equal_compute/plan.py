"""What an ablation holds equal: the baseline's recipe, the budget, the seeds, what may be searched.

The budget of every arm is counted in *image-steps*: one image of the baseline's input size, taken
forward and backward through the baseline's network. An image of other pixels counts by its pixels,
one that is taken forward only (features of a frozen network) a third (`FORWARD`). Scoring
validation images after each epoch is what any training does and is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import (
    AUGMENTATION,
    DRAWING,
    MIXING,
    Recipe,
    gene_limits,
    gene_limits_with,
    size_of,
    without,
)
from cxrsearch.study.cost.recipe_kinds import VALIDATION as FORWARD
from cxrsearch.study.space import may_act
from search.space import SearchSpace


def plain_genes() -> dict[str, Any]:
    """The genes that the arms add, switched off: with them a recipe is the baseline.

    Nor does its input grow: image-steps are counted at one size.
    """
    return {**without(AUGMENTATION, MIXING, DRAWING), "patience": 0, "start_size": 1.0}


def held_genes() -> list[str]:
    """Genes that decide what an image-step costs, or how many there are: no arm searches them."""
    return [name for name, limits in gene_limits().items() if limits.get("held")]


SEARCHED_SHARE = 0.5
"""Share of a searched arm's budget that its trials take; the winner's training has the rest."""


@dataclass(frozen=True)
class Plan:
    """What all arms of one study share. Small, picklable and JSON-able by `to_dict`.

    Args:
        arms: names out of `cxrsearch.ablation.arms.ARMS`, the baseline first.
        seeds: how often each arm is trained, each time with another seed.
        baseline: the parameters of the baseline's `Recipe`.
        images: image-steps that each arm may take.
        train_images: images of the training part.
        search_trials: trials of an arm that searches.
        space: what such an arm searches, as `search.space.SearchSpace.to_dict`.
        seed: of the study; each repeat's seed derives from it.
        unlabelled: images without a label that may be used.
    """

    arms: tuple[str, ...]
    seeds: int
    baseline: Mapping[str, Any]
    images: int
    train_images: int
    search_trials: int
    space: Mapping[str, Any]
    seed: int
    unlabelled: int = 0

    @property
    def recipe(self) -> Recipe:
        """The baseline's recipe."""
        return Recipe.from_params(self.baseline)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as study.yaml keeps them."""
        kept = ("arms", "seeds", "baseline", "images", "train_images", "search_trials", "space")
        plain = {name: getattr(self, name) for name in (*kept, "seed", "unlabelled")}
        return {**plain, "arms": list(self.arms), "baseline": dict(self.baseline)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """The inverse of `to_dict`.

        Raises:
            InputError: where something is missing or unknown.
        """
        try:
            return cls(**{**values, "arms": tuple(values["arms"])})
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"study.yaml: ablation: {error}; restore it from a copy") from None


def baseline_of(
    space: SearchSpace, epochs: int | None = None, input_size: str | None = None
) -> dict[str, Any]:
    """The parameters of the baseline: the space's first known-good point with nothing added.

    No augmentation, every image once an epoch, and the largest window of the frame that has the
    shape of the input. Without a point, the recipe's defaults and what the space fixes.

    Args:
        space: as loaded, without weights that cannot be had.
        epochs: in place of the point's.
        input_size: in place of the point's: a side, or ``HEIGHTxWIDTH``.

    Raises:
        InputError: where ``epochs`` or ``input_size`` cannot be.
    """
    if problems := budget_problems(epochs, input_size):
        raise InputError(problems)
    point = space.points[0].params if space.points else {}
    params = {**space.fixed, **point}
    if epochs is not None:
        params["epochs"] = epochs
    if input_size is not None:
        params["input_size"] = int(input_size) if input_size.isdigit() else input_size
    recipe = Recipe.from_params({**params, **plain_genes()})
    recipe = replace(recipe, crop=whole_window(recipe.input_size))
    return {name: getattr(recipe, name) for name in gene_limits()}


def budget_problems(epochs: int | None, input_size: str | None) -> list[str]:
    """What is wrong with the ``epochs`` and ``input_size`` that `baseline_of` takes."""
    problems = []
    if epochs is not None and not 1 <= epochs <= 1000:
        problems.append(f"--epochs {epochs}: must be from 1 to 1,000")
    try:
        sides = size_of(input_size) if input_size is not None else (32, 32)
        if not all(32 <= side <= 1024 for side in sides):
            raise ValueError(f"{input_size}: sides must be from 32 to 1,024 pixels")
    except ValueError as error:
        problems.append(f"--input-size: {error}")
    return problems


def whole_window(input_size: int | str) -> int | str:
    """The largest centred window of the 1024 frame with the shape of ``input_size``."""
    height, width = size_of(input_size)
    if height == width:
        return 1024
    longest = max(height, width)
    return f"{round(1024 * height / longest)}x{round(1024 * width / longest)}"


def narrowed(space: SearchSpace, baseline: Mapping[str, Any]) -> SearchSpace:
    """``space`` with all that an image-step's cost depends on as in ``baseline``.

    Its one known-good point is the baseline itself, where the ranges hold it.

    Raises:
        InputError: where nothing is left to search.
    """
    plain: dict[str, Any] = space.to_dict()
    held = {name: baseline[name] for name in held_genes()}
    fixed = {**plain["fixed"], **held}
    genes = {name: gene for name, gene in plain["genes"].items() if name not in held}
    genes = {name: gene for name, gene in genes.items() if may_act(gene, genes, fixed)}
    if not genes:
        raise InputError(
            f"--space {space.name}: beside {', '.join(held)}, which an ablation holds equal, it "
            "has no genes; name another"
        )
    plain |= {"genes": genes, "fixed": fixed, "points": []}
    known = gene_limits_with((*genes, *fixed))
    found = SearchSpace.from_dict(plain, space.name, known=known)
    values = {**{n: g["default"] for n, g in known.items()}, **plain_genes(), **baseline}
    start = {name: values[name] for name in found.genes}
    start = {name: value for name, value in start.items() if name in found.active(start)}
    try:
        found.encode(start)
    except ValueError:  # the baseline lies outside the ranges
        return found
    plain["points"] = [{"name": "baseline", "params": start}]
    return SearchSpace.from_dict(plain, space.name, known=known)


def allotted(recipe: Recipe, images: float, train_images: int, baseline: Recipe) -> Recipe:
    """``recipe`` with as many epochs, and as large ones, as make ``images`` image-steps.

    Where they are no whole number of epochs, each epoch draws a smaller share of the images:
    never a larger one than the recipe's own. The schedule is laid out over what is trained.
    """
    steps = images / pixel_share(recipe, baseline)
    epochs = max(1, math.ceil(steps / (recipe.train_seed * train_images) - 1e-9))
    share = min(recipe.train_seed, steps / (epochs * train_images))
    changes: dict[str, Any] = {"epochs": epochs, "train_seed": share, "epoch_size": "draw"}
    if recipe.train_seed == 1 and share < 1:  # what did nothing there must not begin to act here
        changes |= {"balance": 0.0, "ratios": ()}
    return replace(recipe, **changes)


def image_steps(recipe: Recipe, train_images: int, baseline: Recipe) -> float:
    """Image-steps that a training of ``recipe`` takes, all of its epochs run."""
    each = max(1, round(recipe.epoch_share * train_images))
    return recipe.epochs * each * pixel_share(recipe, baseline)


def pixel_share(recipe: Recipe, baseline: Recipe) -> float:
    """What an image costs ``recipe``, in images of the baseline's input size."""
    return math.prod(size_of(recipe.input_size)) / math.prod(size_of(baseline.input_size))


__all__ = [
    "FORWARD", "Plan", "allotted", "baseline_of", "image_steps", "narrowed", "pixel_share",
    "whole_window",
]  # fmt: skip
