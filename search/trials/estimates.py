"""What a stopped trial would have come to: an estimate of its final value.

A model of final values can learn from a stopped trial only if its value at the rung is
translated into one of its end. The complete trials that passed the same rung tell how.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import pstdev

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from .halving import length_of
from .marks import searched
from .summary import is_blameless

WITNESSES = 3
"""Complete trials that must have passed a rung before it is translated."""
LATEST = 200
"""Complete trials looked at, the latest: what an estimate costs is bounded."""
EPOCHS_GENE = "epochs"
"""The parameter that holds a trial's number of steps where nobody names one: if it does."""


def estimates(
    trials: Iterable[FrozenTrial], maximize: bool = True, length: str | None = None
) -> dict[int, tuple[float, float]]:
    """Estimated final values of the trials in ``trials`` that have not completed.

    Per step at which trials stand: a line through the complete trials' best value up to it
    and their final value. Its slope lies halfway between 1 (all curves rise in parallel) and
    Theil and Sen's median slope within [0, 1]. The trials that complete are the better ones
    of their rung, and for those below the first rule guesses too low and the second too
    high; half their disagreement is part of the uncertainty. No estimate is better than the
    best complete trial. Below three complete trials, a trial is worth its best value so
    far, give or take the spread of all values.

    One that the machine ended was not stopped for being worse: its estimate may be better than
    the best, and where nothing translates it there is none.

    Where trials have different numbers of steps, they are compared after the same share of
    their own: after the same step a shorter one is nearer to its end.

    Args:
        trials: the history; pruned and unfinished trials with a finite report are
            estimated, and failed ones where the machine ended them. Reruns, which are on other
            splits, are left out.
        maximize: whether more is better. Of several objectives the first is estimated.
        length: the parameter that holds a trial's number of steps. By default it is `EPOCHS_GENE`,
            where that is what most of the complete trials have made.

    Returns:
        by trial number, the estimate and its standard deviation, in units of the value.
    """
    sign = 1.0 if maximize else -1.0
    known = sorted(searched(trials), key=lambda trial: trial.number)
    complete = [
        t for t in known if t.state == TrialState.COMPLETE and t.values and _finite(t.values[0])
    ][-LATEST:]
    finals = [sign * t.values[0] for t in complete]
    open_ = [t for t in known if _stands(t) and any(map(_finite, t.intermediate_values.values()))]
    curves = {t.number: _Curve(t, sign) for t in [*complete, *open_]}
    seen = [curves[t.number].best for t in open_ if not is_blameless(t)]
    spread = pstdev([*finals, *seen]) if finals or seen else 0.0
    name = length or (EPOCHS_GENE if _is_length(EPOCHS_GENE, complete) else None)
    lengths = {number: length_of(curve.trial, name) for number, curve in curves.items()}
    past = [(curves[t.number], lengths[t.number], v) for t, v in zip(complete, finals, strict=True)]
    lines: dict[tuple[float, bool], _Line | None] = {}
    found = {}
    for trial in open_:
        curve, own = curves[trial.number], lengths[trial.number]
        key = curve.steps / (own or 1.0), own is None
        if key not in lines:
            # Where either says nothing of its length, the step itself counts.
            steps = [
                curve.steps if own is None or whole is None else math.ceil(key[0] * whole - 1e-9)
                for _, whole, _ in past
            ]
            pairs = [
                (at, final)
                for step, (other, _, final) in zip(steps, past, strict=True)
                if (at := other.at(step)) is not None
            ]
            lines[key] = _Line.fit(pairs) if len(pairs) >= WITNESSES else None
        line = lines[key]
        if line is not None:
            mean, sd = line.at(curve.best)
            if not is_blameless(trial):
                mean = min(mean, line.cap)
        elif is_blameless(trial):
            continue
        else:
            mean, sd = curve.best, spread
        found[trial.number] = (sign * mean, sd)
    return found


def _is_length(name: str, complete: Sequence[FrozenTrial]) -> bool:
    """Whether most of the trials that have the parameter ``name`` made so many steps."""
    told = [(length_of(t, name), max(t.intermediate_values, default=0)) for t in complete]
    right = [own == steps for own, steps in told if own is not None]
    return 2 * sum(right) > len(right)


class _Curve:
    """The best value of a trial after each of its steps, turned so that more is better."""

    def __init__(self, trial: FrozenTrial, sign: float) -> None:
        self.trial = trial
        reports = sorted(trial.intermediate_values.items())
        self.steps = reports[-1][0] if reports else 0
        finite = [(step, sign * value) for step, value in reports if _finite(value)]
        self._steps = [step for step, _ in finite]
        self._best = list(accumulate((value for _, value in finite), max))

    @property
    def best(self) -> float:
        """By its last step."""
        return self._best[-1]

    def at(self, step: int) -> float | None:
        """By ``step``; ``None`` where it did not come so far, or had no finite value by then."""
        index = bisect_right(self._steps, step)
        return self._best[index - 1] if index and step <= self.steps else None


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
        return mean, math.hypot(self.noise, self.doubt * away)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _stands(trial: FrozenTrial) -> bool:
    if trial.state == TrialState.FAIL:
        return is_blameless(trial)
    return trial.state != TrialState.COMPLETE
