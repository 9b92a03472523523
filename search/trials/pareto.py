"""Several objectives: who dominates whom, fronts, crowding, and one number for a model.

Pure functions of values and directions. The sorting, the crowding distance and the selection
are DEAP's, those of NSGA-II (Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm:
NSGA-II", 2002); the hypervolume is moocore's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from random import Random

import numpy as np
from deap import base
from deap.tools.emo import assignCrowdingDist, sortLogNondominated
from optuna.trial import FrozenTrial, TrialState

from .marks import is_rerun, same_as

OTHERS = "others"
"""Trial attribute: what a trial's further objectives are expected to be, by its latest step."""

Values = Sequence[float]

RHO = 0.05
"""Weight of the sum in `scalarised`, as Knowles has it."""


class _Point:
    """What DEAP's selections work on: anything with a ``fitness``."""

    def __init__(self, index: int, values: Values, directions: Sequence[str]) -> None:
        self.index = index
        self.fitness = _kind(tuple(directions))(tuple(values))


@cache
def _kind(directions: tuple[str, ...]) -> type[base.Fitness]:
    """DEAP's fitness for ``directions``; a class of its own, since weights belong to a class."""
    weights = tuple(1.0 if d == "maximize" else -1.0 for d in directions)
    return type("Fitness", (base.Fitness,), {"weights": weights})


def _points(values: Sequence[Values], directions: Sequence[str]) -> list[_Point]:
    return [_Point(i, v, directions) for i, v in enumerate(values)]


def fronts(values: Sequence[Values], directions: Sequence[str]) -> list[list[int]]:
    """Indices of ``values`` by front, the nondominated first; ascending within a front.

    Args:
        values: finite, shape (n, objectives).
        directions: ``maximize`` or ``minimize``, one for each objective.
    """
    if not values:
        return []
    if len(directions) == 1:  # DEAP's sorting wants two objectives at least
        ranked: dict[float, list[int]] = {}
        for index in sorted(range(len(values)), key=lambda i: values[i][0]):
            ranked.setdefault(values[index][0], []).append(index)
        best_last = [sorted(front) for front in ranked.values()]
        return best_last[::-1] if directions[0] == "maximize" else best_last
    found = sortLogNondominated(_points(values, directions), len(values))
    return [sorted(point.index for point in front) for front in found if front]


def crowding(values: Sequence[Values], directions: Sequence[str]) -> list[float]:
    """The crowding distance of each of ``values`` within its own front; more is lonelier."""
    return _lonely(values, directions, fronts(values, directions))


def _lonely(
    values: Sequence[Values], directions: Sequence[str], found: Sequence[Sequence[int]]
) -> list[float]:
    points = _points(values, directions)
    for front in found:
        assignCrowdingDist([points[i] for i in front])
    return [float(point.fitness.crowding_dist) for point in points]


def order(values: Sequence[Values], directions: Sequence[str]) -> list[int]:
    """Indices of ``values``, the best first: by front, then the lonelier, then the earlier.

    So the first ``k`` are those that NSGA-II's survival selection keeps.
    """
    found = fronts(values, directions)
    lonely = _lonely(values, directions, found)
    return [index for front in found for index in sorted(front, key=lambda i: (-lonely[i], i))]


def weights(count: int, rng: Random) -> list[float]:
    """``count`` weights that add up to 1, drawn evenly from all such."""
    drawn = [-math.log(1.0 - rng.random()) for _ in range(count)]
    return [value / sum(drawn) for value in drawn]


def scalarised(
    values: Sequence[Values], directions: Sequence[str], by: Sequence[float]
) -> list[float]:
    """One number for each of ``values``, more is better: what a model of one objective learns.

    The augmented Chebyshev function of Knowles, "ParEGO: A Hybrid Algorithm with On-Line
    Landscape Approximation for Expensive Multiobjective Optimization Problems" (IEEE TEC 2006),
    equation 2: ``max_j(w_j l_j) + rho * sum_j(w_j l_j)`` over the losses ``l``, each scaled to
    [0, 1], with the sign turned. Every point of a front is the best one for some weights.

    Args:
        values: finite, shape (n, objectives).
        directions: ``maximize`` or ``minimize``, one for each objective.
        by: one weight for each objective, as from `weights`.
    """
    losses = _losses(values, directions)
    if not len(losses):
        return []
    low, high = losses.min(axis=0), losses.max(axis=0)
    weighted = (losses - low) / np.where(high > low, high - low, 1.0) * np.asarray(by)
    return [float(v) for v in -(weighted.max(axis=1) + RHO * weighted.sum(axis=1))]


def _losses(values: Sequence[Values], directions: Sequence[str]) -> np.ndarray:
    signs = np.array([-1.0 if d == "maximize" else 1.0 for d in directions])
    losses: np.ndarray = np.asarray(values, float).reshape(-1, len(signs)) * signs
    return losses


def hypervolume(values: Sequence[Values], directions: Sequence[str], reference: Values) -> float:
    """The volume that ``values`` dominate, up to ``reference`` (a point worse than they are).

    Args:
        values: finite, shape (n, objectives).
        directions: ``maximize`` or ``minimize``, one for each objective.
        reference: one value for each objective; what is worse than it counts for nothing.
    """
    import moocore

    if not len(values):
        return 0.0
    ends = _losses([reference], directions)[0]
    return float(moocore.hypervolume(_losses(values, directions), ref=ends))


def judged(trials: Sequence[FrozenTrial], directions: Sequence[str]) -> list[FrozenTrial]:
    """The complete trials with a finite value for each objective, without repeats and reruns."""
    return [
        t
        for t in trials
        if t.state == TrialState.COMPLETE
        and len(t.values or ()) == len(directions)
        and all(math.isfinite(v) for v in t.values)
        and same_as(t) is None
        and not is_rerun(t)
    ]


def front(trials: Sequence[FrozenTrial], directions: Sequence[str]) -> list[FrozenTrial]:
    """The complete trials that none dominates, the best in the first objective first.

    Of equals in the first the second decides, and so on; of equals in all the number.
    """
    complete = judged(trials, directions)
    if not complete:
        return []
    best = [complete[i] for i in fronts([t.values for t in complete], directions)[0]]
    signs = [-1.0 if d == "maximize" else 1.0 for d in directions]
    return sorted(
        best, key=lambda t: ([s * v for s, v in zip(signs, t.values, strict=True)], t.number)
    )


def others_of(trial: FrozenTrial) -> Sequence[float]:
    """A trial's further objectives: final where it is complete, else as it expects them."""
    if trial.state == TrialState.COMPLETE:
        return (trial.values or [])[1:]
    found = trial.user_attrs.get(OTHERS)
    return found if isinstance(found, list) else []


def rivalry(trial: FrozenTrial, directions: Sequence[str]) -> Callable[[FrozenTrial], bool]:
    """Whether a peer is at least as good as ``trial`` in every objective but the first.

    Where either says nothing about its further objectives, the first one decides alone.
    """
    own, signs = others_of(trial), [1 if d == "maximize" else -1 for d in directions[1:]]

    def rival(peer: FrozenTrial) -> bool:
        theirs = others_of(peer)
        if not len(own) == len(theirs) == len(signs):
            return True
        return all(s * a >= s * b for s, a, b in zip(signs, theirs, own, strict=True))

    return rival
