"""Trials that wait at a rung: in the history running, for samplers stopped, for people paused."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence

from optuna.trial import FrozenTrial, TrialState

from .halving import Halving, noise_of, passes, paused_at, value_at


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
        running = TrialState.RUNNING  # only such a trial can be paused: most are told by this
        return [
            self._stopped(t, objectives) if t.state is running and paused_at(t) is not None else t
            for t in trials
        ]

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


def promotable(
    halving: Halving | None,
    trials: Sequence[FrozenTrial],
    directions: Sequence[str] = ("maximize",),
    closing: bool = False,
) -> int | None:
    """The paused trial that is to go on next, by the history alone, or ``None``.

    Of those that are among the best of their rung now, the one that has come farthest; of
    equals the best, and of these the first.

    Args:
        halving: the policy.
        trials: all trials of the study.
        directions: one for each objective.
        closing: no other trial will come. Where none is complete by then and none is on its
            way, the best of the paused ones goes on all the same, as a search is for a result.
    """
    waiting = [t for t in trials if paused_at(t) is not None]
    if halving is None or not waiting:
        return None

    def order(trial: FrozenTrial) -> tuple[int, float, int]:
        rung = len(halving.own_rungs(trial, paused_at(trial) or 0)) - 1
        score = halving.score(trial, rung) if rung >= 0 else None
        return -rung, math.inf if score is None else -score, trial.number

    noise = noise_of(halving, trials)
    ordered = sorted(((order(trial), trial) for trial in waiting), key=lambda pair: pair[0])
    tested: set[int] = set()
    for (far, _, number), trial in ordered:
        if far in tested and len(directions) == 1:
            continue  # its rung's best does not go on, so nor does it
        tested.add(far)
        if passes(halving, trials, trial, -far, noise, directions):
            return number
    if not closing or any(_may_complete(t) for t in trials):
        return None
    return ordered[0][1].number


def _may_complete(trial: FrozenTrial) -> bool:
    """Whether ``trial`` is complete, or on its way."""
    if trial.state.is_finished():
        return trial.state == TrialState.COMPLETE
    return paused_at(trial) is None
