"""How much learning curves wobble: the noise of one report, read off the curves themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from optuna.trial import FrozenTrial

CURVES = 50
"""Curves looked at, the latest: what a look costs is bounded."""
_SCALE = 0.6745 * math.sqrt(6.0)


def wobble(trials: Sequence[FrozenTrial]) -> float:
    """Standard deviation of the noise of one report, in units of the value.

    Three equally spaced reports ``a, b, c`` of a smooth curve lie nearly on a line, so ``a - 2 b
    + c`` is six parts of the noise's variance (Rice, "Bandwidth Choice for Nonparametric
    Regression", Annals of Statistics 1984, takes first differences in the same way). The
    median over the latest curves is robust against the few that jump; a curve's first two
    reports, where it is steepest, count like all others, so the answer errs on the large
    side. Without three reports in a row anywhere it is 0.

    Args:
        trials: the history, by number.
    """
    found: list[float] = []
    curves = 0
    for trial in reversed(trials):
        bends = _bends(sorted(trial.intermediate_values.items()))
        found += bends
        curves += bool(bends)
        if curves == CURVES:
            break
    return median(found) / _SCALE if found else 0.0


def _bends(curve: Sequence[tuple[int, float]]) -> list[float]:
    """How far the middle of each three reports in a row lies off their line, times two."""
    three = zip(curve, curve[1:], curve[2:], strict=False)
    bends = [abs(a - 2 * b + c) for (s, a), (t, b), (u, c) in three if t - s == u - t]
    return [bend for bend in bends if math.isfinite(bend)]
