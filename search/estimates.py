"""What a stopped trial would have come to: an estimate of its final value.

A model of final values can learn from a stopped trial only if its value at the rung is
translated into one of its end. The complete trials that passed the same rung tell how.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import pstdev

import numpy as np
from optuna.trial import FrozenTrial, TrialState

WITNESSES = 3
"""Complete trials that must have passed a rung before it is translated."""
LATEST = 200
"""Complete trials looked at, the latest: what an estimate costs is bounded."""


def estimates(
    trials: Iterable[FrozenTrial], maximize: bool = True
) -> dict[int, tuple[float, float]]:
    """Estimated final values of the trials in ``trials`` that have not completed.

    Per step at which trials stand: a line through the complete trials' best value up to it
    and their final value. Its slope lies halfway between 1 (all curves rise in parallel) and
    Theil and Sen's median slope within [0, 1]. The trials that complete are the better ones
    of their rung, and for those below the first rule guesses too low and the second too
    high; half their disagreement is part of the uncertainty. No estimate is better than the
    best complete trial. Below three complete trials, a trial is worth its best value so
    far, give or take the spread of all values.

    Args:
        trials: the history; pruned and unfinished trials with a finite report are
            estimated, failed ones are not.
        maximize: whether more is better. Of several objectives the first is estimated.

    Returns:
        by trial number, the estimate and its standard deviation, in units of the value.
    """
    sign = 1.0 if maximize else -1.0
    known = sorted(trials, key=lambda trial: trial.number)
    complete = [
        t for t in known if t.state == TrialState.COMPLETE and t.values and _finite(t.values[0])
    ][-LATEST:]
    finals = [sign * t.values[0] for t in complete]
    best = [(t, _best(t, _steps(t), sign)) for t in known if _stands(t)]
    open_ = [(t, value) for t, value in best if value is not None]
    spread = pstdev([*finals, *(value for _, value in open_)]) if finals or open_ else 0.0
    lines: dict[int, _Line | None] = {}
    found = {}
    for trial, value in open_:
        step = _steps(trial)
        if step not in lines:
            pairs = [
                (at, final)
                for t, final in zip(complete, finals, strict=True)
                if _steps(t) >= step and (at := _best(t, step, sign)) is not None
            ]
            lines[step] = _Line.fit(pairs) if len(pairs) >= WITNESSES else None
        line = lines[step]
        mean, sd = (value, spread) if line is None else line.at(value)
        found[trial.number] = (sign * mean, sd)
    return found


@dataclass(frozen=True)
class _Line:
    """Final values over values at a rung; see `estimates`."""

    middle: tuple[float, float]
    slope: float
    doubt: float
    noise: float
    cap: float

    @classmethod
    def fit(cls, pairs: list[tuple[float, float]]) -> _Line:
        x, y = np.array(pairs).T
        first, second = np.triu_indices(len(x), 1)
        run = x[second] - x[first]
        apart = run != 0
        slopes = (y[second] - y[first])[apart] / run[apart]
        robust = float(np.clip(np.median(slopes), 0.0, 1.0)) if len(slopes) else 1.0
        slope = (1.0 + robust) / 2
        center = float(np.median(x))
        rest = y - slope * (x - center)
        level = float(np.median(rest))
        noise = math.sqrt(float(((rest - level) ** 2).sum()) / (len(x) - 1))
        return cls((center, level), slope, (1.0 - robust) / 2, noise, float(y.max()))

    def at(self, value: float) -> tuple[float, float]:
        """(estimate, standard deviation) of the final value."""
        away = value - self.middle[0]
        mean = self.middle[1] + self.slope * away
        return min(mean, self.cap), math.hypot(self.noise, self.doubt * away)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _stands(trial: FrozenTrial) -> bool:
    return trial.state not in (TrialState.COMPLETE, TrialState.FAIL)


def _steps(trial: FrozenTrial) -> int:
    return max(trial.intermediate_values, default=0)


def _best(trial: FrozenTrial, step: int, sign: float) -> float | None:
    """The best finite value up to ``step``, turned so that more is better."""
    seen = [sign * v for s, v in trial.intermediate_values.items() if s <= step and _finite(v)]
    return max(seen, default=None)
