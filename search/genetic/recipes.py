"""Trials as recipes: those with the same parameters are one, and their values tell the noise.

What a Gaussian process cannot explain by its genes is noise, or it is roughness: a part of the
truth that every repeat would show again. For what to try next the difference hardly matters. For
what is the best of all that was tried it does: a rough truth is best where it was seen best, a
noisy one where its neighbours are good too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.trial import TrialState

from search.trials.summary import key_of

from .gaussian_process import Array, Data, GaussianProcess
from .gaussian_process_fit import Belief, fitted
from .history import History
from .model import Features, Observation, scaled

WEIGHED = 400
"""Recipes that the process is conditioned on: half of them the best, the rest the latest."""
LEARNT_ON = 150
"""The same, for its lengths, amplitude and noise."""
ROUGHNESS = 0.25
"""Variance of the roughness, over that with which the genes predict a recipe left out.

Where neighbours settle a value the surface is resolved, and little is left for roughness; where
they hardly do, much of what looks like noise may be the surface.
"""
CREDENCE = 4.0
"""Repeats that weigh as much as what is assumed without them; see `noise_of`."""
AGREED = 3
"""So many repeats, all of which agree to the last digit, say that there is no noise."""


@dataclass(frozen=True)
class TriedRecipe:
    """Trials with the same parameters, their values turned so that more is better.

    Args:
        numbers: of the trials, ascending.
        what: genes, the mean of the values, and the doubt of a stopped trial's.
        complete: whether the trials are.
        feasible: whether they keep to their constraints.
        values: of the trials.
    """

    numbers: tuple[int, ...]
    what: Observation
    complete: bool
    feasible: bool
    values: tuple[float, ...]

    @property
    def seen(self) -> float:
        """The mean of the values."""
        return self.what.value


def key_of_params(params: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The same for parameters that are the same to an objective."""
    return tuple(sorted((name, key_of(value)) for name, value in params.items()))


def grouped(history: History) -> list[TriedRecipe]:
    """The recipes with a finite value, by their first trial; stopped trials each by itself."""
    trials = {t.number: t for t in (*history.learnt, *history.killed)}
    groups: dict[object, list[Observation]] = {}
    for one in history.observed([trials[n] for n in sorted(trials)]):
        trial = trials[one.number]
        if not math.isfinite(one.value):
            continue
        complete = trial.state == TrialState.COMPLETE
        key: object = key_of_params(trial.params) if complete else trial.number
        groups.setdefault(key, []).append(one)
    found = []
    for group in groups.values():
        values = [one.value for one in group]
        mean = math.fsum(value / len(values) for value in values)
        found.append(
            TriedRecipe(
                tuple(one.number for one in group),
                replace(group[0], value=mean),
                trials[group[0].number].state == TrialState.COMPLETE,
                all(v <= 0.0 for one in group for v in trials[one.number].constraints.values()),
                tuple(values),
            )
        )
    return found


