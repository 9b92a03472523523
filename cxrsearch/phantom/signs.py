"""The radiographic sign of each of the 14 diseases, as the phantom draws it.

A disease lays something over the chest (`OVERLAYS`), changes its shape
(`shapes.SHAPES`), or both. Each function takes its own random generator, so that a
sign stays in its place whatever else the patient has, and a strength: about 1 is a plain
case, below 0.5 a faint one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .anatomy import LungView, Scene, tree
from .canvas import Array, smooth
from .film import Layers

Overlay = Callable[[Scene, Layers, np.random.Generator, float], None]


def _some_lungs(scene: Scene, rng: np.random.Generator, both: float) -> list[LungView]:
    """One lung at random, or with probability ``both`` the two."""
    first = int(rng.integers(2))
    return list(scene.lungs) if rng.random() < both else [scene.lungs[first]]


def _spot(
    scene: Scene, rng: np.random.Generator, across: tuple[float, float], along: tuple[float, float]
) -> tuple[LungView, float, float]:
    """A lung and a place in it, by ranges of `Lung.point`'s shares."""
    view = scene.lungs[int(rng.integers(2))]
    x, y = view.lung.point(rng.uniform(*across), rng.uniform(*along))
    return view, x, y


def plates(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Atelectasis: the collapsed part over the raised diaphragm, dense and streaky."""
    right = bool(rng.random() < 0.5)  # the first draw, as in `collapsed`: the same side
    view, canvas = scene.lungs[0 if right else 1], scene.canvas
    height = rng.uniform(10, 22)
    rise = rng.uniform(-0.3, 0.3)
    over = view.to_floor - rise * (view.u - 60)
    wedge = smooth((height - over) / 14) * rng.uniform(0.25, 0.45)
    layers.fill(view.mask * wedge * strength)
    for _ in range(int(rng.integers(1, 4))):
        at = over - rng.uniform(height, height + 30)
        inside = canvas.edge(view.u - rng.uniform(25, 60), 6) * canvas.edge(view.to_wall - 12, 6)
        layers.extra += 0.13 * min(strength, 1.3) * canvas.line(at, 1.8) * inside * view.mask


def fluid(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Effusion: fluid in the pleural space up to a horizontal level, the angle blunted."""
    for view in _some_lungs(scene, rng, 0.3):
        lung = view.lung
        level = lung.base - rng.uniform(0.3, 0.62) * lung.dome - rng.uniform(14, 46) * strength
        meniscus = 16 * np.exp(-np.clip(view.to_wall, 0, None) / 11)
        below = scene.canvas.edge(scene.canvas.y - level + meniscus, 1.6)
        layers.fill(0.92 * view.mask * below)
        layers.extra += 0.07 * view.hull * below * smooth((view.to_wall + 2) / 22)


def soft_white(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Infiltration: one to three soft white areas without contour."""
    for _ in range(int(rng.integers(1, 4))):
        view, x, y = _spot(scene, rng, (0.2, 0.75), (0.25, 0.9))
        spot = scene.canvas.cloud(x, y, rng.uniform(18, 32), rng.uniform(18, 36))
        layers.fill(rng.uniform(0.35, 0.6) * strength * spot * view.mask)


def _round_spots(
    scene: Scene, layers: Layers, rng: np.random.Generator, radii: list[float], density: float
) -> None:
    """Bright round spots, each placed so that most of it lies over the lung."""
    for radius in radii:
        across = (0.25, 0.72) if radius > 15 else (0.2, 0.85)
        view, x, y = _spot(scene, rng, across, (0.12, 0.85))
        ball = scene.canvas.ball(x, y, radius)
        layers.extra += density * ball * (0.25 + 0.75 * view.mask)


def mass(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Mass: a bright round spot more than 30 mm across."""
    radii = [rng.uniform(16, 29) for _ in range(1 + int(rng.random() < 0.25))]
    _round_spots(scene, layers, rng, radii, 0.36 * strength)


def nodule(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Nodule: one to five bright round spots less than 30 mm across."""
    radii = [rng.uniform(8, 14.5) for _ in range(int(rng.integers(1, 6)))]
    _round_spots(scene, layers, rng, radii, 0.46 * strength)


def patchy(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Pneumonia: a patchy opacity of a lobe, air-filled bronchi running dark through it."""
    view, x, y = _spot(scene, rng, (0.3, 0.6), (0.3, 0.85))
    canvas = scene.canvas
    radius = (rng.uniform(34, 48), rng.uniform(28, 42))
    lobe = canvas.patch(rng, x, y, radius, 7.0)
    grain = smooth(1.1 * canvas.texture(rng, 28) + 0.35)
    root = scene.hilum(view)
    bronchi = canvas.strokes(*tree(rng, *root, view.lung.side, 100, trunks=8), 1.6)
    amount = rng.uniform(0.7, 0.95) * strength * lobe * view.mask
    layers.fill(amount * (0.2 + 0.8 * grain) * (1 - 0.75 * np.clip(bronchi, 0, 1)))
    layers.markings = layers.markings * (1 - np.clip(amount, 0, 1))


def free_air(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Pneumothorax: black without markings between wall and a thin pleural line."""
    view = scene.lungs[int(rng.integers(2))]
    canvas, lung = scene.canvas, view.lung
    wide = rng.uniform(22, 46) * strength
    # The lung sinks from the apex and the wall, least at the base.
    small = replace(lung, apex=lung.apex + 0.9 * wide, half=lung.half - wide)
    low = np.clip((canvas.y - lung.apex) / (lung.base - lung.apex), 0, 1)
    retreat = small.inside(view.u, canvas.y) + rng.uniform(0.3, 0.7) * wide * low**2
    free = canvas.edge(-retreat, 0.6) * view.mask
    layers.markings = layers.markings * (1 - free)
    layers.air = layers.air * (1 + 0.3 * free)
    layers.fill(0.12 * strength * canvas.edge(retreat, 0.6) * view.mask)
    layers.extra += 0.10 * min(strength, 1.2) * canvas.line(retreat, 0.9) * view.mask


def solid(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Consolidation: even white with a contour."""
    for _ in range(1 + int(rng.random() < 0.3)):
        view, x, y = _spot(scene, rng, (0.3, 0.75), (0.2, 0.85))
        radius = (rng.uniform(22, 38), rng.uniform(20, 34))
        area = scene.canvas.patch(rng, x, y, radius, 1.0) * view.mask
        layers.fill(rng.uniform(0.55, 0.8) * strength * area)
        layers.markings = layers.markings * (1 - 0.8 * area)


def wide_haze(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Edema: haze over both lungs, densest about the roots, with lines at the bases."""
    canvas = scene.canvas
    core, veil = rng.uniform(0.3, 0.5), rng.uniform(0.12, 0.26)
    fluffy = 1 + 0.25 * canvas.texture(rng, 20)
    for view in scene.lungs:
        x, y = scene.hilum(view)
        wings = canvas.cloud(x + view.lung.side * 22, y + 12, 36, 52)
        layers.fill(strength * (core * wings * fluffy + veil) * view.mask)
        lines = np.clip(np.sin(view.to_floor / 2.1), 0, 1) * canvas.edge(16 - view.to_wall, 3)
        lines = lines * canvas.edge(48 - view.to_floor, 6) / max(1.0, canvas.blur)
        layers.extra += 0.04 * strength * lines * view.mask
    layers.markings = layers.markings * (1 + 0.5 * strength)


def sparse(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Emphysema: black holes (bullae) with thin walls, mostly in the upper lungs."""
    canvas = scene.canvas
    for _ in range(int(rng.integers(0, 4))):
        view, x, y = _spot(scene, rng, (0.4, 0.85), (0.08, 0.5))
        radius = rng.uniform(9, 20)
        away = np.hypot(canvas.x - x, canvas.y - y)
        hole = canvas.edge(radius - away, 1.0) * view.mask
        layers.markings = layers.markings * (1 - hole)
        layers.air = layers.air * (1 + 0.15 * strength * hole)
        layers.extra += 0.05 * strength * canvas.line(away - radius, 0.9) * view.mask


def _web(rng: np.random.Generator, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """A net between points: each joined to its three nearest by a line."""
    away = np.hypot(x[:, None] - x[None, :], y[:, None] - y[None, :])
    np.fill_diagonal(away, np.inf)
    near = np.argsort(away, axis=1)[:, :3].ravel()
    start = np.repeat(np.arange(len(x)), 3)
    short = away[start, near] < 16  # a longer line would need more points
    start, near = start[short], near[short]
    length = away[start, near]
    share = np.linspace(0, 1, 12)[None, :]
    bow = rng.normal(0, 0.15, len(start))[:, None] * np.sin(np.pi * share)
    dx, dy = (x[near] - x[start])[:, None], (y[near] - y[start])[:, None]
    px = x[start][:, None] + share * dx - bow * dy
    py = y[start][:, None] + share * dy + bow * dx
    weight = np.broadcast_to((length / 12)[:, None], px.shape)
    return px.ravel(), py.ravel(), weight.ravel()


def webs(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Fibrosis: white webs, at the bases and along the wall, or at the apices."""
    upper = rng.random() < 0.3
    behind = 1 - 0.75 * scene.middle
    for view in _some_lungs(scene, rng, 0.75):
        count = int(rng.integers(90, 150))
        across = 1 - np.abs(rng.normal(0, 0.38, count))
        along = np.abs(rng.normal(0, 0.28, count))
        along = along if upper else 1.02 - along
        points = np.array(
            [view.lung.point(a, b) for a, b in zip(np.clip(across, 0, 0.98), along, strict=True)]
        )
        net = scene.canvas.strokes(*_web(rng, points[:, 0], points[:, 1]), 1.1)
        layers.extra += 0.125 * strength * np.minimum(net, 2.2) * view.mask * behind
        layers.fill(0.12 * strength * smooth(net - 0.6) * view.mask)


def rim(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Pleural_Thickening: a thick white rim along the wall or over the apex."""
    canvas = scene.canvas
    for view in _some_lungs(scene, rng, 0.35):
        lung = view.lung
        thick = rng.uniform(7, 13) * (0.4 + 0.6 * strength)
        cap = thick * rng.uniform(0.8, 1.7)
        middle, reach = rng.uniform(0.35, 0.85), rng.uniform(0.3, 0.5)
        t = (canvas.y - lung.apex) / (lung.base - lung.apex)
        wave = 1 + 0.25 * np.sin(canvas.y / rng.uniform(6, 11) + rng.uniform(0, 6))
        here = thick * wave * np.exp(-(((t - middle) / reach) ** 4))
        capped = replace(lung, apex=lung.apex + cap, half=lung.half)
        upper = canvas.edge(lung.apex + 45 - canvas.y, 8)
        inside = canvas.edge(here - view.to_wall, 0.8) + upper * canvas.edge(
            -capped.inside(view.u, canvas.y), 0.8
        )
        layers.fill(min(0.9, 0.85 * strength) * np.clip(inside, 0, 1) * view.mask)


def bulge(scene: Scene, layers: Layers, rng: np.random.Generator, strength: float) -> None:
    """Hernia: a round bulge behind the heart at the diaphragm, with air over a level."""
    canvas, anatomy = scene.canvas, scene.anatomy
    radius = rng.uniform(25, 38) * (0.6 + 0.4 * strength)
    x = anatomy.shift + rng.uniform(-22, 38)
    y = anatomy.left.base - anatomy.left.dome - rng.uniform(0.25, 0.65) * radius
    away = np.hypot((canvas.x - x) / 1.15, canvas.y - y)
    body = canvas.edge(radius - away, 1.0)
    level = y + rng.uniform(-0.15, 0.35) * radius
    air = canvas.edge(radius - 4 - away, 1.0) * canvas.edge(level - canvas.y, 0.8)
    layers.fill(0.9 * body)
    layers.extra += min(strength, 1.3) * (0.07 * body - 0.36 * air)


OVERLAYS: dict[str, Overlay] = {
    "Edema": wide_haze,
    "Infiltration": soft_white,
    "Pneumonia": patchy,
    "Consolidation": solid,
    "Emphysema": sparse,
    "Fibrosis": webs,
    "Atelectasis": plates,
    "Pleural_Thickening": rim,
    "Nodule": nodule,
    "Mass": mass,
    "Hernia": bulge,
    "Effusion": fluid,
    "Pneumothorax": free_air,
}
"""Diseases that lay something over the chest, in the order in which they do."""
