"""Whether generated images are copies of training images.

A generator that has learnt its training images by heart has a small distance from them and is
worth nothing, and its images would give patients away. What tells: how near each generated image
comes to its nearest training image, beside how near real images of *other* patients come. Only
one that is nearer than nearly all of those counts as a suspect, and it has to be so in pixels and
in features both: generated images are smoother than real ones, and smooth images are nearer to
everything in pixels alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

SUSPECT_SHARE = 0.01
"""Share of the held-out real images that a suspect must be nearer than."""
SUSPECT = 0.05
"""Share of suspects from which on a generator is said to copy."""
COMPARED_SIDE = 32
"""Pixels are compared at this side: what is the same picture is the same there."""


class ComparedImages(NamedTuple):
    """Images as they are compared.

    Args:
        pixels: (n, p) float.
        features: (n, d) float, all rows of one length.
    """

    pixels: np.ndarray
    features: np.ndarray


class Copies(NamedTuple):
    """What a check found.

    Args:
        suspects: share of the generated images that are nearer to a training image, in pixels
            and in features, than 99% of the held-out ones.
        copies: whether that is more than `SUSPECT`.
        pixels: 5%, 50% points of the nearest distances of the generated images, then the same
            of the held-out ones, in grey levels (root mean square).
        features: the same in features.
        nearest: (n,) the training image nearest in features to each generated one.
    """

    suspects: float
    copies: bool
    pixels: tuple[float, float, float, float]
    features: tuple[float, float, float, float]
    nearest: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without ``nearest``."""
        return {
            "suspects": self.suspects,
            "copies": self.copies,
            "pixels": list(self.pixels),
            "features": list(self.features),
        }


def small(images: np.ndarray) -> np.ndarray:
    """(n, S, S) uint8 -> (n, s * s) means over blocks, s at most `COMPARED_SIDE`."""
    block = max(1, images.shape[1] // COMPARED_SIDE)
    side = images.shape[1] // block
    cut = images[:, : side * block, : side * block].reshape(-1, side, block, side, block)
    means: np.ndarray = cut.mean(axis=(2, 4), dtype=np.float32).reshape(len(images), -1)
    return means


def nearest(images: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest of ``others``, root mean square over columns, and which it is.

    Args:
        images: (n, d).
        others: (m, d), m at least 1.

    Returns:
        (n,) distances and (n,) rows of ``others``.
    """
    # In blocks of the exact differences: the usual |x|^2 + |y|^2 - 2xy loses what is near 0.
    distances, rows = np.empty(len(images)), np.empty(len(images), np.int64)
    for i, image in enumerate(images):
        squares = np.square(others - image).mean(axis=1)
        rows[i] = squares.argmin()
        distances[i] = np.sqrt(squares[rows[i]])
    return distances, rows


def check_copies(
    generated: ComparedImages, held_out: ComparedImages, training: ComparedImages
) -> Copies:
    """Compare generated images and held-out real ones with the training images.

    Args:
        generated: what the generator made.
        held_out: real images of patients that it was not trained on.
        training: what it was trained on.
    """
    suspect = np.ones(len(generated.pixels), bool)
    points: list[tuple[float, float, float, float]] = []
    rows = np.zeros(0, np.int64)
    for mine, theirs, known in zip(generated, held_out, training, strict=True):
        ours, rows = nearest(mine, known)
        others, _ = nearest(theirs, known)
        suspect &= ours < np.quantile(others, SUSPECT_SHARE)
        both = [*np.quantile(ours, [0.05, 0.5]), *np.quantile(others, [0.05, 0.5])]
        points.append((float(both[0]), float(both[1]), float(both[2]), float(both[3])))
    share = float(suspect.mean())
    return Copies(share, share > SUSPECT, points[0], points[1], rows)
