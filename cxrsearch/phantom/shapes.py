"""Diseases that change the shape of the phantom's chest. See `signs` for the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .anatomy import Anatomy

Shape = Callable[[Anatomy, np.random.Generator, float], Anatomy]


def large_heart(anatomy: Anatomy, rng: np.random.Generator, strength: float) -> Anatomy:
    """Cardiomegaly: the heart wider than half of the chest."""
    return replace(anatomy, heart=anatomy.heart * (1.06 + rng.uniform(0.16, 0.30) * strength))


def overblown(anatomy: Anatomy, rng: np.random.Generator, strength: float) -> Anatomy:
    """Emphysema: large dark lungs, flat low diaphragms, a narrow heart, few markings."""
    grow, flat = 1 + 0.06 * strength, max(0.15, 1 - rng.uniform(0.55, 0.8) * strength)

    def blown(lung_dome: float) -> float:
        return lung_dome * flat

    right, left = anatomy.right, anatomy.left
    return replace(
        anatomy,
        right=replace(
            right, half=right.half * grow, base=right.base + 9 * strength, dome=blown(right.dome)
        ),
        left=replace(
            left, half=left.half * grow, base=left.base + 9 * strength, dome=blown(left.dome)
        ),
        heart=anatomy.heart * (1 - 0.12 * strength),
        vessels=anatomy.vessels * (1 - 0.4 * min(strength, 1.2)),
        air=anatomy.air * (1 + 0.17 * strength),
    )


def collapsed(anatomy: Anatomy, rng: np.random.Generator, strength: float) -> Anatomy:
    """Atelectasis: a small lung, its diaphragm raised, the mediastinum drawn to its side."""
    right = bool(rng.random() < 0.5)
    lung = anatomy.right if right else anatomy.left
    up = rng.uniform(16, 32) * strength
    small = replace(
        lung, dome=lung.dome + up, base=lung.base - 0.25 * up, half=lung.half - 0.25 * up
    )
    shift = anatomy.shift + lung.side * rng.uniform(7, 15) * strength
    if right:
        return replace(anatomy, right=small, shift=shift)
    return replace(anatomy, left=small, shift=shift)


def shrunken(anatomy: Anatomy, rng: np.random.Generator, strength: float) -> Anatomy:
    """Fibrosis also stiffens the lungs: they are a little small."""
    up = rng.uniform(2, 7) * strength
    right, left = anatomy.right, anatomy.left
    return replace(
        anatomy,
        right=replace(right, base=right.base - up),
        left=replace(left, base=left.base - up),
    )


SHAPES: dict[str, Shape] = {
    "Cardiomegaly": large_heart,
    "Emphysema": overblown,
    "Atelectasis": collapsed,
    "Fibrosis": shrunken,
}
"""Diseases that change the anatomy, applied before anything is drawn."""
