"""The reruns of a study's finalists, read off its history."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from search.trials.marks import confirms, round_of
from search.trials.summary import is_blameless

FINALISTS = "finalists"
"""Study attribute: who is confirmed, written when the confirmation begins.

``numbers``: of the trials, the most promising first; ``after``: how many trials of the search had
ended when they were chosen; ``reruns``: of all of them together; ``top``: how many were asked for,
or null. A search that goes on afterwards has others: the attribute is written anew then.
"""


LARGEST_VALUE = 1e100
"""What lies beyond, as where a training diverged, is no value: its square would not be a number."""


def finalists_of(attrs: Mapping[str, Any]) -> tuple[int, ...]:
    """The finalists of a study, the most promising first; none before they were chosen.

    Args:
        attrs: the study's attributes.
    """
    return numbers_in(attrs.get(FINALISTS))


def numbers_in(plan: object) -> tuple[int, ...]:
    """The finalists in what `FINALISTS` holds; none where it holds something else."""
    found = plan.get("numbers") if isinstance(plan, Mapping) else None
    if not isinstance(found, list) or any(type(number) is not int for number in found):
        return ()
    return tuple(found)


class Rerun(NamedTuple):
    """One training of a finalist's recipe on a fresh seed and the fresh split of a round.

    Args:
        number: the trial's own.
        finalist: the trial whose recipe it is.
        round: which fresh split; the same for all finalists.
        value: final; None while it is not finished, NaN where it failed by its own fault or came
            to nothing that is within `LARGEST_VALUE`.
        curve: value after each step that has one.
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
            value = _usable(trial.values[0])
        elif trial.state.is_finished():
            value = math.nan
        curve = {s: v for s, v in trial.intermediate_values.items() if math.isfinite(_usable(v))}
        found.append(Rerun(trial.number, finalist, place, value, curve))
    return found


def _usable(value: float) -> float:
    return value if abs(value) <= LARGEST_VALUE else math.nan
