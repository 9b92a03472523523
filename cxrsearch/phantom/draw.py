"""One phantom image from its seeds: patient, pose, signs, exposure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cxrsearch.data.diseases import DISEASES

from .anatomy import Anatomy, Scene, draw_anatomy
from .canvas import Array, Canvas, Pose
from .film import Layers, draw_film, expose
from .shapes import SHAPES
from .signs import OVERLAYS

DRAWING_VERSION = 2
"""Raise it with every change that alters a picture, so that caches notice."""

_PATIENT, _IMAGE, _SIGN = 11, 12, 100  # streams of random numbers under one seed


@dataclass(frozen=True)
class Person:
    """What the label table says of a patient at the first image.

    Args:
        female: whether the patient is a woman.
        age: years.
    """

    female: bool
    age: int


def draw_person(seed: int, patient: int) -> Person:
    """The patient's sex and age, NIH's mix (44% women, 47 years on average)."""
    rng = np.random.default_rng([seed, _PATIENT, patient, 1])
    return Person(bool(rng.random() < 0.435), int(np.clip(rng.normal(47, 16), 4, 92)))


def is_portable(seed: int, patient: int, image: int) -> bool:
    """Whether the image is an AP one, taken at the bedside (NIH: 40%)."""
    return bool(np.random.default_rng([seed, _IMAGE, patient, image, 1]).random() < 0.4)


def draw(
    diseases: Array,
    size: int,
    *,
    seed: int = 0,
    patient: int = 1,
    image: int = 0,
    difficulty: float = 0.5,
) -> Array:
    """One drawn frontal chest X-ray.

    Args:
        diseases: (14,) zeros and ones in the order of `DISEASES`: the signs to draw.
        size: side of the picture in pixels, 16 or more.
        seed: seed of the whole set.
        patient: the patient's number; all of a patient's images share the anatomy.
        image: number of the patient's image; pose, exposure and noise follow it.
        difficulty: 0 (plain signs, clean film) to 1 (faint signs, noise, distractors).

    Returns:
        (size, size) uint8 array.
    """
    anatomy = draw_anatomy(
        np.random.default_rng([seed, _PATIENT, patient]), draw_person(seed, patient).female
    )
    rng = np.random.default_rng([seed, _IMAGE, patient, image])
    portable = is_portable(seed, patient, image)
    pose = Pose(
        angle=float(np.radians(rng.normal(0, 1.8))),
        scale=float(rng.normal(1.03 if portable else 1.0, 0.025)),
        dx=float(rng.normal(0, 5)),
        dy=float(rng.normal(4, 6)),
    )
    anatomy = _breathe(anatomy, rng, difficulty, portable)
    film = draw_film(rng, difficulty, portable)
    daily = rng.uniform(0.85, 1.15, len(DISEASES))
    present = {
        name: float(daily[i]) * _strength(seed, patient, i, difficulty)
        for i, name in enumerate(DISEASES)
        if diseases[i]
    }
    for name, shape in SHAPES.items():
        if name in present:
            anatomy = shape(anatomy, _sign_rng(seed, patient, name), present[name])
    scene = Scene(Canvas(size, pose), anatomy)
    layers = Layers.empty(scene.canvas)
    for name, overlay in OVERLAYS.items():
        if name in present:
            overlay(scene, layers, _sign_rng(seed, patient, name), present[name])
    return expose(scene, layers, film, rng)


def _breathe(
    anatomy: Anatomy, rng: np.random.Generator, difficulty: float, portable: bool
) -> Anatomy:
    """The patient's chest at this image: depth of breath, turn, the heart's magnification."""
    depth = rng.normal(-5 if portable else 0, 3 + 4 * difficulty)
    turn = rng.normal(0, 1.5 + 2.5 * difficulty)
    right, left = anatomy.right, anatomy.left
    return replace(
        anatomy,
        right=replace(right, base=right.base + depth, half=right.half + 0.5 * turn),
        left=replace(left, base=left.base + depth, half=left.half - 0.5 * turn),
        shift=anatomy.shift + turn,
        heart=anatomy.heart * rng.normal(1.04 if portable else 1.0, 0.02 + 0.03 * difficulty),
        air=anatomy.air * rng.normal(1, 0.03 + 0.05 * difficulty),
        vessels=anatomy.vessels * rng.normal(1, 0.1),
    )


def _sign_rng(seed: int, patient: int, name: str) -> np.random.Generator:
    """A patient's sign stays where it is from image to image."""
    return np.random.default_rng([seed, _SIGN + DISEASES.index(name), patient])


def _strength(seed: int, patient: int, disease: int, difficulty: float) -> float:
    """How plain a patient's sign is: about 1 is a textbook case."""
    severity = np.random.default_rng([seed, _SIGN + disease, patient, 1]).uniform(0.45, 1.15)
    return float(severity * (1.35 - 0.75 * difficulty))
