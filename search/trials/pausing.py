"""What samplers see of a history: trials that wait at a rung are stopped, reruns are not there."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence

from optuna.trial import FrozenTrial, TrialState

from .halving import Halving, noise_of, passes, paused_at, value_at
from .marks import by_turn, is_rerun, under_turn


class AsSampled:
    """How samplers see trials: one that is paused is like one that was stopped there.

    Its value so far teaches them what that of a stopped trial would, and a barrier does not
    wait for it. Reruns they do not see, and trials are numbered as if there were none. The same
    trial is seen as the same object at every look, as long as the history holds the same one.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[FrozenTrial, FrozenTrial]] = {}

    def __call__(self, trials: Sequence[FrozenTrial], objectives: int) -> list[FrozenTrial]:
        """All ``trials`` of a study of so many objectives, by number, as samplers see them."""
        running = TrialState.RUNNING  # only such a trial can be paused: most are told by this
        return [
            t
            if t.number == turn and not (t.state is running and paused_at(t) is not None)
            else self._changed(t, turn, trials, objectives)
            for turn, t in by_turn(trials)
        ]

    def _changed(
        self, trial: FrozenTrial, turn: int, trials: Sequence[FrozenTrial], objectives: int
    ) -> FrozenTrial:
        known = self._seen.get(turn)
        if known is None or known[0] is not trial:
            seen = under_turn(trial, turn, [t.number for t in trials if is_rerun(t)])
            if paused_at(trial) is not None:
                seen = stopped_copy(seen, objectives)
            known = self._seen[turn] = trial, seen
        return known[1]


def without_pauses(trials: Iterable[FrozenTrial], objectives: int = 1) -> list[FrozenTrial]:
    """``trials`` under their own numbers, those that are paused as if they had been stopped."""
    return [t if paused_at(t) is None else stopped_copy(t, objectives) for t in trials]


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
        trials: all of the search's own.
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
