"""How a chest lands on the film: tissue, bones, markings, exposure, noise and distractors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Scene, tree
from .canvas import COORDS, FIELD_MM, Array, Canvas, index, look, smooth


@dataclass
class Layers:
    """What signs lay over a healthy chest, each a (size, size) array.

    Args:
        clear: share of the lung's air that is left; 1 in health.
        markings: strength of the vessels; 1 in health.
        air: blackness of the lung; 1 in health.
        extra: attenuation on top of everything, in units of the film's range.
    """

    clear: Array
    markings: Array
    air: Array
    extra: Array

    @classmethod
    def empty(cls, canvas: Canvas) -> Layers:
        """A healthy chest's layers."""
        one = np.ones_like(canvas.x)
        return cls(one, one.copy(), one.copy(), np.zeros_like(one))

    def fill(self, amount: Array) -> None:
        """Replace a share of the air (0 to 1 at each pixel) by something solid."""
        self.clear = self.clear * (1 - np.clip(amount, 0, 1))


@dataclass(frozen=True)
class Film:
    """One exposure.

    Args:
        brightness: grey added, in units of the film's range.
        contrast: factor on the film's range.
        gamma: bend of the tone curve.
        noise: strength of all noise; 1 is common.
        haze: unevenness of the exposure across the field.
        wires: electrodes' leads on the skin.
        nipples: strength of nipple shadows; 0 for none.
        fold: strength of a skin fold's line; 0 for none.
        border: width of the collimator's black border on each of four sides, mm.
        marker: side of the letter marker, -1 or +1.
    """

    brightness: float
    contrast: float
    gamma: float
    noise: float
    haze: float
    wires: int
    nipples: float
    fold: float
    border: tuple[float, float, float, float]
    marker: int


def draw_film(rng: np.random.Generator, difficulty: float, portable: bool) -> Film:
    """A random exposure; noise and distractors grow with ``difficulty`` in [0, 1]."""
    hard = 0.4 + 1.2 * difficulty
    borders = np.clip(rng.normal(-6, 8, 4), 0, 22)
    return Film(
        brightness=hard * rng.normal(0, 0.035),
        contrast=float(np.exp(hard * rng.normal(-0.12 if portable else 0, 0.09))),
        gamma=float(np.exp(hard * rng.normal(0, 0.14))),
        noise=hard * rng.uniform(0.6, 1.5),
        haze=hard * rng.normal(0, 0.05),
        wires=int(rng.integers(1, 4)) if rng.random() < (0.5 if portable else 0.06) * hard else 0,
        nipples=rng.uniform(0.02, 0.07) if rng.random() < 0.25 * hard else 0.0,
        fold=rng.uniform(0.02, 0.06) if rng.random() < 0.15 * hard else 0.0,
        border=(float(borders[0]), float(borders[1]), float(borders[2]), float(borders[3])),
        marker=int(rng.choice([-1, 1])),
    )


def _trunk(scene: Scene) -> Array:
    """Half-width of neck, shoulders and trunk as a mask."""
    y, wide = COORDS, scene.anatomy.body
    top = scene.anatomy.right.apex
    shoulder = 54 + (wide + 26 - 54) * smooth((y - top + 12) / 26)
    armpit = 30 * smooth((y - top - 75) / 34) - 6 * smooth((y - 60) / 80)
    return scene.canvas.edge(look(shoulder - armpit, scene.iy) - np.abs(scene.canvas.x), 1.5)


def _ribs(scene: Scene) -> Array:
    """Posterior ribs, arching down and out, and fainter anterior ones, down and in."""
    anatomy, canvas = scene.anatomy, scene.canvas
    top, gap, soft = anatomy.right.apex, anatomy.rib_gap, float(np.hypot(1.0, canvas.blur))
    u = np.abs(COORDS)
    # The arch of one rib over the distance from the midline, in mm.
    arch = anatomy.rib_slope * (
        34 * (np.clip(u - 25, 0, None) / 95) ** 1.9 - 7 * np.sin(np.pi * np.clip(u / 70, 0, 1))
    )
    slope = 0.42 * anatomy.rib_slope * (118 - u) + 12 * (u / 118) ** 6
    posterior, anterior = np.zeros_like(COORDS), np.zeros_like(COORDS)
    for number in range(11):
        at = COORDS - (top - 8 + anatomy.rib_start * 0.4 + number * gap * 0.97)
        band = smooth((4.4 - np.abs(at)) / (2.2 * soft))
        posterior += band * (0.62 + 0.38 * smooth((at - 1.0) / 2.5))
        at = COORDS - (top + 4 + number * gap * 1.12)
        anterior += smooth((5.2 - np.abs(at)) / (2.4 * soft))
    ix = index(canvas.x)
    lean = look(arch, ix) * (1.15 - 0.0022 * (canvas.y - top))
    far = look(smooth((u - 62) / 22), ix)
    back = look(posterior, index(canvas.y - lean))
    front = look(anterior, index(canvas.y - look(slope, ix))) * far
    cage = np.zeros_like(back)
    for view in scene.lungs:
        wall = canvas.edge(view.to_wall + 7, 1.5) * canvas.edge(view.u, 2.0)
        rim = canvas.line(view.to_wall + 3, 4.0)
        cage = cage + wall * ((0.105 + 0.06 * rim) * back + 0.05 * front + 0.03 * rim)
    low = look(smooth((104 - COORDS) / 30), scene.iy)
    cage = cage * (0.1 + 0.9 * low) * (1 - 0.55 * scene.middle)
    return cage * canvas.edge(canvas.y - top + 14, 3)


