"""The healthy chest of the phantom: a patient's measures and the shapes made of them.

Body coordinates in mm: x to the image's right (the patient's left), y down, the origin in
the middle of the chest. ``side`` is -1 for the lung on the image's left (the patient's
right) and +1 for the other; ``u = side * x`` grows outwards in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import COORDS, Array, Canvas, index, look, smooth

SIDES = (-1, 1)


@dataclass(frozen=True)
class Lung:
    """One lung's measures in mm.

    Args:
        side: -1 or +1, see the module.
        apex: y of its top.
        base: y of the costophrenic angle, its lowest point at the chest wall.
        half: distance of the lateral wall from the midline at the base.
        dome: height of the diaphragm's crest above ``base``.
        medial: distance of its inner border from the midline.
    """

    side: int
    apex: float
    base: float
    half: float
    dome: float
    medial: float = 14.0

    def lateral(self, y: Array) -> Array:
        """Outer border ``u`` at height ``y``: a dome-shaped chest wall."""
        t = np.clip((y - self.apex) / (0.8 * (self.base - self.apex)), 0, 1)
        return np.asarray(44 + (self.half - 44) * (1 - (1 - t) ** 2.3) ** 0.62)

    def inner(self, y: Array) -> Array:
        """Inner border ``u`` at height ``y``."""
        t = np.clip((y - self.apex) / 42, 0, 1)
        return np.asarray(44 - (44 - self.medial) * np.sqrt(1 - (1 - t) ** 2))

    def floor(self, u: Array) -> Array:
        """Diaphragm's ``y`` at distance ``u`` from the midline."""
        crest = 0.5 * self.half
        outer = np.clip((u - crest) / (self.half - crest), 0, 1.2)
        inner = np.clip((crest - u) / crest, 0, 1.5)
        height = np.where(u > crest, 1 - outer**2.2, 1 - 0.35 * inner**2)
        return np.asarray(self.base - self.dome * height)

    def inside(self, u: Array, y: Array) -> Array:
        """How far within the side and upper borders places are, mm; negative outside."""
        sides = np.minimum(self.lateral(y) - u, u - self.inner(y))
        return np.asarray(np.minimum(sides, y - self.apex))

    def point(self, across: float, along: float) -> tuple[float, float]:
        """Body coordinates (x, y) of a place in the lung.

        Args:
            across: 0 at the inner border, 1 at the chest wall.
            along: 0 at the apex, 1 at the diaphragm.
        """
        low = float(self.floor(np.array(0.55 * self.half)))
        y = self.apex + 8 + along * (low - self.apex - 8)
        inner, outer = float(self.inner(np.array(y))), float(self.lateral(np.array(y)))
        return self.side * (inner + across * (outer - inner)), y


@dataclass(frozen=True)
class Anatomy:
    """A patient's chest; every image of the patient starts from it.

    Args:
        right, left: lungs, by the patient's sides (the right one is on the image's left).
        heart: length of the heart's half axis, mm (about 58 is common).
        heart_turn: direction of its long axis, radians below the horizontal.
        shift: displacement of mediastinum and heart to the image's right, mm.
        body: half width of the trunk at the base, mm.
        rib_gap: distance between ribs, mm.
        rib_start: phase of the first rib, mm.
        rib_slope: how steeply ribs descend (1 is common).
        clavicle: y of the clavicles' inner ends, mm.
        vessels: strength of the vascular markings (1 is common).
        air: blackness of the lungs (1 is common).
        breast: density of breast shadows; 0 for none.
        stomach: half width of the stomach's gas bubble, mm; 0 for none.
        seed: seed of the vascular tree.
    """

    right: Lung
    left: Lung
    heart: float
    heart_turn: float
    shift: float
    body: float
    rib_gap: float
    rib_start: float
    rib_slope: float
    clavicle: float
    vessels: float
    air: float
    breast: float
    stomach: float
    seed: int

    @property
    def lungs(self) -> tuple[Lung, Lung]:
        """Both lungs, in the order of `SIDES`."""
        return self.right, self.left

    @property
    def heart_middle(self) -> tuple[float, float]:
        """Body coordinates of the heart's centre; it rests on the diaphragm."""
        lift = min(self.right.dome, 45.0)
        return 0.30 * self.heart + self.shift, self.right.base - 0.75 * lift - 0.62 * self.heart


