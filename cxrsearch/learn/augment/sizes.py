"""Inputs that grow while a network learns.

The first epochs see images of the share ``start_size`` of the input size, and are cheaper by its
square; over the first half of the epochs the size grows in `GROWING_SIZES` equal steps, and the
second half is at full size, as are all scores (Howard's progressive resizing, fast.ai's DAWNBench
entry of 2018; Tan & Le, "EfficientNetV2", ICML 2021, section 4, who change the augmentation with
it).
"""

from __future__ import annotations

import math

from cxrsearch.learn.recipe import Recipe, size_of

GROWING_SIZES = 3
"""Sizes below the full one: few, as each is a program of its own for a compiler or a graph."""

MULTIPLE, LEAST_SIDE = 16, 32
"""Sides on the way are multiples of it, and at least so long, which any input size may be."""


def size_at(recipe: Recipe, epoch: int) -> tuple[int, int]:
    """Height and width of what the network learns from in ``epoch`` (the first is 1)."""
    full = size_of(recipe.input_size)
    growing = recipe.epochs // 2
    if epoch > growing:
        return full
    step = (epoch - 1) * GROWING_SIZES // growing
    share = recipe.start_size + (1 - recipe.start_size) * step / GROWING_SIZES
    height, width = (
        min(side, max(LEAST_SIDE, MULTIPLE * round(share * side / MULTIPLE))) for side in full
    )
    return height, width


def smallest_size(recipe: Recipe) -> tuple[int, int]:
    """Height and width of what it learns from first; the full size where that never grows."""
    return size_at(recipe, 1)


def size_shares(recipe: Recipe) -> list[float]:
    """Pixels of an image in each epoch, as shares of an image's at full size."""
    full = math.prod(size_of(recipe.input_size))
    return [math.prod(size_at(recipe, epoch)) / full for epoch in range(1, recipe.epochs + 1)]
