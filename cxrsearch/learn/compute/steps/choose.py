"""Which way of taking steps is the fastest for a training: compiled, recorded, or as they are."""

from __future__ import annotations

from torch import nn

from cxrsearch.learn.recipe import Recipe, size_of

from ..device import pick_device
from ..memory import recomputes
from ..options import ComputeOptions
from .compiled import repays
from .cuda_graphs import worthwhile


def faster_way(
    model: nn.Module, recipe: Recipe, compute: ComputeOptions, largest: int, steps: int
) -> str:
    """``compiled``, ``graph`` or ``eager``: as asked for, or what repays.

    Args:
        model: what is trained.
        recipe: gives epochs and input size.
        compute: where it computes, and the way that is asked for.
        largest: images of the largest batch.
        steps: of an epoch.
    """
    if any(recomputes(module) for module in model.modules()):
        return "eager"
    if compute.steps != "auto":
        return compute.steps
    device, (height, width) = pick_device(compute.device), size_of(recipe.input_size)
    own = recipe.epochs * steps * largest * height * width
    together = compute.search_pixels.get(f"{recipe.model} {height}x{width}", 0)
    if repays(device, model, max(own, together)):
        return "compiled"
    if worthwhile(device, largest, (height, width), recipe.epochs * steps):
        return "graph"
    return "eager"