def draw_anatomy(rng: np.random.Generator, female: bool) -> Anatomy:
    """A random healthy patient."""
    size = rng.normal(0.95 if female else 1.0, 0.04)
    half = size * rng.normal(123, 5)
    apex, base = size * rng.normal(-124, 5), size * rng.normal(96, 6)
    dome = rng.uniform(30, 44)
    lower = rng.uniform(4, 13)
    return Anatomy(
        right=Lung(-1, apex, base - lower / 2, half, dome + lower / 2),
        left=Lung(1, apex + rng.normal(0, 2), base + lower / 2, half + rng.normal(0, 2), dome),
        heart=size * rng.normal(58, 3.5),
        heart_turn=rng.uniform(0.45, 0.8),
        shift=rng.normal(0, 2.5),
        body=size * half / 123 * rng.uniform(150, 172),
        rib_gap=size * rng.uniform(20, 24),
        rib_start=rng.uniform(0, 20),
        rib_slope=rng.uniform(0.75, 1.35),
        clavicle=apex + rng.uniform(18, 34),
        vessels=rng.uniform(0.75, 1.2),
        air=rng.uniform(0.9, 1.08),
        breast=rng.uniform(0.04, 0.13) if female else 0.0,
        stomach=rng.uniform(10, 24) if rng.random() < 0.7 else 0.0,
        seed=int(rng.integers(2**31)),
    )


@dataclass(frozen=True)
class LungView:
    """A lung on a canvas: ``u`` and masks, all (size, size)."""

    lung: Lung
    u: Array
    mask: Array
    hull: Array
    to_wall: Array
    to_floor: Array


class Scene:
    """An anatomy on a canvas: where each organ is.

    Attributes:
        lungs: the two `LungView`s, in the order of `SIDES`.
        heart: (size, size) mask of the heart.
        middle: (size, size) mask of the mediastinum, the heart included.
    """

    def __init__(self, canvas: Canvas, anatomy: Anatomy) -> None:
        self.canvas, self.anatomy = canvas, anatomy
        self.iy = index(canvas.y)
        views = [self._view(lung) for lung in anatomy.lungs]
        self.lungs = (views[0], views[1])
        self.heart = self._heart()
        self.middle = np.maximum(self.heart, self._mediastinum())

    def _view(self, lung: Lung) -> LungView:
        canvas = self.canvas
        u = canvas.x * lung.side
        to_wall = look(lung.lateral(COORDS), self.iy) - u
        to_floor = look(lung.floor(COORDS), index(u)) - canvas.y
        inside = canvas.edge(u - look(lung.inner(COORDS), self.iy)) * canvas.edge(
            canvas.y - lung.apex
        )
        hull = inside * canvas.edge(to_wall)
        return LungView(lung, u, hull * canvas.edge(to_floor), hull, to_wall, to_floor)

    def _heart(self) -> Array:
        """An ellipse, its long axis towards the apex, flattened where it rests."""
        anatomy, canvas = self.anatomy, self.canvas
        cx, cy = anatomy.heart_middle
        x, y = canvas.x - cx, canvas.y - cy
        cos, sin = np.cos(anatomy.heart_turn), np.sin(anatomy.heart_turn)
        along, across = cos * x + sin * y, cos * y - sin * x
        away = np.hypot(along / (1.12 * anatomy.heart), across / (0.86 * anatomy.heart))
        return canvas.edge((1 - away) * anatomy.heart, 1.2)

    def _mediastinum(self) -> Array:
        """Great vessels: the aortic knob and pulmonary trunk left, the caval veins right."""
        anatomy, canvas = self.anatomy, self.canvas
        cy = anatomy.heart_middle[1]
        knob = cy - 1.35 * anatomy.heart
        y = COORDS
        waist = 17 + 12 * smooth((y - cy + 30) / 40)
        left = np.maximum(waist, 33 * np.sqrt(np.clip(1 - ((y - knob) / 22) ** 2, 0, None)))
        trunk = 30 * np.sqrt(np.clip(1 - ((y - knob - 34) / 26) ** 2, 0, None))
        left = np.maximum(left, trunk) + 2 * np.sin(y / 9)
        right = 19 + 12 * smooth((y - cy + 35) / 45) + 1.5 * np.sin(y / 13)
        x = canvas.x - anatomy.shift
        return canvas.edge(look(left, self.iy) - x, 1.5) * canvas.edge(
            x + look(right, self.iy), 1.5
        )

    def hilum(self, view: LungView) -> tuple[float, float]:
        """Body coordinates of a lung's root, where its vessels come from."""
        anatomy = self.anatomy
        return (
            view.lung.side * 26 + anatomy.shift,
            anatomy.heart_middle[1] - (0.55 if view.lung.side > 0 else 0.4) * anatomy.heart,
        )


