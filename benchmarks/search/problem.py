"""A problem that samplers are compared on: what may be asked, and what it scores.

Every problem is maximised. An evaluation has two scores: the *observed* one, which the
sampler is told and by which the best configuration is chosen, and the *true* one, which
judges that choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
from optuna.distributions import BaseDistribution

from search.space.conditions import Genes
from search.space.unit import from_unit

Params = Mapping[str, Any]
Scores = tuple[float, float]


def noise(name: str, seed: int, trial: int) -> np.random.Generator:
    """The generator of an evaluation's noise: the same for every sampler."""
    return np.random.default_rng([crc32(name.encode()), seed, trial])


@dataclass(frozen=True)
class Problem:
    """One problem.

    Args:
        name: unique among all problems.
        distributions: the genes by name, parents before the genes that depend on them.
        score: ``(active params, generator) -> (observed, true)``.
        best: the highest true score there is, or the highest found by a long search.
        typical: the median true score of random configurations. Regret is measured from
            ``best`` in units of ``best - typical``.
        conditions: ``gene -> (parent, values of the parent that switch it on)``.
        noisy: whether two evaluations of one configuration may differ.
        told: the genes and their conditions as a user's search space states them to our samplers;
            None: they learn them from the trials.
        length: the gene that holds a trial's number of epochs; None: all have the same.
    """

    name: str
    distributions: Mapping[str, BaseDistribution]
    score: Callable[[Params, np.random.Generator], Scores]
    best: float
    typical: float
    conditions: Mapping[str, tuple[str, tuple[Any, ...]]] = field(default_factory=dict)
    noisy: bool = False
    told: Genes | None = None
    length: str | None = None

    def active(self, params: Params) -> dict[str, Any]:
        """The genes of ``params`` that are switched on."""
        found: dict[str, Any] = {}
        for name in self.distributions:
            parent, values = self.conditions.get(name, (None, ()))
            if parent is None or found.get(parent) in values:
                found[name] = params[name]
        return found

    def evaluate(self, params: Params, rng: np.random.Generator) -> Scores:
        """(observed, true) score; ``params`` may hold genes that are switched off."""
        return self.score(self.active(params), rng)

    def regret(self, true: float) -> float:
        """Normalised regret: 0 at the best score, 1 at that of a typical random configuration."""
        return (self.best - true) / (self.best - self.typical)

    def random(self, rng: np.random.Generator) -> dict[str, Any]:
        """A configuration drawn uniformly, all genes."""
        return {name: from_unit(dist, rng.random()) for name, dist in self.distributions.items()}
