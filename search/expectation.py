"""The trial that is expected to be the best, which is seldom the one that was seen best.

Where values are noisy, the highest of a hundred is the luckiest of the good ones. The surrogate of
`search.genetic` says of each recipe what its neighbours lead one to expect, and repeats of a recipe
say so themselves; `recommend` chooses by both, for the trials of any Optuna study.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from .genetic.gaussian_process import one_thread
from .genetic.history import History
from .genetic.model import Features
from .genetic.recipes import CREDENCE, TriedRecipe, TriedRecipes, grouped
from .space.conditions import conditions
from .study_config import STUDY_CONFIG
from .trials.marks import same_as, searched, unmarked
from .trials.pausing import without_pauses
from .trials.summary import past

FEW = 5
"""Recipes with a value from which on the surrogate is asked; fewer are worth what was seen."""
FAR = 3.0
"""A recipe is out whose value lies further below the best than this many standard errors."""


def recommend(study: optuna.Study) -> FrozenTrial:
    """The complete trial of ``study`` with the highest expected value.

    The expected value is that of `expected`: repeats of the same parameters are averaged, and of
    each other and of their neighbours' values a Gaussian process makes what is to be expected. The
    best of many such guesses flatters, the more so the less each is known, so that a standard error
    of its own values is taken off each: a recipe that was repeated is preferred to one of which a
    single value says as much. Where values have no noise it is the best trial. A trial that breaks
    a constraint is never recommended, nor one whose own value says that it is not the best.

    Args:
        study: of any sampler and storage, with one objective.

    Returns:
        A copy of the trial; of trials with the same parameters the first.

    Raises:
        ValueError: the study has several objectives, or no complete trial with a finite value
            that keeps to the constraints.
    """
    trials = study.get_trials(deepcopy=False)
    directions = tuple(direction.name.lower() for direction in study.directions)
    if len(directions) != 1:
        raise ValueError(
            f"study {study.study_name!r} has {len(directions)} objectives, so that no one trial is "
            "the best; choose among study.best_trials"
        )
    marked = trials if STUDY_CONFIG in study.user_attrs else unmarked(trials)
    best = finalists(marked, 1, directions)
    if not best:
        complete = [t for t in trials if t.state == TrialState.COMPLETE]
        why = "no complete trial"
        if complete:
            why = f"{len(complete)} complete trials, but none with a finite value that is feasible"
        raise ValueError(
            f"study {study.study_name!r} has {why} ({len(trials)} trials); run more before you "
            "ask for the best"
        )
    return copy.deepcopy(next(t for t in trials if t.number == best[0]))


def expected(
    trials: Iterable[FrozenTrial],
    directions: Sequence[str] = ("maximize",),
    space: Mapping[str, BaseDistribution] | None = None,
) -> dict[int, float]:
    """What is expected of each trial's recipe, in units of the value.

    Complete trials with a finite value, and stopped ones whose end can be estimated
    (`search.trials.estimates`); reruns are left out, paused trials count as stopped. Below
    `FEW` recipes, and where no gene is searched, it is the mean of what was seen, as it is for
    what lies so deep that the surrogate only knows it to be bad (`search.genetic.model.FLOOR`).

    Args:
        trials: all of the study's.
        directions: of the one objective: ``("maximize",)`` or ``("minimize",)``.
        space: the genes, where they are known, as `search.space.SearchSpace.distributions` returns
            them; by default those of the trials.

    Returns:
        by number of the trial.

    Raises:
        ValueError: there are several objectives.
    """
    known = list(trials)
    sign = _sign(directions)
    judged = _judged(known, sign, space)
    found = {n: sign * j.expected for j in judged for n in j.recipe.numbers}
    for trial in known:
        source = same_as(trial)
        if source is not None and source in found and trial.values:
            found[trial.number] = found[source]
    return dict(sorted(found.items()))


def finalists(
    trials: Iterable[FrozenTrial],
    count: int,
    directions: Sequence[str] = ("maximize",),
    space: Mapping[str, BaseDistribution] | None = None,
) -> list[int]:
    """The recipes that may be the best, each by the number of its first complete trial.

    Args:
        trials: all of the study's.
        count: how many at most.
        directions: of the one objective: ``("maximize",)`` or ``("minimize",)``.
        space: as in `expected`.

    Returns:
        numbers of complete trials, the highest expected value, less its error, first. From three
        on, the best one as seen is among them, and from two on the best known-good point (user
        attribute ``point``); where one is not by its own value it takes a last place.

    Raises:
        ValueError: there are several objectives, or ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    known = list(trials)
    able = [
        j
        for j in _judged(known, _sign(directions), space)
        if j.recipe.complete and j.recipe.feasible
    ]
    if not able:
        return []
    # What is far below the best is not the best, whatever its neighbours say.
    able.sort(key=lambda j: (j.far, j.error - j.expected, -j.recipe.seen, j.first))
    points = {t.number for t in known if t.user_attrs.get("point")}
    given = [j for j in able if points.intersection(j.recipe.numbers)]
    seen = max(able, key=lambda j: (max(j.recipe.values), -j.first))
    musts = {j.first for j in (*given[:1], seen) if j is not able[0]}
    if len(musts) > count - 1:
        musts = {j.first for j in given[: count - 1]}
    rest = [j.first for j in able[1:] if j.first not in musts][: count - 1 - len(musts)]
    chosen = {able[0].first, *rest, *musts}
    return [j.first for j in able if j.first in chosen]


