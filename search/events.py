"""What a runner tells whoever shows progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from optuna.trial import FrozenTrial

from .objective import Step, Task


class Event(NamedTuple):
    """Something that happened to a trial, told after it is in the history.

    Args:
        kind: ``start``; ``step``; ``end`` (complete, pruned or failed); ``retry`` (its
            worker died, or its driver was killed, and it goes on).
        number: the trial's number.
        task: the trial as its worker got it.
        step: the step, of ``step`` events.
        trial: the trial as it ended, of ``end`` events.
        worker: who runs it.
    """

    kind: Literal["start", "step", "end", "retry"]
    number: int
    task: Task
    step: Step | None = None
    trial: FrozenTrial | None = None
    worker: str = ""


OnEvent = Callable[[Event], None]
