"""What a runner tells whoever shows progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from optuna.trial import FrozenTrial

from .objective import Step, Task

Kind = Literal["start", "step", "pause", "end", "retry", "note"]


class Event(NamedTuple):
    """Something that happened to a trial, told after it is in the history.

    Args:
        kind: ``start``; ``step``; ``pause`` (at a rung; its worker is free); ``end`` (complete,
            pruned or failed); ``retry`` (it goes on after a pause, after its worker died, or
            after its driver was killed); ``note`` (nothing happened to the trial, but a
            person should know, after it, what ``text`` says).
        number: the trial's number.
        task: the trial as its worker got it.
        step: the step, of ``step`` events.
        trial: the trial as it stands, of ``end`` and ``pause`` events.
        worker: who runs it.
        text: of ``note`` events.
    """

    kind: Kind
    number: int
    task: Task
    step: Step | None = None
    trial: FrozenTrial | None = None
    worker: str = ""
    text: str = ""


OnEvent = Callable[[Event], None]