def _branch(
    start: tuple[Array, Array], angle: Array, bend: Array, length: Array, points: int
) -> tuple[Array, Array, Array]:
    """Bent lines from ``start``: (lines, points) arrays x and y, and (lines,) spacing, mm."""
    share = np.linspace(0, 1, points)[None, :]
    heading = angle[:, None] + bend[:, None] * share
    step = (length / points)[:, None]
    x = start[0][:, None] + np.cumsum(np.cos(heading) * step, axis=1)
    y = start[1][:, None] + np.cumsum(np.sin(heading) * step, axis=1)
    return x, y, length / points


def tree(
    rng: np.random.Generator, x: float, y: float, side: int, reach: float, trunks: int = 10
) -> tuple[Array, Array, Array]:
    """A branching tree (vessels or bronchi) from a lung's root.

    Args:
        rng: randomness of its shape.
        x, y: body coordinates of the root, mm.
        side: -1 or +1, where it spreads to.
        reach: length of its longest branches, mm.
        trunks: number of first branches.

    Returns:
        Dense points x and y and their weights for `Canvas.strokes`, thinning outwards.
    """
    angle = np.linspace(-1.35, 1.35, trunks) + rng.normal(0, 0.1, trunks)
    start = (np.full(trunks, x), np.full(trunks, y))
    length = reach * (1 - 0.15 * np.abs(angle)) * rng.uniform(0.8, 1.1, trunks)
    parts: list[tuple[Array, Array, Array]] = []
    strength = 1.0
    for points, children in ((56, 4), (24, 2), (11, 0)):
        bend = rng.normal(0, 0.45, len(angle))
        px, py, gap = _branch(start, angle, bend, length, points)
        fade = strength * (1 - 0.75 * np.linspace(0, 1, points))[None, :] * gap[:, None]
        parts.append((px.ravel(), py.ravel(), fade.ravel()))
        if not children:
            break
        from_line = np.repeat(np.arange(len(angle)), children)
        from_point = rng.integers(points // 5, points, len(from_line))
        start = (px[from_line, from_point], py[from_line, from_point])
        turn = rng.choice([-1.0, 1.0], len(from_line)) * rng.uniform(0.3, 0.75, len(from_line))
        angle = (angle + bend)[from_line] + turn
        length = length[from_line] * rng.uniform(0.25, 0.55, len(from_line))
        strength *= 0.65
    px, py, weight = (np.concatenate(each) for each in zip(*parts, strict=True))
    return side * (px - x) + x, py, weight
