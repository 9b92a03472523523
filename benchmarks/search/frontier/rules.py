"""Rules of early stopping replayed on recipes whose whole curves are known.

The order is that of the serial runner, and the rules are those of `search.trials.halving` without
the margin for the curves' wobble, which LCBench's curves hardly have. Nothing is asked here, so a
second replay of the same recipes differs by its rule alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.genetic.gaussian_process import Array
from search.trials.halving import LATE

from .curve_model import CurveModel, best_so_far

COMPLETE = 5
"""Complete trials before anything is expected of the others; until then their values count."""
EVERY = 3
"""The model is fitted anew after so many new trials, and when one has completed."""
FOLDS = 5
NEAR = 0.002
"""A recipe this close to the best of its search is as good."""
Sees = Literal["value", "curve", "genes"]
KINDS: tuple[Sees, ...] = ("value", "curve", "genes")


@dataclass(frozen=True)
class Rule:
    """Successive halving with promotion.

    Args:
        grace: epoch of the first rung.
        spacing: each rung lies so many times as far as the one before.
        keep: the share that goes on at a rung.
        slope: as in `search.trials.halving.Halving`.
        sees: what trials are compared by: ``value``, at the rung; else by what is expected of
            each from where it stands now, by its ``curve`` or by its ``genes`` too.
    """

    grace: int = 3
    spacing: int = 2
    keep: float = 0.5
    slope: float = 0.5
    sees: Sees = "value"

    def rungs(self, epochs: int) -> list[int]:
        """Their epochs."""
        found = [self.grace]
        while found[-1] * self.spacing <= LATE * epochs:
            found.append(found[-1] * self.spacing)
        return found


class Recipes(NamedTuple):
    """Recipes of one search, in its order.

    Args:
        genes: in the unit interval, shape (n, genes).
        values: after each epoch, shape (n, epochs).
    """

    genes: Array
    values: Array


class Kept(NamedTuple):
    """What a rule made of recipes, in shares.

    Args:
        epochs: of those of all recipes to their end.
        short: what the best of the complete ones is below the best of all.
        lost: whether the best of all did not complete.
        near: whether the best of the complete ones is within `NEAR` of the best of all.
        top: share of the best tenth that completed.
    """

    epochs: float
    short: float
    lost: float
    near: float
    top: float


def kept(recipes: Recipes, complete: NDArray[np.int64], spent: int) -> Kept:
    """The figures of those that completed."""
    finals = recipes.values[:, -1]
    short = float(finals.max() - finals[complete].max())
    top = np.argsort(-finals)[: max(1, len(finals) // 10)]
    return Kept(
        spent / recipes.values.size,
        short,
        float(finals.argmax() not in complete),
        float(short <= NEAR),
        float(np.isin(top, complete).mean()),
    )


class Replay:
    """One search under a rule, until every recipe was tried or a budget is spent.

    Args:
        recipes: in the order in which they are tried.
        rule: who goes on.
        budget: epochs; ``None``: all recipes are tried.

    Attributes:
        scores: by value at each rung, shape (n, rungs): the best so far and, beyond the first
            rung, the gain's share.
        spent: epochs.
        complete: trials, in the order in which they completed.
    """

    def __init__(self, recipes: Recipes, rule: Rule, budget: int | None = None) -> None:
        n, self._epochs = recipes.values.shape
        self._recipes, self._rule = recipes, rule
        self._budget = math.inf if budget is None else budget
        self._best = best_so_far(recipes.values)
        self._rungs = rule.rungs(self._epochs)
        self.scores = self._values()
        self._now = np.full(n, np.nan)
        self._level = np.full(n, -1)  # the last rung reached; that after the last is the end
        self._paused: set[int] = set()
        self._model: tuple[tuple[int, int], CurveModel] | None = None
        self._seen = b""
        self.started = self.spent = 0
        self.complete: list[int] = []

    def run(self) -> Replay:
        """All of it."""
        while self.spent < self._budget:
            number = self._promotable()
            if number is None:
                if self.started == len(self._level):
                    break
                number = self.started
                self.started += 1
            self._leg(number)
        return self

    def kept(self) -> Kept:
        """What came of it."""
        return kept(self._recipes, np.array(self.complete), self.spent)

    def _values(self) -> Array:
        found = self._best[:, [rung - 1 for rung in self._rungs]].copy()
        for k, rung in enumerate(self._rungs[1:], 1):
            found[:, k] += self._rule.slope * (found[:, k] - self._best[:, rung // 2 - 1])
        return found

    def _leg(self, number: int) -> None:
        """A trial from where it stands to its end, or to a rung that it doesn't pass."""
        self._paused.discard(number)
        stops = [*self._rungs, self._epochs]
        while self._level[number] < len(self._rungs):
            level = self._level[number] = self._level[number] + 1
            self.spent += stops[level] - (stops[level - 1] if level else 0)
            if level == len(self._rungs):
                self.complete.append(number)
            elif number:  # the first trial runs to its end
                self._expect()
                if not self._passes(number):
                    self._paused.add(number)
                    return

    def _passes(self, number: int) -> bool:
        level = self._level[number]
        peers = np.flatnonzero(self._level >= level)
        peers = peers[(peers != 0) & (peers != number)]
        by = self.scores[:, level] if self._model is None else self._now
        places = math.floor((len(peers) + 1) * self._rule.keep + 1e-9)
        return int((by[peers] > by[number]).sum()) < places

    def _promotable(self) -> int | None:
        def order(number: int) -> tuple[int, float, int]:
            level = self._level[number]
            by = self.scores[number, level] if self._model is None else self._now[number]
            return -int(level), -float(by), number

        self._expect()
        return next((n for n in sorted(self._paused, key=order) if self._passes(n)), None)

    def _expect(self) -> None:
        """What is expected of each trial from where it stands."""
        if self._rule.sees == "value" or len(self.complete) < COMPLETE:
            return
        reached = np.array([0, *self._rungs, self._epochs])[self._level + 1]
        if self._seen == reached.tobytes():
            return
        self._seen = reached.tobytes()
        key = len(self.complete), self.started // EVERY
        if self._model is None or self._model[0] != key:
            genes = self._recipes.genes if self._rule.sees == "genes" else None
            model = CurveModel(self._best, genes, [*self._rungs, self._epochs], reached)
            self._model = key, model
        for level in range(len(self._rungs)):
            rows = np.flatnonzero(self._level == level)
            if len(rows):
                found = self._model[1].expected(rows, level)
                self._now[rows] = self._best[rows, self._rungs[level] - 1]
                if found is not None:
                    self._now[rows] = found
        done = np.array(self.complete)
        self._now[done] = self._recipes.values[done, -1]