class _Judged(NamedTuple):
    """A recipe, what is expected of it, whether its own values say that it is not the best, and
    the standard error of their mean."""

    recipe: TriedRecipe
    expected: float
    far: bool = False
    error: float = 0.0

    @property
    def first(self) -> int:
        """Its first trial."""
        return self.recipe.numbers[0]


def _sign(directions: Sequence[str]) -> float:
    if len(directions) != 1:
        raise ValueError(
            f"{len(directions)} objectives ({', '.join(directions)}): no one value is expected; "
            "judge trials by their front (search.trials.pareto)"
        )
    return 1.0 if directions[0] == "maximize" else -1.0


def _judged(
    trials: Sequence[FrozenTrial], sign: float, space: Mapping[str, BaseDistribution] | None
) -> list[_Judged]:
    """All recipes with a value, by their first trial."""
    own = [t for t in without_pauses(searched(trials)) if same_as(t) is None]
    past_ = past(own, StudyDirection.MAXIMIZE if sign > 0 else StudyDirection.MINIMIZE)
    history = History.of(past_, sys.maxsize, 0, past_.genes(sys.maxsize, space))
    recipes = grouped(history)
    if len(recipes) < FEW or not history.layout.space:
        return [_Judged(recipe, recipe.seen) for recipe in recipes]
    known = (t.params for t in history.learnt)
    features = Features(history.layout, conditions(known, history.layout.space, space))
    with one_thread():
        return _by_surrogate(recipes, features)


def _by_surrogate(recipes: Sequence[TriedRecipe], features: Features) -> list[_Judged]:
    model = TriedRecipes(recipes, features)
    top = int(np.argmax(model.values))
    error = np.sqrt(model.noise * (1.0 / model.counts + 1.0 / model.counts[top]) + 1e-12)
    far = model.values[top] - model.values > FAR * error
    one = model.unscaled(math.sqrt(model.noise)) - model.unscaled(0.0)
    found = [
        _Judged(
            recipe,
            recipe.seen if raised else _with_repeats(recipe, model.unscaled(float(mean))),
            bool(out),
            one / math.sqrt(len(recipe.values)),
        )
        for recipe, raised, mean, out in zip(
            model.weighed, model.raised, model.means(), far, strict=True
        )
    ]
    known = {recipe.numbers for recipe in model.weighed}
    left = [recipe for recipe in recipes if recipe.numbers not in known]
    if left:  # of a long history
        means = model.elsewhere(left)
        found += [
            _Judged(r, model.unscaled(float(m)), True, one)
            for r, m in zip(left, means, strict=True)
        ]
    return sorted(found, key=lambda j: j.first)


def _with_repeats(recipe: TriedRecipe, guess: float) -> float:
    """What the surrogate expects, drawn to the recipe's own mean by its repeats.

    A smooth surrogate takes what is peculiar to a recipe for noise. Repeats show it again, so they
    speak for themselves.
    """
    weight = (len(recipe.values) - 1) / CREDENCE
    return (guess + weight * recipe.seen) / (1 + weight)
