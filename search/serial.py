"""Run trials here, one after another: the reference for what every runner means."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from optuna.trial import TrialState

from .breaker import ADVICE, Breaker, Suspect
from .budget import Budget
from .confirm.confirming import Confirming
from .errors import StudyError
from .events import Event, Kind, OnEvent
from .objective import Objective, Outcome, Task, drive
from .phases import Phase, phases
from .study import Study
from .trials.repeats import Repeats

WORKER = "serial"
THIS_PLACE = "here"
"""The one place where trials run."""


def run_serial(
    study: Study,
    objective: Objective,
    budget: Budget | None,
    on_event: OnEvent | None = None,
    confirm: Confirming | None = None,
) -> None:
    """Run trials until the budget is spent: first those left running, then new ones.

    Then the finalists are confirmed, where that is asked for; see `search.confirm`.

    Before each new one, a paused trial that is among the best of its rung by now goes on.
    What is still paused when no trial will come any more is pruned. A new one that repeats
    another is answered from the history; see `search.trials.repeats`.

    When the time is up the running trial is closed after its current step and stays
    running in the history, for a resume to go on with. So it does on `KeyboardInterrupt`,
    which goes on to the caller.

    Args:
        study: the study, driven by this process.
        objective: what is optimised.
        budget: the search's trials in total, reruns not counted, and the running time in total at
            which it ends; ``None``: it is over, and only finalists are confirmed.
        on_event: told what happens, after it is in the history.
        confirm: who is confirmed after the search, and how often; ``None``: nobody.

    Raises:
        StudyError: where the machine fails one trial after another; see `search.breaker`.
    """
    study.repeats = Repeats(objective)
    runner = Serial(study, objective, on_event)
    for phase in phases(study, budget, confirm, on_event):
        runner.run(phase)


class Serial:
    """Runs trials in this process, one phase after the other."""

    def __init__(self, study: Study, objective: Objective, on_event: OnEvent | None) -> None:
        self._study = study
        self._objective = objective
        self._tell = on_event or (lambda event: None)

    def run(self, phase: Phase) -> None:
        """All trials of ``phase``, as long as there is time."""
        self._clock = phase.clock
        self._breaker = Breaker()  # what one phase holds is no other's to go on with
        self._dismissed: list[Suspect] = []
        self._queue: deque[Task] = deque()
        try:
            self._queue.extend(phase.unfinished())
            while not self._clock.over:
                if self._queue:
                    self._trial(self._queue.popleft(), "retry")
                    phase.happened()
                elif task := phase.next(running=False):
                    self._trial(task, "retry" if task.attempt else "start")
                    phase.happened()
                elif phase.over:
                    self._judge_rest()
                    phase.happened()
                    if not self._queue and phase.over:
                        phase.finish()
                        break
        finally:
            for task in self._queue:
                self._study.hold(task.number)
            with suppress(StudyError):  # it would hide what ended the run
                self._clock.save()

    def _trial(self, task: Task, kind: Kind) -> None:
        """One trial, to its end, to a rung that it doesn't pass, or until the time is up."""
        study, number = self._study, task.number
        self._tell(Event(kind, number, task, worker=WORKER))
        start, fresh = time.time(), True
        steps = drive(self._objective, task)
        end: Kind = "end"
        try:
            while True:
                try:
                    step = next(steps)
                except StopIteration as stop:
                    with study.batch():
                        study.span(number, WORKER, start, time.time())
                        held = self._ended(task, stop.value, fresh)
                        self._clock.save()
                    if held:
                        self._check()
                        return
                    break
                new = step.number not in study.trials()[number].intermediate_values
                with study.batch():
                    goes_on = study.report(number, step)
                    study.span(number, WORKER, start, time.time())
                    self._clock.save()
                self._tell(Event("step", number, task, step=step, worker=WORKER))
                if new:
                    fresh = False
                    self._let_go(self._breaker.alive(THIS_PLACE, number))
                if not goes_on:
                    steps.close()
                    with study.batch():
                        study.span(number, WORKER, start, time.time())
                        end = "pause" if study.stop(number) else "end"
                    break
                if self._clock.over and not step.last:
                    study.span(number, WORKER, start, time.time())
                    study.hold(number)
                    return
        except (KeyboardInterrupt, SystemExit):
            steps.close()
            with suppress(StudyError):
                study.span(number, WORKER, start, time.time())
            raise
        finally:
            steps.close()
        self._tell(Event(end, number, task, trial=study.trials()[number], worker=WORKER))
        if study.trials()[number].state == TrialState.COMPLETE:
            self._let_go(self._breaker.alive(THIS_PLACE, number))

    def _ended(self, task: Task, outcome: Outcome, fresh: bool) -> bool:
        """Tell how a trial ended, or hold it; whether it is held."""
        if not self._breaker.suspicious(outcome, fresh):
            self._study.tell(task.number, outcome)
            return False
        self._study.hold(task.number)
        self._dismissed = self._breaker.failed(THIS_PLACE, Suspect(task, outcome, WORKER))
        return True

    def _check(self) -> None:
        """Stop where the last failures are the machine's.

        Raises:
            StudyError: with the error.
        """
        self._let_go(self._dismissed)
        self._stop_where(self._breaker.out_of_order(THIS_PLACE))

    @staticmethod
    def _stop_where(why: str | None) -> None:
        if why:
            raise StudyError(f"{why}; {ADVICE}")

    def _let_go(self, suspects: Sequence[Suspect]) -> None:
        for suspect in suspects:
            if task := released(self._study, suspect, self._tell):
                self._queue.append(task)

    def _judge_rest(self) -> None:
        self._stop_where(self._breaker.out_of_order(THIS_PLACE, closing=True))
        judged, again, why = self._breaker.rest()
        self._let_go(judged)
        self._queue.extend(self._study.again(suspect.task.number) for suspect in again)
        self._stop_where(why)


def released(study: Study, suspect: Suspect, tell: OnEvent) -> Task | None:
    """A failure that is held no longer: told, or its trial once more where the machine failed."""
    number, outcome = suspect.task.number, suspect.outcome
    if outcome.reason == "machine":
        detail = f"at last:\n{outcome.detail}"
        if task := study.retry(number, detail, "machine", "the machine failed it"):
            return task
    else:
        study.tell(number, outcome)
    trial = study.trials()[number]
    tell(Event("end", number, suspect.task, trial=trial, worker=suspect.worker))
    return None