def chosen(recipes: Sequence[TriedRecipe], limit: int) -> list[TriedRecipe]:
    """At most ``limit``, by their first trial: half of them the best, the rest the latest."""
    if len(recipes) <= limit:
        return list(recipes)
    best = sorted(recipes, key=lambda r: (-r.seen, r.numbers))[: limit // 2]
    known = {r.numbers for r in best}
    rest = [r for r in recipes if r.numbers not in known][len(best) - limit :]
    return sorted([*best, *rest], key=lambda r: r.numbers)


def noise_of(unexplained: float, unresolved: float, scatter: float, repeats: int) -> float:
    """Variance of one value's noise.

    Of the variance ``unexplained`` a part is roughness. Without repeats it is what falls to it if
    the roughness is expected to have `ROUGHNESS` of the variance ``unresolved``: nearly all where
    much is unresolved and little unexplained, little where it is the other way round. Repeats can
    tell: their variance, pooled over the recipes, is that of the noise. The two are averaged like
    two estimates of a variance, the first as if it came from `CREDENCE` repeats. `AGREED`
    repeats, all of which agree to the last digit, leave no noise.

    Args:
        unexplained: variance that the process takes for noise.
        unresolved: with which it predicts a recipe by the others, the mean over recipes.
        scatter: sum of squared distances of repeated values from their recipe's mean.
        repeats: how many values are repeats.
    """
    if repeats >= AGREED and scatter == 0.0:
        return 0.0
    guess = unexplained * unexplained / (unexplained + ROUGHNESS * unresolved)
    return (CREDENCE * guess + scatter) / (CREDENCE + repeats)


@dataclass(frozen=True)
class Member:
    """One covariance of the mixture: its process over the recipes.

    Args:
        weight: of the member.
        process: its kernel's noise is the roughness, the data's doubt the error of each mean.
        noise: variance of one value's noise.
    """

    weight: float
    process: GaussianProcess
    noise: float


class TriedRecipes:
    """The surrogate over recipes that have a value: what is to be expected of each.

    Failed trials have no say: where to look they tell, but of a recipe that did not fail nothing,
    and failures by chance would pass for noise.

    Args:
        recipes: at least one, as `grouped` gives them.
        features: how genes become rows.
        belief: covariances fitted already, where there are some.
        limit: most that it is conditioned on.

    Attributes:
        weighed: the recipes that it is conditioned on.
        counts: of their values, shape (recipes,).
        values: their standardised means, the worst raised to the floor, shape (recipes,).
        raised: which of them were, shape (recipes,).
        members: the mixture.
        noise: variance of one value's noise, the mean over the mixture.
    """

    def __init__(
        self,
        recipes: Sequence[TriedRecipe],
        features: Features,
        belief: Belief | None = None,
        limit: int = WEIGHED,
    ) -> None:
        self._features = features
        self.weighed = chosen(recipes, limit)
        seen = np.array([r.seen for r in self.weighed])
        self.values, self._unit = scaled(seen)
        top = int(np.argmax(seen))
        # The best is at no floor, so it tells where 0 is.
        self._middle = float(seen[top]) - self._unit * float(self.values[top])
        self.raised = (seen - self._middle) / self._unit < self.values - 1e-9
        self.counts = np.array([len(r.values) for r in self.weighed], dtype=np.float64)
        complete = [r for r in recipes if r.complete]
        scatter = sum(self._scatter(r) for r in complete)
        repeats = sum(len(r.values) - 1 for r in complete)
        points = self.points(self.weighed)
        doubt = np.array([min(r.what.doubt / self._unit, 2.0) ** 2 for r in self.weighed])
        self.members = []
        early = {r.numbers for r in chosen(self.weighed, LEARNT_ON)}
        of = [i for i, r in enumerate(self.weighed) if r.numbers in early]
        told = Data(points[of], self.values[of], doubt[of], features.choice)
        belief = belief or fitted(told)
        for kernel, weight in zip(belief.kernels, belief.weights.tolist(), strict=True):
            unresolved = float(GaussianProcess(told, kernel).left_out().mean())
            noise = noise_of(kernel.noise, unresolved, scatter, repeats)
            data = Data(points, self.values, doubt + noise / self.counts, features.choice)
            rough = replace(kernel, noise=max(kernel.noise - noise, 0.0))
            self.members.append(Member(weight, GaussianProcess(data, rough), noise))
        self.noise = sum(m.weight * m.noise for m in self.members)

    def _scatter(self, recipe: TriedRecipe) -> float:
        """Sum of squared distances of the values from their mean, none below the floor."""
        floor = float(self.values.min())
        values = [max((v - self._middle) / self._unit, floor) for v in recipe.values]
        mean = sum(values) / len(values)
        return 0.0 if min(values) == max(values) else sum((v - mean) ** 2 for v in values)

    def points(self, recipes: Sequence[TriedRecipe]) -> Array:
        """Their genes as rows, shape (recipes, genes)."""
        layout = self._features.layout
        numbers = np.array([r.what.place[0] for r in recipes], dtype=np.float64)
        classes = np.array([r.what.place[1] for r in recipes], dtype=np.int64)
        return self._features.of(
            numbers.reshape(len(recipes), len(layout.numeric)),
            classes.reshape(len(recipes), len(layout.classes)),
        )

    def means(self) -> Array:
        """Expected standardised true values of the weighed recipes, shape (recipes,)."""
        found: Array = np.sum([m.weight * m.process.settled() for m in self.members], axis=0)
        return found

    def elsewhere(self, recipes: Sequence[TriedRecipe]) -> Array:
        """The same of further recipes, by their genes alone."""
        points = self.points(recipes)
        parts = [m.weight * m.process.predict(points)[0] for m in self.members]
        return np.asarray(np.sum(parts, axis=0), np.float64)

    def unscaled(self, value: float) -> float:
        """A standardised value in the values' own units."""
        return self._middle + self._unit * value
