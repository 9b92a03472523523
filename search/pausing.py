"""Trials that wait at a rung: in the history running, for samplers stopped, for people paused."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

from .halving import paused_at, value_at


class AsSampled:
    """How samplers see trials: one that is paused is like one that was stopped there.

    Its value so far teaches them what that of a stopped trial would, and a barrier does not
    wait for it. The same trial is seen as the same object at every look, as long as the
    history holds the same one.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[FrozenTrial, FrozenTrial]] = {}

    def __call__(self, trials: Iterable[FrozenTrial], objectives: int) -> list[FrozenTrial]:
        """``trials`` as samplers see them, in a study of so many objectives."""
        return [t if paused_at(t) is None else self._stopped(t, objectives) for t in trials]

    def _stopped(self, trial: FrozenTrial, objectives: int) -> FrozenTrial:
        known = self._seen.get(trial.number)
        if known is None or known[0] is not trial:
            known = self._seen[trial.number] = trial, stopped_copy(trial, objectives)
        return known[1]


def stopped_copy(trial: FrozenTrial, objectives: int) -> FrozenTrial:
    """``trial`` as it would be if it had been stopped where it stands."""
    stopped = copy.copy(trial)
    stopped.state = TrialState.PRUNED
    stopped.datetime_complete = trial.datetime_start
    reports = trial.intermediate_values
    best = value_at(reports, max(reports, default=0))
    stopped.values = [best] if best is not None and objectives == 1 else None
    return stopped