def _bones(scene: Scene) -> Array:
    """Spine, clavicles, shoulder blades and ribs."""
    anatomy, canvas = scene.anatomy, scene.canvas
    away = np.abs(canvas.x)
    disc = look(0.75 + 0.25 * smooth(2.5 * np.cos(COORDS * (2 * np.pi / 23)) + 1.2), scene.iy)
    spine = canvas.edge(17 - away, 2.0) * disc * 0.06 + canvas.line(canvas.x, 3.0) * 0.015
    bend = anatomy.clavicle - 0.10 * np.abs(COORDS) - 7 * np.sin(np.abs(COORDS) / 26)
    height = canvas.y - look(bend, index(canvas.x))
    thick = 5.4 + 0.03 * away
    clavicle = canvas.edge(thick - np.abs(height), 1.0) * canvas.edge(away - 16, 2.0)
    clavicle = clavicle * canvas.edge(142 - away, 3.0) * (0.085 + 0.04 * np.abs(height) / thick)
    top = anatomy.right.apex
    blade_edge = look(anatomy.right.half + 4 - 26 * smooth((top + 70 - COORDS) / 60), scene.iy)
    reach = look(smooth((COORDS - top - 12) / 15) * smooth((top + 118 - COORDS) / 14), scene.iy)
    blade = canvas.edge(away - blade_edge, 1.5) * reach * canvas.edge(blade_edge + 34 - away, 4)
    edge = canvas.line(away - blade_edge - 1, 1.6) * reach
    return np.asarray(_ribs(scene) + spine + clavicle + 0.035 * blade + 0.04 * edge)


def _vessels(scene: Scene) -> Array:
    """Vessels of both lungs and the roots that they come from."""
    rng = np.random.default_rng(scene.anatomy.seed)
    trees, roots = [], np.zeros_like(scene.canvas.x)
    for view in scene.lungs:
        x, y = scene.hilum(view)
        trees.append(tree(rng, x, y, view.lung.side, 0.95 * (view.lung.half - 20)))
        roots += view.mask * scene.canvas.cloud(x + view.lung.side * 6, y + 4, 11, 20)
    x_all, y_all, weight = (np.concatenate(each) for each in zip(*trees, strict=True))
    lines = scene.canvas.strokes(x_all, y_all, weight, 1.15)
    lungs = scene.lungs[0].mask + scene.lungs[1].mask
    return np.asarray(0.15 * np.minimum(lines, 2.0) * lungs + 0.10 * roots)


def _soft_tissue(scene: Scene) -> Array:
    """Breasts, and the stomach's gas bubble under the left dome."""
    anatomy, canvas = scene.anatomy, scene.canvas
    total = np.zeros_like(canvas.x)
    for lung in anatomy.lungs:
        if anatomy.breast:
            x, y = lung.side * 0.66 * lung.half, lung.base - 42
            away = np.hypot((canvas.x - x) / 62, (canvas.y - y) / 58)
            low = canvas.edge(canvas.y - y + 15, 28)
            total += anatomy.breast * canvas.edge((1 - away) * 60, 2.0) * low
    if anatomy.stomach:
        left = anatomy.left
        x, y = 0.46 * left.half, left.base - left.dome + 0.8 * anatomy.stomach + 6
        away = np.hypot((canvas.x - x) / anatomy.stomach, (canvas.y - y) / (0.6 * anatomy.stomach))
        gas = canvas.edge((1 - away) * anatomy.stomach, 1.5) * canvas.edge(y + 3 - canvas.y, 1.0)
        total -= 0.2 * gas * canvas.edge(-scene.lungs[1].to_floor - 3, 1.0)
    return total


def attenuation(scene: Scene, layers: Layers) -> Array:
    """(size, size) attenuation of a chest with signs: 0 is air, about 1 the densest."""
    anatomy, canvas = scene.anatomy, scene.canvas
    ix = index(canvas.x)
    total = look(0.60 + 0.17 * np.exp(-((COORDS / 62) ** 2)), ix)
    total = total + look(0.10 * smooth((COORDS - 95) / 70), scene.iy)
    vessels = _vessels(scene) * layers.markings * anatomy.vessels
    solid = 1 - 0.86 * scene.middle
    for view in scene.lungs:
        depth = 0.74 + 0.26 * smooth((view.to_wall - 14) / 26)
        gone = view.mask * layers.clear * solid * depth
        total = total - 0.45 * anatomy.air * layers.air * gone
        under = canvas.edge(view.u, 9.0) * canvas.edge(-view.to_floor)
        total = total + 0.16 * under * smooth((view.to_wall - 6) / 28)
    total = total + 0.10 * scene.middle + vessels * solid * (0.3 + 0.7 * layers.clear)
    windpipe = look(smooth((anatomy.heart_middle[1] - 62 - COORDS) / 12), scene.iy)
    total -= 0.075 * windpipe * canvas.edge(7.5 - np.abs(canvas.x - 0.5 * anatomy.shift), 1.5)
    total += _bones(scene) + _soft_tissue(scene) + layers.extra
    return np.asarray(total * _trunk(scene))


