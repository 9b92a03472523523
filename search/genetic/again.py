"""Which recipe to try once more, where noise hides which of the best is the best.

Every fifth trial may be a repeat. Which one is a matter of what the final choice is expected to
gain by it: the knowledge gradient with correlated beliefs (Frazier, Powell and Dayanik, "The
Knowledge-Gradient Policy for Correlated Normal Beliefs", INFORMS Journal on Computing 2009). The
choice is `search.expectation.recommend`'s, the highest expected value of all that was tried.

Why a share, and not whenever the gain is larger than a new recipe's: what a child promises is the
most of hundreds of guesses, which flatters it, and a sampler does not know when the search will
end. docs/search.md has both with their figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from optuna.trial import FrozenTrial
from scipy.special import ndtri

from .gaussian_process import Array, GaussianProcess
from .recipes import TriedRecipe, TriedRecipes

ANEW = "repeat"
"""Operator of a trial that tries a recipe once more; see `search.genetic.lineage`."""
FROM = 10
"""Recipes with a value before the first repeat."""
LEAST_NOISE = 0.02
"""Variance of the noise, by each plausible covariance, below which nothing is repeated.

Values have a variance of 1.
"""
RIVALS = 30
"""Recipes among which the final choice is made: the best by their expected value."""
REPEATABLE = 10
"""Of these so many may be repeated, as many as there are parents."""
SHARE = 5
"""At most one trial in so many is a repeat."""
LEAST_GAIN = 0.01
"""Least expected gain of a repeat, in standard deviations of the noise."""
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
    model: TriedRecipes, running: Sequence[FrozenTrial], places: Array
) -> TriedRecipe | None:
    """The recipe whose repeat gains the final choice the most, or None where none gains anything.

    Args:
        model: what is expected of the recipes tried.
        running: the trials that are running. One that repeats a recipe counts as if it had come
            to what is expected of it.
        places: genes of those that try something new, as rows, shape (k, genes); so do these.
    """
    tried, means = model.weighed, model.means()
    able = [i for i, r in enumerate(tried) if r.complete and r.feasible]
    if len(able) < FROM or min(m.noise for m in model.members) < LEAST_NOISE:
        return None
    rivals = sorted(able, key=lambda i: (-means[i], tried[i].numbers))[:RIVALS]
    under_way = Counter(map(repeat_of, running))
    pending = np.array([under_way[r.numbers[0]] for r in tried], dtype=np.float64)
    gains = np.zeros(min(REPEATABLE, len(rivals)))
    for member in model.members:
        data, kernel, noise = member.process.data, member.process.kernel, member.noise
        doubt = data.doubt * model.counts / (model.counts + pending)
        counted = GaussianProcess(replace(data, doubt=doubt), kernel).believing(places, noise)
        left = counted.uncertainty(rivals)
        for i in range(len(gains)):
            moved = left[:, i] / np.sqrt(left[i, i] + noise)
            gains[i] += member.weight * expected_gain(means[rivals], moved)
    best = int(np.argmax(gains))
    return tried[rivals[best]] if gains[best] >= LEAST_GAIN * np.sqrt(model.noise) else None


def expected_gain(means: Array, moved: Array) -> float:
    """How much higher the highest mean will be, on average over the outcomes of an evaluation.

    Args:
        means: shape (k,).
        moved: how far an outcome of one standard deviation moves each of them, shape (k,).
    """
    highest = (means[:, None] + moved[:, None] * OUTCOMES).max(axis=0)
    return float(highest.mean() - means.max())
