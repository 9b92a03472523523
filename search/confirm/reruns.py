"""The reruns of a study's finalists, read off its history."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState

from search.trials.marks import confirms, round_of
from search.trials.summary import is_blameless

FINALISTS = "finalists"
"""Study attribute: the numbers of the trials that are confirmed, the most promising first."""


class Rerun(NamedTuple):
    """One training of a finalist's recipe on a fresh seed and the fresh split of a round.

    Args:
        number: the trial's own.
        finalist: the trial whose recipe it is.
        round: which fresh split; the same for all finalists.
        value: final; None while it is not finished, NaN where it failed by its own fault.
        curve: value after each step.
    """

    number: int
    finalist: int
    round: int
    value: float | None
    curve: Mapping[int, float] = {}


def reruns(trials: Iterable[FrozenTrial]) -> list[Rerun]:
    """The reruns among ``trials``, by number; without those that the machine ended."""
    found = []
    for trial in sorted(trials, key=lambda t: t.number):
        finalist, place = confirms(trial), round_of(trial)
        if finalist is None or place is None or is_blameless(trial):
            continue
        value = None
        if trial.state == TrialState.COMPLETE and trial.values:
            value = trial.values[0]
        elif trial.state.is_finished():
            value = math.nan
        found.append(Rerun(trial.number, finalist, place, value, dict(trial.intermediate_values)))
    return found