def _distractors(scene: Scene, film: Film, rng: np.random.Generator) -> Array:
    """Leads, nipple shadows and a skin fold: bright things that are no disease."""
    canvas, anatomy = scene.canvas, scene.anatomy
    total = np.zeros_like(canvas.x)
    for _ in range(film.wires):
        x0, y0, tilt, bow = rng.uniform([-90, -60, -1, -50], [90, 60, 1, 50])
        at = canvas.x - x0 - tilt * (canvas.y - y0) - bow * np.sin(canvas.y / 60)
        total += 0.16 * canvas.line(at / np.hypot(1, tilt), 0.9) * canvas.edge(canvas.y - y0)
        total += 0.2 * canvas.edge(6 - np.hypot(canvas.x - x0, canvas.y - y0))
    if film.nipples:
        for lung in anatomy.lungs:
            x, y = lung.point(0.62, 0.84)
            total += film.nipples * canvas.ball(x + rng.normal(0, 4), y + rng.normal(0, 4), 5)
    if film.fold:
        side = rng.choice([-1, 1])
        at = side * canvas.x - rng.uniform(60, 95) - 0.25 * canvas.y
        total += film.fold * canvas.line(at, 1.2) * canvas.edge(70 - np.abs(canvas.y + 10), 10)
    return total


def _collimate(canvas: Canvas, film: Film, grey: Array) -> Array:
    """Letter marker and collimator, which stand still while the patient moves."""
    line = ((np.arange(canvas.size) + 0.5) / canvas.size - 0.5) * FIELD_MM
    half = FIELD_MM / 2
    left, right, top, bottom = film.border
    x, y = line[None, :], line[:, None]
    mx, my = film.marker * 146.0, -148.0
    stem = canvas.edge(1.8 - np.abs(x - mx + 4), 0.4) * canvas.edge(9 - np.abs(y - my), 0.4)
    if film.marker > 0:  # an L
        foot = canvas.edge(1.8 - np.abs(y - my - 7.2), 0.4) * canvas.edge(5.5 - np.abs(x - mx), 0.4)
    else:  # an R
        bow = canvas.edge(1.8 - np.abs(np.hypot(x - mx + 1, y - my + 4) - 3.6), 0.4)
        leg = canvas.edge(1.8 - np.abs(x - mx - 0.55 * (y - my) + 2), 0.4)
        foot = np.maximum(bow, leg * canvas.edge(4.8 - np.abs(y - my - 4.2), 0.4))
    grey = np.maximum(grey, 0.95 * np.maximum(stem, foot))
    # A side without a border lies well outside, so that its soft edge does not show.
    out = [30.0 if wide == 0 else -wide for wide in (left, right, top, bottom)]
    open_x = canvas.edge(x + half + out[0], 1.5) * canvas.edge(half + out[1] - x, 1.5)
    open_y = canvas.edge(y + half + out[2], 1.5) * canvas.edge(half + out[3] - y, 1.5)
    return np.asarray(grey * open_x * open_y)


def expose(scene: Scene, layers: Layers, film: Film, rng: np.random.Generator) -> Array:
    """The film as (size, size) uint8, bright where much is attenuated."""
    canvas = scene.canvas
    dense = attenuation(scene, layers) + _distractors(scene, film, rng)
    dense = dense + film.noise * (
        0.020 * canvas.texture(rng, 24) + 0.017 * canvas.texture(rng, 128)
    ) * np.clip(3 * dense, 0, 1)
    dense = dense * (1 + film.haze * (canvas.x + canvas.y) / 120)
    grey = 0.5 + film.contrast * (dense - 0.5) + film.brightness * (dense > 0)
    grey = np.clip(grey, 0, None) ** film.gamma
    # The shoulder of the film: dense parts run into white instead of being cut.
    grey = np.where(grey > 0.75, 0.75 + 0.25 * np.tanh((grey - 0.75) / 0.25), grey)
    # A pixel of half the width catches a quarter of the quanta: twice the deviation.
    quanta = rng.standard_normal(grey.shape, dtype=np.float32) * canvas.size / 1024
    grey = _collimate(canvas, film, grey + 0.018 * film.noise * quanta * (grey > 0))
    return (np.clip(grey, 0, 1) * 255 + 0.5).astype(np.uint8)
