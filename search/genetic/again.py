"""Whether to try a recipe once more: where that tells more about the best than a new one would.

An evaluation is worth what the final choice is expected to gain by it: the knowledge gradient with
correlated beliefs (Frazier, Powell and Dayanik, "The Knowledge-Gradient Policy for Correlated
Normal Beliefs", INFORMS Journal on Computing 2009). The choice is `search.expectation.recommend`'s,
the highest expected value of all that was tried; the gain is reckoned alike for a repeat of each
finalist and for the child that would else be tried, and the larger one wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from optuna.trial import FrozenTrial
from scipy.special import ndtri

from .gaussian_process import Array, Data, GaussianProcess
from .recipes import TriedRecipe, TriedRecipes

ANEW = "repeat"
"""Operator of a trial that tries a recipe once more; see `search.genetic.lineage`."""
FROM = 10
"""Recipes with a value before the first repeat."""
LEAST_NOISE = 0.02
"""Variance of the noise below which nothing is repeated; values have a variance of 1."""
RIVALS = 30
"""Recipes among which the final choice is made: the best by their expected value."""
REPEATABLE = 10
"""Of these so many may be repeated, as many as there are parents."""
SHARE = 3
"""At most one trial in so many is a repeat."""
OUTCOMES = ndtri((np.arange(101) + 0.5) / 101)
"""Outcomes of an evaluation, equally likely, in standard deviations."""


def repeat_of(trial: FrozenTrial) -> int | None:
    """The first trial of the recipe that ``trial`` tries once more; None where it is a new one."""
    stored = trial.user_attrs.get("lineage")
    if not isinstance(stored, Mapping) or stored.get("operator") != ANEW:
        return None
    parents = stored.get("parents")
    first = parents[0] if isinstance(parents, list) and parents else None
    return first if type(first) is int else None


def worth_repeating(
    model: TriedRecipes, running: Sequence[FrozenTrial], places: Array, child: Array
) -> TriedRecipe | None:
    """The recipe whose repeat is worth more than ``child``, or None.

    Args:
        model: what is expected of the recipes tried.
        running: the trials that are running. One that repeats a recipe counts as if it had come
            to what is expected of it.
        places: genes of those that try something new, as rows, shape (k, genes).
        child: genes of what would be tried else, shape (1, genes).
    """
    weighed = model.weighed
    if model.noise < LEAST_NOISE:
        return None
    means = model.means()
    able = [i for i, r in enumerate(weighed) if r.complete and r.feasible]
    able.sort(key=lambda i: (-means[i], weighed[i].numbers))
    rivals = able[:RIVALS]
    if len(able) < FROM:
        return None
    under_way = Counter(map(repeat_of, running))
    pending = np.array([under_way[r.numbers[0]] for r in weighed], dtype=np.float64)
    gains = np.zeros(min(REPEATABLE, len(rivals)))
    new = 0.0
    for member in model.members:
        data, noise = member.process.data, member.noise
        more = data.doubt * model.counts / (model.counts + pending)
        process = GaussianProcess(
            Data(data.points, data.values, more, data.choice), member.process.kernel
        )
        process = process.believing(places, noise)
        joint = process.uncertainty(rivals)
        mean, variance, shared = process.beside(child, rivals)
        level = means[rivals]
        for i in range(len(gains)):
            moved = joint[:, i] / np.sqrt(joint[i, i] + noise)
            gains[i] += member.weight * _gain(level, moved, level[0])
        moved = np.append(shared, variance) / np.sqrt(variance + noise)
        new += member.weight * _gain(np.append(level, mean), moved, level[0])
    best = int(np.argmax(gains))
    return weighed[rivals[best]] if gains[best] > new else None


def _gain(means: Array, moved: Array, now: float) -> float:
    """How much more the highest mean will be than ``now``, on average over the outcomes.

    Args:
        means: of the recipes, shape (k,).
        moved: how far an outcome of one standard deviation moves each of them, shape (k,).
        now: the highest of those that could be chosen already.
    """
    return float((means[:, None] + moved[:, None] * OUTCOMES).max(axis=0).mean() - now)
