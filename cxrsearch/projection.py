"""What a search will cost, before it runs: hours from timed steps, disk from model sizes."""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxrsearch.learn.keep import parse_keep
from cxrsearch.learn.recipe import Recipe, size_of
from cxrsearch.prepare import Prepared, trials_at_once
from cxrsearch.settings import Settings
from search.space import SearchSpace

COPIES_RUNNING = 5
"""Copies of the weights a running trial keeps on disk: live, best, two moments, one in writing."""

COPIES_PAUSED = 4
"""Copies that a paused trial keeps: all but the one in writing."""

LONG_SECONDS = 5.0
"""Steps that have taken so long are not timed again."""

CPU_PIXELS = 32 * 64 * 64
"""Pixels of a timed batch on a CPU at the most."""


@dataclass(frozen=True)
class Projection:
    """What a search would take.

    Args:
        seconds_per_trial: mean over recipes drawn from the space, without early stopping.
        hours: of the whole search at ``concurrent`` trials at once, without early stopping.
        concurrent: trials at once that this machine has room for.
        disk_bytes: checkpoints at the most.
        steps: timed seconds of one optimiser step by (model, input size).
    """

    seconds_per_trial: float
    hours: float
    concurrent: int
    disk_bytes: float
    steps: dict[str, float]


def sample_recipes(space: SearchSpace, count: int = 64, seed: int = 0) -> list[Recipe]:
    """``count`` recipes drawn uniformly from the space's unit cube."""
    rng = np.random.default_rng(seed)
    units = rng.random((count, len(space.genes)))
    return [Recipe.from_params({**space.fixed, **space.decode(unit)}) for unit in units]


def weight_bytes(model: str, vgg_head: str) -> int:
    """Bytes of a model's weights with 14 logits."""
    import torch

    from cxrsearch.learn.models import build_model

    with torch.device("meta"):  # shapes only: costs no memory
        state = build_model(Recipe(model=model, vgg_head=vgg_head)).state_dict()
    return sum(tensor.nbytes for tensor in state.values())


def disk_need(space: SearchSpace, settings: Settings) -> int:
    """Bytes of checkpoints at the most, for the largest model in the space."""
    kinds = {(r.model, r.vgg_head) for r in sample_recipes(space)}
    largest = max(weight_bytes(*kind) for kind in kinds)
    keep = parse_keep(settings.keep_checkpoints)
    target = settings.target_trials or 100
    kept = target if keep == "all" else 0 if keep == "none" else min(int(keep), target)
    running = min(settings.concurrent or 2, target)
    pausing = settings.early_stopping and settings.halving == "promote"
    paused = max(0, target - running - kept) if pausing else 0
    return int(largest * (kept + COPIES_RUNNING * running + COPIES_PAUSED * paused))


def project(prepared: Prepared, steps: int = 3) -> Projection:
    """Time a few real training steps for each kind of recipe and multiply out.

    Kinds are told apart by model and input size; at most six are timed, the most frequent
    ones, and the others are scaled from the nearest by pixels.
    """
    recipes = sample_recipes(prepared.space)
    kinds: dict[tuple[str, str, tuple[int, int]], list[Recipe]] = defaultdict(list)
    for recipe in recipes:
        kinds[recipe.model, recipe.vgg_head, size_of(recipe.input_size)].append(recipe)
    frequent = sorted(kinds, key=lambda k: len(kinds[k]), reverse=True)[:6]
    timed = {kind: _time_step(kinds[kind][0], prepared.settings, steps) for kind in frequent}
    seconds = [
        _trial_seconds(recipe, timed, len(prepared.splits.train), len(prepared.splits.val_seed))
        for recipe in recipes
    ]
    concurrent = trials_at_once(prepared.settings)
    target = prepared.settings.target_trials or 100
    return Projection(
        statistics.mean(seconds),
        statistics.mean(seconds) * target / concurrent / 3600,
        concurrent,
        disk_need(prepared.space, prepared.settings),
        {f"{model} {size[0]}x{size[1]}": value for (model, _, size), value in timed.items()},
    )


def _trial_seconds(
    recipe: Recipe, timed: dict[Any, float], train_images: int, val_images: int
) -> float:
    """Seconds of one trial: its steps, and validation at a third of a training step's cost."""
    size = size_of(recipe.input_size)
    kind = (recipe.model, recipe.vgg_head, size)
    if kind not in timed:
        kind = min(
            timed, key=lambda k: (k[0] != recipe.model, abs(math.prod(k[2]) - math.prod(size)))
        )
    step = timed[kind] * math.prod(size) / math.prod(kind[2])
    steps = math.ceil(recipe.train_seed * train_images / recipe.batch_size)
    return recipe.epochs * step * (steps + val_images / recipe.batch_size / 3)


def _time_step(recipe: Recipe, settings: Settings, steps: int) -> float:
    """Median seconds of one optimiser step on random pixels."""
    import torch

    from cxrsearch.learn.device import pick_device
    from cxrsearch.learn.models import build_model
    from cxrsearch.learn.optim import build_optimizer

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, int(settings.cpus_per_trial)))
    try:
        device = pick_device("auto" if settings.gpus_per_trial else "cpu")
        model = build_model(recipe).to(device).train()
        optimizer = build_optimizer(model, recipe)
        size = size_of(recipe.input_size)
        # On a CPU a step's time grows with its pixels, so a few large images tell enough.
        fits = recipe.batch_size if device.type == "cuda" else CPU_PIXELS // math.prod(size)
        batch = max(2, min(recipe.batch_size, fits))
        images = torch.rand(batch, 1, *size, device=device)
        times = []
        for _ in range(steps):
            begin = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            model(images).square().mean().backward()
            optimizer.step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
            if sum(times) > LONG_SECONDS:
                break
        return statistics.median(times) * recipe.batch_size / batch
    finally:
        torch.set_num_threads(threads)
