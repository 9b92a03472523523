"""Run trials here, one after another: the reference for what every runner means."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Literal

from .answering import Repeats
from .budget import Budget, Clock
from .errors import StudyError
from .events import Event, OnEvent
from .exhausted import Exhaustion
from .objective import Objective, Outcome, Task, drive
from .study import Study

WORKER = "serial"


def run_serial(
    study: Study, objective: Objective, budget: Budget, on_event: OnEvent | None = None
) -> None:
    """Run trials until the budget is spent: first those left running, then new ones.

    Before each new one, a paused trial that is among the best of its rung by now goes on.
    What is still paused when no trial will come any more is pruned. A new one that repeats
    another is answered from the history; see `search.answering`.

    When the time is up the running trial is closed after its current step and stays
    running in the history, for a resume to go on with. So it does on `KeyboardInterrupt`,
    which goes on to the caller.

    Args:
        study: the study, driven by this process.
        objective: what is optimised.
        budget: trials in the study in total, and its running time in total.
        on_event: told what happens, after it is in the history.
    """
    tell = on_event or (lambda event: None)
    clock = Clock(study, budget.seconds)
    study.repeats = Repeats(objective)
    try:
        waiting = [] if clock.over else study.unfinished()
        for task in waiting:
            if clock.over:
                return
            tell(Event("retry", task.number, task, worker=WORKER))
            _run(study, objective, task, budget, clock, tell)
        stock = Exhaustion(study.space, study.repeats, study.trials())
        exhausted = False
        while not clock.over:
            if budget.trials is None and not exhausted:
                exhausted = stock.look(study.trials(), running=False) != "open"
                if exhausted:
                    last = study.task(len(study.trials()) - 1)
                    tell(Event("note", last.number, last, text=stock.reason))
            enough = exhausted or _enough(study, budget)
            if promoted := study.promote(closing=enough):
                tell(Event("retry", promoted.number, promoted, worker=WORKER))
                _run(study, objective, promoted, budget, clock, tell)
            elif enough:
                settle(study, tell)
                break
            else:
                task = study.ask()
                repeated = answered(study, task, tell)
                stock.asked(repeated)
                if not repeated:
                    tell(Event("start", task.number, task, worker=WORKER))
                    _run(study, objective, task, budget, clock, tell)
    finally:
        with suppress(StudyError):  # it would hide what ended the run
            clock.save()


def settle(study: Study, tell: OnEvent) -> None:
    """End what is still paused, and tell so: no result can make it go on any more."""
    for task in study.settle():
        tell(Event("end", task.number, task, trial=study.trials()[task.number]))


def answered(study: Study, task: Task, tell: OnEvent) -> bool:
    """Whether a new trial has ended already, as a repeat of another; then it is told."""
    trial = study.trials()[task.number]
    if trial.state.is_finished():
        tell(Event("end", task.number, task, trial=trial))
    return trial.state.is_finished()


def _enough(study: Study, budget: Budget) -> bool:
    return budget.trials is not None and len(study.trials()) >= budget.trials


def _run(
    study: Study, objective: Objective, task: Task, budget: Budget, clock: Clock, tell: OnEvent
) -> None:
    """One trial, to its end, to a rung that it doesn't pass, or until the time is up."""
    number = task.number
    start = time.time()
    steps = drive(objective, task)
    kind: Literal["pause", "end"] = "end"
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                with study.batch():
                    study.span(number, WORKER, start, time.time())
                    study.tell(number, outcome)
                    clock.save()
                break
            with study.batch():
                goes_on = study.report(number, step)
                clock.save()
            tell(Event("step", number, task, step=step, worker=WORKER))
            if not goes_on:
                steps.close()
                with study.batch():
                    study.span(number, WORKER, start, time.time())
                    kind = "pause" if study.stop(number) else "end"
                break
            if clock.over and not step.last:
                study.span(number, WORKER, start, time.time())
                return
    except (KeyboardInterrupt, SystemExit):
        steps.close()
        with suppress(StudyError):
            study.span(number, WORKER, start, time.time())
        raise
    finally:
        steps.close()
    tell(Event(kind, number, task, trial=study.trials()[number], worker=WORKER))