def hindsight(recipes: Recipes, shares: Sequence[float], sees: Sees) -> Kept:
    """Halving of all recipes at once, as nobody can who is asked for them one by one.

    Args:
        recipes: all of the search.
        shares: of all recipes, those that go on from each rung of `Rule`.
        sees: what they are compared by. What is expected of one is learnt from the whole curves of
            four fifths of the recipes, without its own: more than any search has.
    """
    rule = Rule(sees=sees)
    count, epochs = recipes.values.shape
    rungs = rule.rungs(epochs)
    scores = _foreseen(recipes, rule, rungs)
    alive, spent = np.arange(count), 0
    for k, (rung, share) in enumerate(zip(rungs, shares, strict=True)):
        spent += len(alive) * (rung - (rungs[k - 1] if k else 0))
        alive = alive[np.argsort(-scores[alive, k])[: max(1, round(share * count))]]
    spent += len(alive) * (epochs - rungs[-1])
    return kept(recipes, alive, spent)


def _foreseen(recipes: Recipes, rule: Rule, rungs: Sequence[int]) -> Array:
    """What all recipes are compared by at each rung, shape (n, rungs)."""
    values = Replay(recipes, rule).scores
    if rule.sees == "value":
        return values
    count, epochs = recipes.values.shape
    best = best_so_far(recipes.values)
    genes = recipes.genes if rule.sees == "genes" else None
    found = np.empty((count, len(rungs)))
    for fold in range(FOLDS):
        own = np.arange(fold, count, FOLDS)
        reached = np.full(count, epochs)
        reached[own] = 0
        model = CurveModel(best, genes, [*rungs, epochs], reached)
        for k in range(len(rungs)):
            expected = model.expected(own, k)
            found[own, k] = values[own, k] if expected is None else expected
    return found
