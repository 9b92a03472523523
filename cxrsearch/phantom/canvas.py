"""What phantom images are drawn with: millimetres, soft edges, lines and textures.

Every shape is defined in millimetres on a square field, and each pixel integrates over its
own area (taken as a Gaussian of the same variance). So the same image drawn at another size
is the same picture, and a large one scaled down equals a small one drawn directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FIELD_MM = 350.0
"""Width and height of what an image shows; the 1024 frame has 0.34 mm a pixel."""

_TABLE_LOW, _TABLE_STEP = -260.0, 0.25
COORDS: Array = np.arange(_TABLE_LOW, -_TABLE_LOW, _TABLE_STEP, dtype=np.float32)
"""Where one-dimensional profiles (a border's x over y, say) are tabulated, in mm."""


def index(coordinate: Array) -> Array:
    """Positions in a table over `COORDS` for an array of coordinates in mm."""
    return ((coordinate - _TABLE_LOW) / _TABLE_STEP).astype(np.int32)


def look(table: Array, where: Array) -> Array:
    """Values of a table over `COORDS` at positions made by `index`."""
    return np.take(table, where, mode="clip")


def smooth(t: Array) -> Array:
    """Smoothstep: 0 below -1, 1 above 1, a cubic between."""
    t = np.clip(t, -1.0, 1.0)
    return 0.5 + t * (0.75 - 0.25 * t * t)


@dataclass(frozen=True)
class Pose:
    """How the patient stands before the plate: ``image = scale * rotate(body) + shift``.

    Args:
        angle: rotation in radians, clockwise on the image.
        scale: magnification.
        dx: shift to the image's right, mm.
        dy: shift down, mm.
    """

    angle: float = 0.0
    scale: float = 1.0
    dx: float = 0.0
    dy: float = 0.0

    def to_image(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Body coordinates to image coordinates, mm."""
        cos, sin = self.scale * np.cos(self.angle), self.scale * np.sin(self.angle)
        return cos * x - sin * y + self.dx, sin * x + cos * y + self.dy

    def to_body(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Image coordinates to body coordinates, mm."""
        cos, sin = np.cos(self.angle) / self.scale, np.sin(self.angle) / self.scale
        x, y = x - self.dx, y - self.dy
        return cos * x + sin * y, cos * y - sin * x


@lru_cache(maxsize=32)
def _taps(size: int, cells: int, sigma: float) -> tuple[Array, Array]:
    """Which lattice points a line of pixels sees through a Gaussian, and how densely.

    Returns:
        (taps, size) int indices of lattice points and (taps, size) float32 densities a mm,
        cut off at 3.5 deviations.
    """
    pixel, cell = FIELD_MM / size, FIELD_MM / cells
    width = np.hypot(sigma, pixel / np.sqrt(12))
    centres = (np.arange(size) + 0.5) * pixel / cell - 0.5
    half = int(np.ceil(3.5 * width / cell))
    points = np.rint(centres).astype(np.int64)[None, :] + np.arange(-half, half + 1)[:, None]
    away = (centres[None, :] - points) * cell / width
    density = np.exp(-0.5 * away * away) / (width * np.sqrt(2 * np.pi))
    density[(points < 0) | (points >= cells)] = 0
    return np.clip(points, 0, cells - 1), density.astype(np.float32)


def _project(lattice: Array, size: int, sigma: float) -> Array:
    """(size, size) sums of Gaussians at the points of a square lattice.

    Plain sums over a few neighbours: faster than a matrix product, and the same bits on
    any machine, whatever its BLAS and however many threads.
    """
    index, density = _taps(size, len(lattice), sigma)
    for _ in range(2):
        total = np.zeros((size, lattice.shape[1]), dtype=np.float32)
        for points, weights in zip(index, density, strict=True):
            total += weights[:, None] * lattice[points]
        lattice = np.ascontiguousarray(total.T)
    return lattice


class Canvas:
    """A square image of ``size`` pixels a side, seen in one pose.

    Attributes:
        x, y: (size, size) float32 body coordinates of the pixel centres, mm; x grows to the
            image's right (the patient's left), y downwards; the origin is mid-chest.
        blur: standard deviation of a pixel's own area, mm.
    """

    def __init__(self, size: int, pose: Pose) -> None:
        self.size, self.pose = size, pose
        self.blur = FIELD_MM / size / np.sqrt(12)
        line = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * FIELD_MM
        x, y = pose.to_body(line[None, :], line[:, None])
        self.x: Array = np.ascontiguousarray(x, dtype=np.float32)
        self.y: Array = np.ascontiguousarray(y, dtype=np.float32)

    def edge(self, distance: Array, soft: float = 0.8) -> Array:
        """1 where ``distance`` (mm) is well above 0, 0 well below, ``soft`` mm blurred."""
        # The cubic's derivative has the variance h^2 / 5.
        return smooth(distance * np.float32(1 / (np.sqrt(5) * np.hypot(soft, self.blur))))

    def line(self, distance: Array, sigma: float) -> Array:
        """A Gaussian ridge where ``distance`` (mm) is 0; its area stays at any size."""
        width = np.hypot(sigma, self.blur)
        scaled = distance * np.float32(1 / width)
        return np.asarray(np.float32(sigma / width) * np.exp(-0.5 * scaled * scaled))

    def strokes(self, x: Array, y: Array, weight: Array, sigma: float) -> Array:
        """Many thin lines at once, given as dense points.

        Args:
            x, y: body coordinates of points along the lines, mm.
            weight: peak height of the line at each point, times the points' spacing in mm.
            sigma: half width of the lines, mm.

        Returns:
            (size, size) float32 array.
        """
        cells = 256
        x, y = self.pose.to_image(x, y)
        column = (x / FIELD_MM + 0.5) * cells - 0.5
        row = (y / FIELD_MM + 0.5) * cells - 0.5
        inside = (column > 0) & (row > 0) & (column < cells - 1) & (row < cells - 1)
        column, row, weight = column[inside], row[inside], weight[inside]
        left, top = column.astype(np.int64), row.astype(np.int64)
        right, down = column - left, row - top
        first = top * cells + left
        where = np.concatenate([first, first + 1, first + cells, first + cells + 1])
        share = np.concatenate(
            [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down]
        )
        mass = np.bincount(where, share * np.tile(weight, 4), minlength=cells * cells)
        height = sigma * np.sqrt(2 * np.pi)
        lattice = (mass * height).astype(np.float32).reshape(cells, cells)
        return _project(lattice, self.size, sigma)

    def texture(self, rng: np.random.Generator, cells: int) -> Array:
        """Smooth noise with ``cells`` grains across the field; deviation 1 at full resolution."""
        sigma = 0.55 * FIELD_MM / cells
        grain = rng.standard_normal((cells, cells)).astype(np.float32)
        # Mean of the squared weights of a unit lattice under this Gaussian, along one axis.
        deviation = 1 / (2 * np.sqrt(np.pi) * sigma * FIELD_MM / cells)
        return _project(grain, self.size, sigma) / np.float32(deviation)

    def ball(self, x: float, y: float, radius: float) -> Array:
        """Path length through a ball over its diameter: 1 in the middle, 0 outside."""
        # A ball's profile has the variance radius^2 / 5 along each axis; its volume stays.
        wide = radius * radius + 5 * self.blur * self.blur
        square = ((self.x - x) ** 2 + (self.y - y) ** 2) / wide
        bulk = np.float32(radius * radius / wide)
        return np.asarray(bulk * np.sqrt(np.clip(1 - square, 0, None)))

    def cloud(self, x: float, y: float, across: float, along: float) -> Array:
        """A Gaussian spot without contour, ``across`` and ``along`` its deviations in mm."""
        return np.exp(-0.5 * (((self.x - x) / across) ** 2 + ((self.y - y) / along) ** 2))

    def patch(
        self, rng: np.random.Generator, x: float, y: float, radius: tuple[float, float], soft: float
    ) -> Array:
        """An irregular area with a contour: 1 inside, 0 outside.

        Args:
            x, y: its middle, mm.
            radius: half width and half height, mm.
            soft: blur of its contour, mm.
        """
        dx, dy = (self.x - x) / radius[0], (self.y - y) / radius[1]
        angle, away = np.arctan2(dy, dx), np.hypot(dx, dy)
        border = np.ones_like(away)
        for wave in range(2, 6):
            border += rng.uniform(0.03, 0.3 / wave) * np.cos(wave * angle + rng.uniform(0, 6.3))
        return self.edge((border - away) * min(radius), soft)
