"""What a genetic algorithm expects of offspring that were not tried: its surrogate.

The surrogate is a mixture of Gaussian processes over the finished trials. It judges in three ways:
which of the trials are the best parents, by their expected value and not by their lucky
one; which of many offspring promises most, by the expected improvement; and what the
running trials will come to, so that parallel workers don't propose the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution, IntDistribution
from scipy.spatial.distance import cdist
from scipy.special import log_ndtr

from search.space.conditions import Condition
from search.space.unit import levels

from .gaussian_process import Array, Data, GaussianProcess
from .gaussian_process_fit import Belief
from .operators import Layout

Indices = NDArray[np.int64]
Place = tuple[Sequence[float], Sequence[int]]
"""Genes as (numbers in [0, 1], choices by index)."""

LOOKED_AT = 150
"""Trials that the surrogate is conditioned on: half of them the best, the rest the latest."""
FINE = 10**9
"""More levels than this are as good as a continuous range."""
RUNNING_BELIEVED = 64
"""Running trials that count all together, the latest; see `Model`."""
FAILURES = 40
"""Failed trials beside them, the latest."""
FITTED_ON = 100
"""The same, for its lengths, amplitude and noise."""
GROWTH = 1.1
"""The covariances are fitted anew when the number of trials has grown by this factor."""
AMBITIONS = (0.0, 0.1)
"""Improvements looked for, in standard deviations of the values, by one ask after the other.

Without the second a search can spend dozens of trials on the last digits of one recipe.
"""
FLOOR = 2.0
"""Values further below the median than this many times the best one's lead count as that far.

A diverged training says where not to look; how badly it diverged says nothing.
"""


@dataclass(frozen=True)
class Observation:
    """A finished trial as the surrogate sees it.

    Args:
        number: of the trial.
        place: its genes.
        value: final or estimated, the higher the better; NaN for a failed trial.
        doubt: standard deviation of ``value`` beyond the noise of a complete trial.
    """

    number: int
    place: Place
    value: float
    doubt: float


class Features:
    """Genes as rows of a matrix: numbers on the level they decode to, genes that are off blanked.

    Args:
        layout: the genes.
        rules: which genes switch others on.
    """

    def __init__(self, layout: Layout, rules: Mapping[str, Condition]) -> None:
        self.layout = layout
        names = [*layout.numeric, *layout.classes]
        self.choice = np.array([n in set(layout.classes) for n in names])
        self._rules = [
            (names.index(gene), names.index(part.parent), _marks(layout, part))
            for gene, rule in rules.items()
            for part in rule.parts
            if part.parent in layout.space
        ]
        """Gene, parent and its values; a gene with several conditions stands here for each."""
        lost = [g for g, r in rules.items() if any(p.parent not in layout.space for p in r.parts)]
        self._never = [names.index(gene) for gene in lost]

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of the genes and of which of them switch others on."""
        rules = sorted((gene, parent, marks.tolist()) for gene, parent, marks in self._rules)
        genes = [(name, repr(dist)) for name, dist in sorted(self.layout.space.items())]
        text = repr((genes, rules, sorted(self._never)))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def of(self, numbers: Array, classes: Indices) -> Array:
        """Rows, shape (n, genes), of numbers (n, numeric genes) and choices (n, choices)."""
        snapped = [
            snap(self.layout.space[name], column)
            for name, column in zip(self.layout.numeric, numbers.T, strict=True)
        ]
        rows = np.column_stack([*snapped, classes.astype(np.float64)])
        return np.where(self.off(rows), np.where(self.choice, -1.0, 0.5), rows)

    def off(self, rows: Array) -> NDArray[np.bool_]:
        """Which genes are switched off in ``rows``, blanked or not, shape (n, genes)."""
        off = np.zeros(rows.shape, dtype=np.bool_)
        off[:, self._never] = True
        for gene, parent, marks in self._rules:
            on = np.isclose(rows[:, parent, None], marks[None, :], atol=1e-9).any(axis=1)
            off[:, gene] |= off[:, parent] | ~on
        return off

    def rows(self, places: Sequence[Place]) -> Array:
        """Genes as rows, shape (n, genes)."""
        numbers = np.array([p[0] for p in places], dtype=np.float64)
        classes = np.array([p[1] for p in places], dtype=np.int64)
        return self.of(
            numbers.reshape(len(places), len(self.layout.numeric)),
            classes.reshape(len(places), len(self.layout.classes)),
        )

    def data(self, seen: Sequence[Observation]) -> Data:
        """What a process is told of ``seen``, at least one of which has a value."""
        values, unit = scaled(np.array([o.value for o in seen]))
        doubt = np.array([min(o.doubt / unit, 2.0) ** 2 for o in seen])
        return Data(self.rows([o.place for o in seen]), values, doubt, self.choice)


def _marks(layout: Layout, rule: Condition) -> Array:
    """The values of a rule as they stand in a row."""
    encoded = [layout.place(rule.parent, value) for value in rule.values]
    return np.array(sorted(encoded))


