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
from dataclasses import dataclass, replace

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from .genetic.gaussian_process import Array, Data, GaussianProcess, one_thread
from .genetic.gaussian_process_fit import fitted
from .genetic.history import History
from .genetic.model import Features, Observation, scaled
from .genetic.operators import Layout
from .space.conditions import conditions
from .trials.marks import same_as, searched
from .trials.pausing import AsSampled
from .trials.summary import key_of, past

FEW = 5
"""Recipes with a value from which on the surrogate is asked; fewer are worth what was seen."""
WEIGHED = 400
"""Recipes that the process is conditioned on: half of them the best, the rest the latest."""
LEARNT_ON = 150
"""The same, for its lengths, amplitude and noise."""
ROUGH = 0.25
"""Share of what the process takes for noise that is taken for roughness of the true values.

Without repeats nobody can tell the two; see `_noise`.
"""
CREDENCE = 4.0
"""Repeats that weigh as much as the assumption `ROUGH`."""
FAR = 3.0
"""A recipe is out whose value lies further below the best than this many standard errors."""


def recommend(study: optuna.Study) -> FrozenTrial:
    """The complete trial of ``study`` with the highest expected value.

    The expected value is that of `expected`: repeats of the same parameters are averaged, and of
    each other and of their neighbours' values a Gaussian process makes what is to be expected.
    Where values have no noise it is the best trial. A trial that breaks a constraint is never
    recommended, nor one whose own value says that it is not the best.

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
    best = finalists(trials, 1, directions)
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
    found = {n: sign * r.expected for r in _recipes(known, sign, space) for n in r.numbers}
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
        numbers of complete trials, the highest expected value first. From three on, the best one
        as seen is among them, and from two on the best known-good point (user attribute
        ``point``); where one is not by its own value it takes a last place.

    Raises:
        ValueError: there are several objectives, or ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    known = list(trials)
    recipes = _recipes(known, _sign(directions), space)
    able = [r for r in recipes if r.complete and r.feasible]
    if not able:
        return []
    # What is far below the best is not the best, whatever its neighbours say.
    able.sort(key=lambda r: (r.far, -r.expected, -r.seen, r.numbers[0]))
    points = {t.number for t in known if t.user_attrs.get("point")}
    given = [r for r in able if points.intersection(r.numbers)]
    seen = max(able, key=lambda r: (max(r.values), -r.numbers[0]))
    musts = list({r.numbers: r for r in (*given[:1], seen) if r is not able[0]}.values())
    musts = musts[: count - 1]
    rest = [r for r in able[1:] if r not in musts][: count - 1 - len(musts)]
    chosen = sorted([able[0], *rest, *musts], key=able.index)
    return [recipe.numbers[0] for recipe in chosen]


@dataclass(frozen=True)
class _Recipe:
    """Trials with the same parameters, their values turned so that more is better.

    Args:
        numbers: of the trials, ascending.
        what: genes, the mean of the values, and the doubt of a stopped trial's.
        complete: whether the trials are.
        feasible: whether they keep to their constraints.
        values: of the trials.
        expected: of the true value.
        far: whether its own values say that it is not the best.
    """

    numbers: tuple[int, ...]
    what: Observation
    complete: bool
    feasible: bool
    values: tuple[float, ...]
    expected: float
    far: bool = False

    @property
    def seen(self) -> float:
        """The mean of the values."""
        return self.what.value


def _sign(directions: Sequence[str]) -> float:
    if len(directions) != 1:
        raise ValueError(
            f"{len(directions)} objectives ({', '.join(directions)}): no one value is expected; "
            "judge trials by their front (search.trials.pareto)"
        )
    return 1.0 if directions[0] == "maximize" else -1.0


def _recipes(
    trials: Sequence[FrozenTrial], sign: float, space: Mapping[str, BaseDistribution] | None
) -> list[_Recipe]:
    """All recipes with a value, by their first trial, and what is expected of them."""
    own = [t for t in searched(AsSampled()(trials, 1)) if same_as(t) is None]
    seen = past(own, StudyDirection.MAXIMIZE if sign > 0 else StudyDirection.MINIMIZE)
    history = History.of(seen, sys.maxsize, 0, seen.genes(sys.maxsize, space))
    recipes = _grouped(history)
    if len(recipes) < FEW or not history.layout.space:
        return recipes
    known = (t.params for t in history.learnt)
    features = Features(history.layout, conditions(known, history.layout.space, space))
    with one_thread():
        return _judged(recipes, features)


def _grouped(history: History) -> list[_Recipe]:
    """Trials with the same parameters as one; stopped ones each by itself."""
    trials = {t.number: t for t in (*history.learnt, *history.killed)}
    groups: dict[object, list[Observation]] = {}
    for one in history.observed([trials[n] for n in sorted(trials)]):
        trial = trials[one.number]
        if not math.isfinite(one.value):
            continue
        key: object = trial.number
        if trial.state == TrialState.COMPLETE:
            key = tuple(sorted((name, key_of(value)) for name, value in trial.params.items()))
        groups.setdefault(key, []).append(one)
    found = []
    for group in groups.values():
        values = [one.value for one in group]
        mean = math.fsum(value / len(values) for value in values)
        trial = trials[group[0].number]
        found.append(
            _Recipe(
                tuple(one.number for one in group),
                replace(group[0], value=mean),
                trial.state == TrialState.COMPLETE,
                all(v <= 0.0 for one in group for v in trials[one.number].constraints.values()),
                tuple(values),
                mean,
            )
        )
    return found


def _judged(recipes: list[_Recipe], features: Features) -> list[_Recipe]:
    """``recipes`` with what the surrogate expects of them.

    Failed trials have no say: where to look they tell, but of a recipe that did not fail nothing,
    and failures by chance would pass for noise.
    """
    chosen = _chosen(recipes, WEIGHED)
    seen = [r.what for r in chosen]
    values, unit = scaled(np.array([o.value for o in seen]))
    top = max(range(len(chosen)), key=lambda i: chosen[i].seen)
    middle = chosen[top].seen - unit * float(values[top])  # the best is at no floor
    raised = [r.seen < middle + unit * float(v - 1e-9) for r, v in zip(chosen, values, strict=True)]
    points = _points(features, seen)
    counts = np.array([len(r.numbers) for r in chosen], dtype=np.float64)
    doubt = np.array([min(o.doubt / unit, 2.0) ** 2 for o in seen])
    early = {r.numbers for r in _chosen(recipes, LEARNT_ON)}
    learnt = [i for i, r in enumerate(chosen) if r.numbers in early]
    told = Data(points[learnt], values[learnt], doubt[learnt], features.choice)
    belief = fitted(told)
    floor = float(values.min())
    scatter = sum(_scatter(r, middle, unit, floor) for r in recipes if r.complete)
    repeats = sum(len(r.numbers) - 1 for r in recipes if r.complete)
    known = {r.numbers for r in chosen}
    left = [r for r in recipes if r.numbers not in known]
    elsewhere = _points(features, [r.what for r in left])
    means, others, noise = np.zeros(len(seen)), np.zeros(len(left)), 0.0
    for kernel, weight in zip(belief.kernels, belief.weights, strict=True):
        error = _noise(kernel.noise, scatter, repeats)
        rough = max(kernel.noise - error, 0.0)
        data = Data(points, values, doubt + error / counts, features.choice)
        member = GaussianProcess(data, replace(kernel, noise=rough))
        means += weight * member.settled()
        if left:
            others += weight * member.predict(elsewhere)[0]
        noise += weight * error
    best = values[top]
    far = best - values > FAR * np.sqrt(noise * (1.0 / counts + 1.0 / counts[top]) + 1e-12)
    found = [
        replace(r, expected=r.seen if up else middle + unit * float(m), far=bool(f))
        for r, m, f, up in zip(chosen, means, far, raised, strict=True)
    ]
    found += [
        replace(r, expected=middle + unit * float(m), far=True)
        for r, m in zip(left, others, strict=True)
    ]
    return sorted(found, key=lambda r: r.numbers)


def _noise(unexplained: float, scatter: float, repeats: int) -> float:
    """Variance of one value's noise.

    A process cannot tell noise from a rough truth: both are what the neighbours do not explain. A
    share `ROUGH` of it is taken for truth, so that a value of one's own counts for more than the
    neighbours alone would have it. Repeats can tell: their variance, pooled over the recipes, is
    that of the noise. The two are averaged like two estimates of a variance, the first as if it
    came from `CREDENCE` repeats.

    Args:
        unexplained: variance that the process takes for noise.
        scatter: sum of squared distances of repeated values from their recipe's mean.
        repeats: how many values are repeats.
    """
    guess = (1.0 - ROUGH) * unexplained
    return (CREDENCE * guess + scatter) / (CREDENCE + repeats)


def _scatter(recipe: _Recipe, middle: float, unit: float, floor: float) -> float:
    """Sum of squared distances of a recipe's values from their mean, both no lower than the
    floor, standardised."""
    values = [max((value - middle) / unit, floor) for value in recipe.values]
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)


def _chosen(recipes: Sequence[_Recipe], limit: int) -> list[_Recipe]:
    """At most ``limit``, by their first trial: half of them the best, the rest the latest."""
    if len(recipes) <= limit:
        return list(recipes)
    best = sorted(recipes, key=lambda r: (-r.seen, r.numbers))[: limit // 2]
    known = {r.numbers for r in best}
    rest = [r for r in recipes if r.numbers not in known][len(best) - limit :]
    return sorted([*best, *rest], key=lambda r: r.numbers)


def _points(features: Features, seen: Sequence[Observation]) -> Array:
    layout: Layout = features.layout
    numbers = np.array([o.place[0] for o in seen], dtype=np.float64)
    classes = np.array([o.place[1] for o in seen], dtype=np.int64)
    return features.of(
        numbers.reshape(len(seen), len(layout.numeric)),
        classes.reshape(len(seen), len(layout.classes)),
    )
