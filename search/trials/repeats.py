"""Trials that would do again what another has done: answered from the history.

An objective may have a method ``identity(params)``: a text that is the same for parameters
that mean the same to it, or ``None`` for parameters that are like no others. A new trial with
the identity of one that has been trained is not trained: it ends at once with what that one
came to, and says so in its attribute `search.trials.marks.SAME_AS`. Optuna's documentation advises
the same ("How can I ignore duplicated samples?").

What the answer is follows from the history alone:

===================== ==================================================================
the other trial is    the new one
===================== ==================================================================
complete              is complete, with the same values
paused, or pruned     is pruned, with the same value so far: the other one keeps its place
failed                is trained: another seed, or a machine that is well, may get through
running               is trained: waiting for it would leave a worker idle
a rerun               is trained: its value is of another split
===================== ==================================================================

Reports are not repeated, so that nobody is compared with the same curve twice at a rung.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from .halving import paused_at, value_at
from .marks import is_rerun, same_as

Identity = Callable[[Mapping[str, Any]], str | None]


class Answer(NamedTuple):
    """How a repeat ends, and by which trial."""

    number: int
    state: TrialState
    values: list[float] | None


class Repeats:
    """Finds the trial that a new one would repeat.

    Args:
        objective: what is optimised; without an ``identity`` nothing is a repeat.
    """

    def __init__(self, objective: object = None) -> None:
        self._identity: Identity | None = getattr(objective, "identity", None)
        self._known: dict[int, str | None] = {}  # a trial's parameters never change

    def answer(
        self, trials: Sequence[FrozenTrial], number: int, objectives: int = 1
    ) -> Answer | None:
        """What the history says about trial ``number``, or ``None``.

        Of several trials of its identity a complete one answers first, then the oldest.

        Args:
            trials: all of the study's, by number.
            number: the trial, with its parameters.
            objectives: how many there are; with several a stopped trial has no values.
        """
        if self._identity is None or (wanted := self.identity(trials[number])) is None:
            return None
        same = [t for t in trials if t.number != number and self.identity(t) == wanted]
        found = [answer for t in same if (answer := _end_of(t, objectives))]
        return min(found, key=lambda a: (a.state != TrialState.COMPLETE, a.number), default=None)

    def answers(self, trial: FrozenTrial) -> bool:
        """Whether ``trial`` says how a repeat of it would end."""
        return _end_of(trial, 1) is not None

    def identity(self, trial: FrozenTrial) -> str | None:
        """What is the same for all repeats of ``trial``; ``None`` where it is like no other."""
        params = trial.user_attrs.get("params")
        if self._identity is None or not isinstance(params, Mapping):
            return None
        if trial.number not in self._known:
            self._known[trial.number] = self._identity(params)
        return self._known[trial.number]

    def identity_of(self, params: Mapping[str, Any]) -> str | None:
        """The same of parameters, with the fixed ones among them."""
        return None if self._identity is None else self._identity(params)


def _end_of(trial: FrozenTrial, objectives: int) -> Answer | None:
    """How a repeat of ``trial`` ends, or ``None`` where ``trial`` says nothing."""
    if same_as(trial) is not None or is_rerun(trial):
        return None
    if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
        return Answer(trial.number, trial.state, trial.values)
    step = paused_at(trial)
    if step is None:
        return None
    best = value_at(trial.intermediate_values, step)
    values = [best] if best is not None and objectives == 1 else None
    return Answer(trial.number, TrialState.PRUNED, values)