def snap(dist: Any, units: Array) -> Array:
    """``units`` moved to the middle of the level that they decode to; see `search.space.unit`."""
    count = levels(dist)
    if count is None or count > FINE:
        return units
    if isinstance(dist, FloatDistribution | IntDistribution) and dist.log:
        low, high = math.log(dist.low - 0.5), math.log(dist.high + 0.5)
        values = np.clip(np.round(np.exp(low + units * (high - low))), dist.low, dist.high)
        placed: Array = (np.log(values) - low) / (high - low)
        return placed
    return (np.minimum((units * count).astype(np.int64), count - 1) + 0.5) / count


def milestone(count: int) -> int:
    """The last number of trials, up to ``count``, at which the lengths are fitted."""
    at = 2
    while (after := max(at + 1, int(at * GROWTH))) <= count:
        at = after
    return min(at, count)


def scaled(values: Array) -> tuple[Array, float]:
    """Values with mean 0 and variance 1, and the unit they are in.

    The worst are raised to the floor first, failures with them.
    """
    finite = values[np.isfinite(values)]
    # A power of two: nothing overflows, and no digit changes.
    largest = math.ldexp(1.0, min(math.frexp(float(np.abs(finite).max()))[1], 1023))
    values, finite = values / largest, finite / largest
    middle = float(np.median(finite))
    floor = middle - FLOOR * max(float(finite.max()) - middle, 1e-12)
    raised = np.where(np.isfinite(values), np.maximum(values, floor), floor)
    raised = np.maximum(raised, finite.min())
    unit = float(raised.std())
    if unit < 1e-12:  # all the same but for rounding
        return np.zeros(len(values)), 1.0
    return (raised - raised.mean()) / unit, unit * largest


def log_expected_improvement(mean: Array, sd: Array, over: float) -> Array:
    """Logarithm of the expected improvement over ``over``, also where it underflows.

    Jones et al., "Efficient Global Optimization of Expensive Black-Box Functions" (1998),
    equation 15; the asymptote as in Ament et al., "Unexpected Improvements to Expected
    Improvement for Bayesian Optimization" (2023).
    """
    z = (mean - over) / sd
    near = np.maximum(z, -25.0)
    density = np.exp(-0.5 * near**2) / math.sqrt(2 * math.pi)
    direct = np.log(np.maximum(density + near * np.exp(log_ndtr(near)), 1e-300))
    far = -0.5 * z**2 - 2.0 * np.log(np.maximum(-z, 1.0)) - 0.5 * math.log(2 * math.pi)
    found: Array = np.log(sd) + np.where(z > -25.0, direct, far)
    return found


class Model:
    """The surrogate of one ask.

    Args:
        features: how genes become rows.
        belief: the covariances that the trials leave plausible.
        seen: finished trials to expect values from, at least one with a value.
        running: genes of the trials that are running, by number. The latest
            `RUNNING_BELIEVED` are believed to come to what is expected of them, all together; of
            those before them a candidate knows the one that lies nearest.
        number: the trial that asks.
    """

    def __init__(
        self,
        features: Features,
        belief: Belief,
        seen: Sequence[Observation],
        running: Sequence[Place],
        number: int,
    ) -> None:
        self._features = features
        self.belief = belief
        data = features.data(seen)
        members = [GaussianProcess(data, kernel) for kernel in belief.kernels]
        means = np.array([member.expected() for member in members])
        self.expected = {
            o.number: float(m) for o, m in zip(seen, belief.weights @ means, strict=True)
        }
        """Expected standardised value of each trial seen, by number."""
        self._goals = means.max(axis=1) + AMBITIONS[number % len(AMBITIONS)]
        self._weights = np.log(belief.weights)
        places = features.rows(running)
        self._members = [member.believing(places[-RUNNING_BELIEVED:]) for member in members]
        self._older = places[:-RUNNING_BELIEVED]

    def rows(self, places: Sequence[Place]) -> Array:
        """Genes as rows, shape (n, genes)."""
        return self._features.rows(places)

    def promise(self, rows: Array) -> Array:
        """Log expected improvement over the best trial's expected value, shape (n,).

        The mean over the members of the mixture.
        """
        apart = self._members[0].data.gaps(rows)
        near = self._nearest(rows) if len(self._older) else None
        found = np.full(len(rows), -np.inf)
        for member, weight, goal in zip(self._members, self._weights, self._goals, strict=True):
            if near is None:
                mean, sd = member.predict(rows, apart)
            else:
                mean, sd = member.predict_beside(rows, self._older, near, apart)
            improvement = log_expected_improvement(mean, sd, float(goal))
            found = np.logaddexp(found, weight + improvement)
        return found

    def optimism(self, rows: Array) -> Array:
        """What may be hoped for at ``rows``: a standard deviation above the mean, shape (n,)."""
        apart = self._members[0].data.gaps(rows)
        pairs = [member.predict(rows, apart) for member in self._members]
        found: Array = np.exp(self._weights) @ np.array([mean + sd for mean, sd in pairs])
        return found

    def _nearest(self, rows: Array) -> Indices:
        """The older running trial that lies nearest to each row, by the most plausible lengths."""
        choice, older = self._features.choice, self._older
        scales = 1.0 / self.belief.kernels[int(np.argmax(self.belief.weights))].lengths
        apart = cdist(rows[:, ~choice] * scales[~choice], older[:, ~choice] * scales[~choice])
        apart *= apart
        for gene in np.flatnonzero(choice):
            apart += scales[gene] ** 2 * (rows[:, gene, None] != older[None, :, gene])
        found: Indices = apart.argmin(axis=1)
        return found
