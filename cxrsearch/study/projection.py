"""What a search will cost, before it runs: hours from timed steps, disk from model sizes."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cxrsearch.data.splits import VAL_SEED
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.epoch_scores import epoch_scores_bytes
from cxrsearch.learn.saved.keep import SCORES_BYTES, SCORES_KEPT, parse_keep
from search.cores import threads_of
from search.space import SearchSpace

from .cost.recipe_kinds import RecipeKind, kind_of, sample_recipes, trial_seconds, weightiest
from .cost.stopwatches import TimingError, timed
from .prepare import Prepared, device_of, trials_at_once
from .settings import Settings
from .space import gene_values

COPIES_RUNNING = 5
"""Copies of the weights a running trial keeps on disk: live, best, two moments, one in writing."""

COPIES_PAUSED = 4
"""Copies that a paused trial keeps: all but the one in writing."""


@dataclass(frozen=True)
class NetworkCost:
    """What the trials of one network at one size of image take, as far as the space draws them.

    Args:
        kind: network and size, in words.
        seconds_per_trial: mean over its recipes, without early stopping.
        drawn: share of the trials, where recipes are drawn evenly.
        of_time: share of the time of all trials.
        timed: whether its step was timed, and not scaled from another one's.
    """

    kind: str
    seconds_per_trial: float
    drawn: float
    of_time: float
    timed: bool


@dataclass(frozen=True)
class Projection:
    """What a search would take.

    Args:
        seconds_per_trial: mean over recipes drawn from the space, without early stopping.
        hours: of the search at ``concurrent`` trials at once, without early stopping and without
            the reruns that confirm.
        confirm_hours: of the reruns; no early stopping makes them less.
        concurrent: trials at once that this machine has room for.
        disk_bytes: checkpoints and scores of epochs at most.
        steps: timed seconds of one optimiser step by model and input size, with so many at once.
        networks: the trials by model and input size, those first that take most of the time.
    """

    seconds_per_trial: float
    hours: float
    confirm_hours: float
    concurrent: int
    disk_bytes: float
    steps: dict[str, float]
    networks: tuple[NetworkCost, ...] = ()


def weight_bytes(recipe: Recipe, n_classes: int) -> int:
    """Bytes of the weights of the recipe's network for ``n_classes`` labels."""
    import torch

    from cxrsearch.learn.networks.models import build_model

    with torch.device("meta"):  # shapes only: costs no memory
        state = build_model(replace(recipe, init="none"), n_classes=n_classes).state_dict()
    return sum(tensor.nbytes for tensor in state.values())


def disk_need(space: SearchSpace, settings: Settings, n_classes: int) -> int:
    """Bytes of checkpoints and scores of epochs at most, for the largest model in the space."""
    kinds = {kind_of(recipe)[:2]: recipe for recipe in sample_recipes(space)}
    largest = max(weight_bytes(recipe, n_classes) for recipe in kinds.values())
    keep = parse_keep(settings.keep_checkpoints)
    target = settings.search_trials or 100
    if keep == "all":  # those of reruns too
        kept = settings.target_trials or 100
    else:
        kept = 0 if keep == "none" else min(int(keep), target)
    running = min(settings.concurrent or settings.max_concurrent or 2, target)
    pausing = settings.early_stopping and settings.halving == "promote"
    paused = max(0, target - running - kept) if pausing else 0
    weights = largest * (kept + COPIES_RUNNING * running + COPIES_PAUSED * paused)
    return int(weights + _scores_need(space, settings, n_classes))


def _scores_need(space: SearchSpace, settings: Settings, n_classes: int) -> int:
    """Bytes at most of what is kept of each epoch."""
    epochs = int(max(gene_values(space, "epochs", Recipe.epochs)))
    each = epoch_scores_bytes(epochs, settings.val_seed or VAL_SEED, n_classes)
    target = settings.target_trials or 100
    if parse_keep(settings.keep_checkpoints) == "all":
        return each * target
    return min(each * target, max(SCORES_BYTES, each * SCORES_KEPT))


def project(prepared: Prepared) -> Projection:
    """Multiply out what a training step takes while as many trials run as will.

    Raises:
        InputError: where not one step could be timed.
    """
    settings, splits = prepared.settings, prepared.splits
    recipes = sample_recipes(prepared.space)
    kinds = weightiest(recipes)
    n_classes = len(prepared.dataset.label_names)
    images = dict(prepared.sharing.chosen.images) if prepared.sharing else {}
    if rest := {kind: recipe for kind, recipe in kinds.items() if kind not in images}:
        images |= _timed(rest, settings, n_classes)
    each = [
        trial_seconds(recipe, images, _seen(recipe, prepared), len(splits.val_seed))
        for recipe in recipes
    ]
    mean = statistics.mean(each)
    concurrent = trials_at_once(settings)
    hour = mean / concurrent / 3600  # that one trial adds
    return Projection(
        mean,
        hour * (settings.search_trials or 100),
        hour * (settings.reruns or 0),
        concurrent,
        disk_need(prepared.space, settings, n_classes),
        {str(kind): seconds * kinds[kind].batch_size for kind, seconds in images.items()},
        by_network(recipes, each, images),
    )


def by_network(
    recipes: Sequence[Recipe], seconds: Sequence[float], images: Mapping[RecipeKind, float]
) -> tuple[NetworkCost, ...]:
    """What recipes take by network and size of image, those first that take most of the time.

    Args:
        recipes: drawn from a space.
        seconds: of a trial of each.
        images: what was timed, by kind.
    """
    found: dict[RecipeKind, list[float]] = defaultdict(list)
    for recipe, each in zip(recipes, seconds, strict=True):
        found[kind_of(recipe)].append(each)
    return tuple(
        NetworkCost(
            str(kind),
            statistics.mean(each),
            len(each) / len(recipes),
            sum(each) / sum(seconds),
            kind in images,
        )
        for kind, each in sorted(found.items(), key=lambda item: -sum(item[1]))
    )


def _seen(recipe: Recipe, prepared: Prepared) -> int:
    """Images that ``recipe`` trains on, at most."""
    others = len(prepared.cache.names) - len(prepared.dataset.names)  # those without a label
    return len(prepared.splits.train) + (others if recipe.pseudo != "none" else 0)


def _timed(
    kinds: Mapping[RecipeKind, Recipe], settings: Settings, n_classes: int
) -> Mapping[RecipeKind, float]:
    """Seconds an image with as many trials at once as share a GPU, or all cores."""
    at_once = trials_at_once(settings)
    device = "cuda" if settings.gpus else device_of(settings)
    compute = ComputeOptions.asked(settings, device=device, threads=threads_of(settings.cpus))
    if settings.gpus:
        at_once = min(at_once, max(1, int(1 / settings.gpus + 1e-4)))
    try:
        return timed(kinds, at_once, compute, n_classes=n_classes)[0]
    except TimingError as error:
        raise InputError(
            f"no training step could be timed with {at_once} at once ({error}); ask for fewer "
            "with --concurrent"
        ) from error
