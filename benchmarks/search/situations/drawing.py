"""What a user has beside a problem, drawn from the problem itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution

from benchmarks.search.problem import Params, Problem
from search.space.unit import from_unit, to_unit

Drawn = dict[str, Any]
Rng = np.random.Generator

POINTS = 5
"""Known-good points of a search."""
BY_HAND = 20
"""The good recipe is the best of so many random ones, as of some weeks of trying by hand."""
LOOKED_OVER = 200
"""Random recipes of which the best tenth looks good."""
NEIGHBOURS = 20
"""Recipes around one that tell how good its region is."""
NEAR = 0.1
"""Standard deviation of a neighbour's numbers in the unit interval; its choices are other ones
with this probability."""
FAILING = 0.15
"""Share of random recipes that fail."""
SPARED = 0.05
"""Share of random recipes, the best, of which none may fail."""


def copies(problem: Problem, rng: Rng) -> list[Drawn]:
    """One good recipe, and near copies of it: one gene is another, none that switches others on."""
    drawn = [problem.random(rng) for _ in range(BY_HAND)]
    good = max(drawn, key=lambda params: problem.evaluate(params, rng)[1])
    switches = {parent for parent, _ in problem.conditions.values()}
    genes = [name for name in problem.active(good) if name not in switches]
    found = [good]
    while len(found) < POINTS:
        name = str(rng.choice(genes))
        other = {**good, name: problem.random(rng)[name]}
        if other not in found:
            found.append(other)
    return found


def misleading(problem: Problem, rng: Rng) -> list[Drawn]:
    """A recipe that looks good in a poor region, and those around it that look best.

    It was observed among the best tenth of random ones, and of these it has the poorest around it.
    """

    def look(params: Drawn) -> float:
        return problem.evaluate(params, rng)[0]

    drawn = [problem.random(rng) for _ in range(LOOKED_OVER)]
    good = sorted(drawn, key=look)[-LOOKED_OVER // 10 :]
    around = [[neighbour(problem, params, rng) for _ in range(NEIGHBOURS)] for params in good]
    worth = [np.mean([problem.evaluate(near, rng)[1] for near in nears]) for nears in around]
    poorest = int(np.argmin(worth))
    found = [good[poorest]]
    for near in sorted(around[poorest], key=look, reverse=True):
        others = [problem.active(params) for params in found]
        if len(found) < POINTS and problem.active(near) not in others:
            found.append(near)
    return found


def neighbour(problem: Problem, params: Drawn, rng: Rng) -> Drawn:
    """A recipe near ``params``, which have all genes; see `NEAR`."""
    found = {}
    for name, dist in problem.distributions.items():
        if isinstance(dist, CategoricalDistribution):
            other = rng.random() < NEAR
            found[name] = from_unit(dist, rng.random()) if other else params[name]
        else:
            unit = to_unit(dist, params[name]) + NEAR * rng.normal()
            found[name] = from_unit(dist, float(np.clip(unit, 0.0, 1.0)))
    return found


def failing(problem: Problem, rng: Rng) -> Callable[[Params], bool]:
    """Which recipes run out of memory: those beyond a line through two genes.

    The genes are numbers that every recipe has, the line leaves `FAILING` of the random recipes
    beyond it. Of many it is that beyond which the fewest of the best lie, so that there is as much
    to be found as without failures.
    """
    numbers = {
        name: dist
        for name, dist in problem.distributions.items()
        if name not in problem.conditions and not isinstance(dist, CategoricalDistribution)
    }
    drawn = [problem.random(rng) for _ in range(500)]
    true = [problem.evaluate(params, rng)[1] for params in drawn]
    best = np.argsort(true)[-int(SPARED * len(drawn)) :]
    lines: list[tuple[int, int, dict[str, float], float]] = []
    for _ in range(50):
        chosen = rng.choice(list(numbers), min(2, len(numbers)), replace=False).tolist()
        slopes = dict(zip(chosen, rng.choice([-1.0, 1.0], len(chosen)).tolist(), strict=True))
        sizes = np.array([_size(problem, slopes, params) for params in drawn])
        limit = float(np.quantile(sizes, 1 - FAILING))
        lines.append((int((sizes[best] > limit).sum()), len(lines), slopes, limit))
    _, _, slopes, limit = min(lines, key=lambda line: line[:2])
    return lambda params: _size(problem, slopes, params) > limit


def _size(problem: Problem, slopes: dict[str, float], params: Params) -> float:
    dists = problem.distributions
    return sum(slope * to_unit(dists[name], params[name]) for name, slope in slopes.items())


def spread(problem: Problem, rng: Rng) -> float:
    """Standard deviation of the true scores of the best tenth of 200 random recipes."""
    true = [problem.evaluate(problem.random(rng), rng)[1] for _ in range(LOOKED_OVER)]
    return float(np.std(sorted(true)[-LOOKED_OVER // 10 :]))
