"""Drawn problems: test functions of the BBOB kind with mixed, conditional and logarithmic genes.

A problem is put together from a base function whose minimum, 0, lies at a drawn place of the
unit cube, genes of several kinds that decode to that cube, and Gaussian noise or none. The
functions are those of the evolutionary-computation literature (Hansen et al., "Real-parameter
black-box optimization benchmarking: noiseless functions definitions", 2009).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.space.unit import from_unit, levels, to_unit

from .problem import Params, Problem, Scores

Base = Callable[[np.ndarray], float]


def sphere(z: np.ndarray) -> float:
    """Convex, separable."""
    return float(z @ z)


def ellipsoid(z: np.ndarray) -> float:
    """Axes of very different lengths, condition 100."""
    return float(10.0 ** np.linspace(0, 2, len(z)) @ z**2)


def cigar(z: np.ndarray) -> float:
    """One long axis."""
    return float(z[0] ** 2 + 50.0 * (z[1:] @ z[1:]))


def powers(z: np.ndarray) -> float:
    """Different powers: flat near the minimum, each axis otherwise."""
    return float((np.abs(z) ** np.linspace(1.5, 5, len(z))).sum())


def rastrigin(z: np.ndarray) -> float:
    """Many regular local minima in a bowl."""
    return float((z**2 + 4.0 * (1 - np.cos(2 * np.pi * z))).sum())


def ackley(z: np.ndarray) -> float:
    """A funnel in a bumpy plain."""
    root = np.sqrt((z**2).mean())
    return float(20 - 20 * np.exp(-0.2 * root) + np.e - np.exp(np.cos(2 * np.pi * z).mean()))


def griewank(z: np.ndarray) -> float:
    """A bowl with shallow ripples that hang together."""
    scaled = np.cos(3 * z / np.sqrt(np.arange(1, len(z) + 1)))
    return float((z @ z) / 10 + 1 - scaled.prod())


def rosenbrock(z: np.ndarray) -> float:
    """A bent valley."""
    x = z + 1
    return float((20 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def levy(z: np.ndarray) -> float:
    """Waves across a slope."""
    w = 1 + z / 4
    middle = (w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)
    start = np.sin(np.pi * w[0]) ** 2
    return float(start + middle.sum() + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2))


def schaffer(z: np.ndarray) -> float:
    """Rings of growing frequency."""
    pairs = np.sqrt(z[:-1] ** 2 + z[1:] ** 2)
    return float((np.sqrt(pairs) * (1 + np.sin(5 * pairs**0.4) ** 2)).mean() ** 2)


def steps(z: np.ndarray) -> float:
    """An ellipsoid of plateaus with a slight slope."""
    flat = np.round(z * 2) / 2
    return float(10.0 ** np.linspace(0, 1, len(z)) @ flat**2 + 0.02 * np.abs(z).sum())


def schwefel(z: np.ndarray) -> float:
    """Cumulated sums: a valley across all axes."""
    return float((np.cumsum(z) ** 2).sum())


def recipe(z: np.ndarray) -> float:
    """Like a training recipe: a ridge of two genes that matter, a cliff, slopes, the rest idle."""
    ridge = (z[0] + 0.6 * z[1]) ** 2 + 0.15 * z[0] ** 2
    cliff = 6.0 / (1 + np.exp(-4.0 * (z[0] - 2.0)))
    return float(ridge + cliff - 6.0 / (1 + np.exp(8.0)) + 0.3 * np.abs(z[2:5]).sum())


@dataclass(frozen=True)
class Recipe:
    """How a problem is drawn.

    Args:
        bases: one function; several make a choice ``model`` with genes of its own each.
        genes: kinds, one letter a gene: ``f`` float, ``l`` log float, ``i`` integer with 4 to
            12 levels, ``j`` log integer, ``c`` a choice of 3 to 5. With several models each
            has these genes.
        shared: kinds of the genes that all models share.
        width: half the side of the cube in the function's units.
        rotate: whether the axes are turned against the genes.
        noise: standard deviation of the observed score in units of ``best - typical``.
    """

    bases: tuple[Base, ...]
    genes: str
    shared: str = ""
    width: float = 4.0
    rotate: bool = False
    noise: float = 0.0


TUNE = {
    "ellipsoid-log": Recipe((ellipsoid,), "llllff", rotate=True),
    "rastrigin-mixed": Recipe((rastrigin,), "ffiicc", width=2.5),
    "rosenbrock-log": Recipe((rosenbrock,), "lllff", width=2.0),
    "ackley-noisy": Recipe((ackley,), "fflijc", noise=0.1),
    "recipe-noisy": Recipe((recipe,), "lflfffic", noise=0.15),
    "models-two": Recipe((sphere, levy), "lfi", shared="lc"),
    "models-three-noisy": Recipe((recipe, ellipsoid, ackley), "lffi", shared="lf", noise=0.08),
}
JUDGE = {
    "cigar-log": Recipe((cigar,), "lllff", rotate=True),
    "griewank-mixed": Recipe((griewank,), "ffllijcc"),
    "schwefel-noisy": Recipe((schwefel,), "llffii", noise=0.1),
    "powers-steps": Recipe((steps,), "fliijc"),
    "schaffer-noisy": Recipe((schaffer,), "lffffi", noise=0.08, rotate=True),
    "models-three": Recipe((rastrigin, powers, rosenbrock), "lfi", shared="lfc", width=2.5),
    "models-two-noisy": Recipe((schwefel, levy), "lffic", shared="lf", noise=0.1),
}
"""Drawn problems by name."""


def _gene(kind: str, rng: np.random.Generator) -> BaseDistribution:
    if kind == "f":
        return FloatDistribution(-1.0, 2.0)
    if kind == "l":
        return FloatDistribution(1e-6, 10.0 ** -float(rng.integers(0, 3)), log=True)
    if kind == "i":
        return IntDistribution(1, int(rng.integers(4, 13)))
    if kind == "j":
        return IntDistribution(8, 512, log=True)
    return CategoricalDistribution([f"c{k}" for k in range(int(rng.integers(3, 6)))])


class _Part:
    """One base function over its genes, lowest value 0."""

    def __init__(
        self, base: Base, genes: Mapping[str, BaseDistribution], recipe: Recipe, rng: Any
    ) -> None:
        self.base, self.width = base, recipe.width
        self.numeric = {
            n: d for n, d in genes.items() if not isinstance(d, CategoricalDistribution)
        }
        self.best = {n: _place(d, rng) for n, d in self.numeric.items()}
        turned = np.linalg.qr(rng.normal(size=(len(self.numeric),) * 2))[0]
        self.axes = turned if recipe.rotate else np.eye(len(self.numeric))
        self.choices = {}
        for name, dist in genes.items():
            if isinstance(dist, CategoricalDistribution):
                count = len(dist.choices)
                cost = rng.uniform(0.1, 1.5, count)
                shift = rng.normal(0, 0.12, (count, len(self.numeric)))
                good = int(rng.integers(count))
                cost[good], shift[good] = 0.0, 0.0
                self.choices[name] = (dist.choices, cost, shift)

    def __call__(self, params: Params) -> float:
        u = np.array([to_unit(d, params[n]) - self.best[n] for n, d in self.numeric.items()])
        extra = 0.0
        for name, (choices, cost, shift) in self.choices.items():
            chosen = choices.index(params[name])
            # Each choice has its own best place, as an optimiser has its own learning rate.
            u = u - shift[chosen]
            extra += cost[chosen]
        return self.base(self.axes @ (2 * self.width * u)) + extra * self.width


def _place(dist: BaseDistribution, rng: np.random.Generator) -> float:
    count = levels(dist)
    if count is None:
        return float(rng.uniform(0.12, 0.88))
    # On a level, so that the minimum can be reached.
    return to_unit(dist, from_unit(dist, float(rng.uniform(0.12, 0.88))))


def make(name: str) -> Problem:
    """The drawn problem ``name`` of `TUNE` or `JUDGE`."""
    recipe = {**TUNE, **JUDGE}[name]
    rng = np.random.default_rng(crc32(name.encode()))
    shared = {f"s{k}{kind}": _gene(kind, rng) for k, kind in enumerate(recipe.shared)}
    several = len(recipe.bases) > 1
    genes: dict[str, BaseDistribution] = {}
    conditions: dict[str, tuple[str, tuple[Any, ...]]] = {}
    models = [f"m{k}" for k in range(len(recipe.bases))]
    if several:
        genes["model"] = CategoricalDistribution(models)
    genes |= shared
    parts, floors = {}, {}
    good = int(rng.integers(len(models)))
    for k, (model, base) in enumerate(zip(models, recipe.bases, strict=True)):
        prefix = f"{model}_" if several else ""
        own = {f"{prefix}g{i}{kind}": _gene(kind, rng) for i, kind in enumerate(recipe.genes)}
        genes |= own
        if several:
            conditions |= dict.fromkeys(own, ("model", (model,)))
        parts[model] = _Part(base, {**shared, **own}, recipe, rng)
        floors[model] = 0.0 if k == good else float(rng.uniform(0.02, 0.2))
    scale = dict.fromkeys(models, 1.0)

    def loss(params: Params) -> float:
        model = params.get("model", models[0])
        return float(parts[model](params)) / scale[model] + floors[model]

    def typical(model: str, draws: np.random.Generator) -> float:
        drawn = [
            {n: from_unit(d, float(draws.random())) for n, d in genes.items()} | {"model": model}
            for _ in range(1000)
        ]
        return float(np.median([loss(params) for params in drawn]))

    draws = np.random.default_rng(crc32(name.encode()) + 1)
    # Models on one scale, so that the choice among them is one.
    found = {model: typical(model, draws) - floors[model] for model in models}
    scale.update(found)
    middle = float(np.median([typical(model, draws) for model in models]))

    def score(params: Params, rng: np.random.Generator) -> Scores:
        true = -loss(params)
        return true + recipe.noise * middle * float(rng.normal()) * bool(recipe.noise), true

    return Problem(name, genes, score, 0.0, -middle, conditions, recipe.noise > 0)
