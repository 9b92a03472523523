"""Covariances that the history keeps, so that what happens late does not make them anew.

Which trials the covariances are fitted on follows from which have finished, and a trial that goes
on from its rung, or ends long after those asked for with it, changes that for numbers long past.
To fit anew for each of these costs more than all the rest of an ask, and gains next to nothing. So
the trial for which they were fitted keeps them, and asks after it take them from there until the
number of trials has grown enough. An ask stays a function of the history: what they were
fitted on is not remembered by anyone, what came of it is written down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from .gaussian_process import THETA_REST
from .gaussian_process_fit import MIXTURE_MEMBERS, Belief

COVARIANCES = "genetic:covariances"
"""System attribute of the trials for which covariances were fitted."""
LARGEST_LOG = 700.0
"""Logarithms further from 0 than this are no parameters of a covariance."""


@dataclass(frozen=True)
class FittedCovariances:
    """Covariances, and what they hold for.

    Args:
        belief: the covariances.
        trials: how many trials had been learnt from.
        space: `search.genetic.model.Features.fingerprint` of the genes.
    """

    belief: Belief
    trials: int
    space: str

    def plain(self) -> dict[str, Any]:
        """JSON-able; `of` makes the same of it, to the last bit."""
        return {
            "space": self.space,
            "trials": self.trials,
            "thetas": self.belief.thetas.tolist(),
            "weights": self.belief.weights.tolist(),
        }

    @classmethod
    def of(cls, value: Any, genes: int) -> FittedCovariances | None:
        """From what a trial keeps; None where that is nothing of the kind for so many genes."""
        if not isinstance(value, Mapping):
            return None
        space, trials = value.get("space"), value.get("trials")
        thetas, weights = value.get("thetas"), value.get("weights")
        if not isinstance(space, str) or type(trials) is not int or not isinstance(thetas, list):
            return None
        right = _numbers(weights, len(thetas)) and 0 < len(thetas) <= MIXTURE_MEMBERS
        if not right or not all(_numbers(theta, genes + THETA_REST) for theta in thetas):
            return None
        shares = np.array(weights, dtype=np.float64)
        if shares.min() <= 0.0 or not math.isclose(shares.sum(), 1.0, rel_tol=1e-6):
            return None
        return cls(Belief(np.array(thetas, dtype=np.float64), shares), trials, space)


def _numbers(value: Any, count: int) -> bool:
    """Whether ``value`` is a list of ``count`` numbers that parameters could be."""
    return (
        isinstance(value, list)
        and len(value) == count
        and all(type(v) in (int, float) and abs(v) < LARGEST_LOG for v in value)
    )


def kept(
    trials: Sequence[FrozenTrial], number: int, space: str, genes: int
) -> FittedCovariances | None:
    """What the latest trial before ``number`` that has covariances for ``space`` keeps.

    Args:
        trials: of the study, by number.
        number: the trial that asks.
        space: the fingerprint of the genes that it knows.
        genes: how many these are.
    """
    for trial in reversed(trials):
        if trial.number < number and COVARIANCES in trial.system_attrs:
            found = FittedCovariances.of(trial.system_attrs[COVARIANCES], genes)
            # Of more trials than there are nothing was fitted: they would never be due again.
            if found is not None and found.space == space and found.trials <= len(trials):
                return found
    return None
