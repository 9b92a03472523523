"""The driver's side of a search on workers: what to ask, what to write, when to end.

Nothing here knows of Ray: `search.tune` translates Tune's callbacks into these calls. All
of them happen in one thread of the driver's process, the only one that writes the study.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from optuna.trial import FrozenTrial

from search.breaker import ADVICE, Breaker, Suspect
from search.errors import StudyError
from search.events import Event, Kind, OnEvent
from search.objective import Outcome, Step, Task
from search.phases import Phase
from search.serial import released
from search.study import Study

from .worker import Report

SLICE = 0.02
"""Seconds for which new trials that turn out to be repeats are asked for at a time, while
workers may have something to say."""
SLICE_ALONE = 1.0
"""The same while none is at work."""


@dataclass
class Flight:
    """A trial that is on its way: asked for, perhaps running.

    Args:
        task: the trial.
        asked: when it was asked for, in seconds since the epoch.
        worker: who runs it, ``<host>:<pid>``; empty until somebody does.
        start: when the worker began with it; ``None`` until somebody did.
        end: when the worker was last heard of.
        place: the node that it runs on.
        fresh: whether no new step has been reported since it was asked for.
    """

    task: Task
    asked: float
    worker: str = ""
    start: float | None = None
    end: float = 0.0
    place: str = ""
    fresh: bool = True


@dataclass
class Usage:
    """What a run on workers used; see `benchmarks/overhead.py`.

    Args:
        workers: names of the workers that ran a trial, in the order of their first.
        started: trials handed to a worker, those resumed and retried included.
        ahead: the most trials that had been asked for beyond those that may be on their way.
        waits: seconds between asking for a trial and a worker's beginning with it.
        lost: how many times a worker was lost with its trial.
    """

    workers: list[str] = field(default_factory=list)
    started: int = 0
    ahead: int = 0
    waits: list[float] = field(default_factory=list)
    lost: int = 0

    @property
    def wait(self) -> float:
        """Mean seconds between asking and beginning; 0 where nothing began."""
        return fmean(self.waits) if self.waits else 0.0


class Driver:
    """One run on several workers.

    Args:
        study: an open study.
        phase: where its trials come from, see `begin`.
        capacity: how many trials may be on their way at a time, now.
        on_event: told of everything that happens.
        ahead: trials to ask for beyond those. With 0 a trial is asked for when there is room, so
            it has learnt from every trial that has ended.
    """

    def __init__(
        self,
        study: Study,
        phase: Phase,
        capacity: Callable[[], int],
        on_event: OnEvent | None = None,
        ahead: int = 0,
    ) -> None:
        self.usage = Usage()
        self.heard = time.monotonic()
        self._study = study
        self._capacity = capacity
        self._on_event = on_event
        self._ahead = ahead
        self._flights: dict[str, Flight] = {}
        self._queue: deque[Task] = deque()
        self._last: Task | None = None
        self.begin(phase)

    def begin(self, phase: Phase) -> None:
        """Take the trials of ``phase`` from now on.

        Those of the one before have ended. Where its time was up, some stay as they are for a
        later run.
        """
        for task in self._queue:
            self._study.hold(task.number)
        self._phase = phase
        self._queue = deque(phase.unfinished())
        self._breaker = Breaker()  # what one phase holds is no other's to go on with
        self.out_of_order: tuple[str, str] | None = None

    # Asking

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self._phase.clock.over

    @property
    def done(self) -> bool:
        """Whether no trial is on its way, none is to go on and none will be asked for."""
        if self._flights:
            return False
        if self.over:
            return True
        return not (self._queue or self._breaker.holds) and self._phase.over

    @property
    def idle(self) -> bool:
        """Whether workers are wanted and there are none: no trial that is on its way has begun,
        and where none is, not one has room."""
        if not self._flights:
            return not self.done and self._capacity() <= 0
        return all(f.start is None for f in self._flights.values())

    def next_task(self, key: str) -> Task | None:
        """The next trial, from now on known as ``key``; ``None``: not now.

        Trials that were cut off go first, under their own numbers; then the phase has its say.
        """
        room = self._capacity() + self._ahead - len(self._flights)
        if self.over or room <= 0:
            return None
        if not self._queue:
            self._judge_rest()
        if self.out_of_order:
            return None
        if self._queue:
            task = self._queue.popleft()
        elif new := self._phase.next(bool(self._flights), SLICE if self._flights else SLICE_ALONE):
            task = new
        else:
            return None
        waiting = len(self._flights) + 1 - self._capacity()
        self.usage.ahead = max(self.usage.ahead, waiting)
        self._flights[key], self._last = Flight(task, time.time()), task
        self.heard = time.monotonic()
        return task

    # What workers say

    def began(self, key: str, worker: str, place: str = "") -> None:
        """A worker begins with the trial ``key``, on the node ``place``."""
        flight = self._flights.get(key)
        if flight is None:
            return
        flight.worker, flight.start, flight.place = worker, time.time(), place
        flight.end = flight.start
        self.heard = time.monotonic()
        self.usage.started += 1
        self.usage.waits.append(flight.start - flight.asked)
        if worker and worker not in self.usage.workers:
            self.usage.workers.append(worker)
        self._tell("retry" if flight.task.attempt else "start", flight)

    def report(self, key: str, report: Report) -> bool:
        """Write what a worker said of the trial ``key``; False: it is to stop there."""
        flight = self._flights.get(key)
        if flight is None:
            return False
        flight.worker, flight.start, flight.end = report.worker, report.start, report.end
        self.heard = time.monotonic()
        if report.outcome is not None:
            self._end(key, report.outcome)
            return False
        assert report.step is not None
        return self._step(key, flight, report.step)

    def _step(self, key: str, flight: Flight, step: Step) -> bool:
        number = flight.task.number
        self._phase.happened()
        new = step.number not in self._study.trials()[number].intermediate_values
        with self._study.batch():
            going = self._study.report(number, step)
            if flight.start is not None:
                self._study.span(number, flight.worker, flight.start, flight.end)
            self._phase.clock.save()
        self._tell("step", flight, step=step)
        if new:
            flight.fresh = False
            self._let_go(self._breaker.alive(flight.place, number))
        if not going:
            with self._study.batch():
                self._land(key)
                paused = self._study.stop(number)
            self._tell("pause" if paused else "end", flight, trial=self._study.trials()[number])
        elif self.over and not step.last:
            self._land(key)  # stays RUNNING: a later run goes on with it
            self._study.hold(number)
        else:
            return True
        return False

    def _end(self, key: str, outcome: Outcome) -> None:
        flight = self._flights[key]
        number = flight.task.number
        if self._breaker.suspicious(outcome, flight.fresh):
            with self._study.batch():
                self._land(key)
                self._study.hold(number)
            suspect = Suspect(flight.task, outcome, flight.worker)
            self._let_go(self._breaker.failed(flight.place, suspect))
            if why := self._breaker.out_of_order(flight.place):
                self.out_of_order = flight.place, why
            return
        with self._study.batch():
            self._land(key)
            self._study.tell(number, outcome)
        self._tell("end", flight, trial=self._study.trials()[number])
        if outcome.reason is None:
            self._let_go(self._breaker.alive(flight.place, number))

    # What is held, see `search.breaker`

    def _let_go(self, suspects: Sequence[Suspect]) -> None:
        for suspect in suspects:
            tell = self._on_event or (lambda event: None)
            if task := released(self._study, suspect, tell):
                self._queue.append(task)

    def leave_out(self, place: str, text: str) -> None:
        """Nothing more will run at ``place``: what failed there is run elsewhere."""
        self.out_of_order = None
        held = self._breaker.take(place)
        if self._last is not None:
            self._note(self._last, text)
        self._queue.extend(self._study.again(suspect.task.number) for suspect in held)

    def scatter(self) -> None:
        """The workers are gone, by us: their trials go on elsewhere."""
        for key, flight in reversed(list(self._flights.items())):
            if flight.start is None:
                self.put_back(key)
            else:
                flight.end = time.time()
                self._land(key)
                self._queue.appendleft(self._study.again(flight.task.number))

    def _judge_rest(self) -> None:
        """Nothing else is left to run: what is held counts as the recipes', or goes on once more.

        Raises:
            StudyError: where it is the machine's all the same.
        """
        if self._flights or self.out_of_order or not self._breaker.holds or self._phase.wants_more:
            return
        for place in self._breaker.places:
            if why := self._breaker.out_of_order(place, closing=True):
                self.out_of_order = place, why
                return
        judged, again, why = self._breaker.rest()
        self._let_go(judged)
        self._phase.happened()
        self._queue.extend(self._study.again(suspect.task.number) for suspect in again)
        if why:
            raise StudyError(f"{why}; {ADVICE}")

    def lost(self, key: str, detail: str) -> None:
        """The worker of the trial ``key`` died: the trial goes to the head of the queue.

        After `StudyConfig.retries` such losses without a new step between them it has failed, with
        the last worker's message in its history.
        """
        flight = self._flights.get(key)
        if flight is None:
            return
        self.usage.lost += 1
        self.heard = time.monotonic()
        number = flight.task.number
        deaths = self._study.deaths(number)
        if deaths >= self._study.config.retries:
            message = f"its worker died {deaths + 1} times in a row, at last:\n{detail}"
            self._end(key, Outcome.failed("killed", message))
            return
        with self._study.batch():
            flight.end = max(flight.end, time.time())
            self._land(key)
            task = self._study.retry(number)
        if task is not None:
            self._queue.appendleft(task)

    # Ends

    def waiting(self, key: str) -> bool:
        """Whether the trial ``key`` is queued, and no worker has started it."""
        flight = self._flights.get(key)
        return flight is not None and flight.start is None

    def put_back(self, key: str) -> None:
        """The trial ``key`` will not be started after all: it keeps its place."""
        flight = self._flights.pop(key, None)
        if flight is not None:
            self._queue.appendleft(flight.task)

    def abandon(self) -> None:
        """The workers are gone: what ran stays RUNNING, for the next run to go on with."""
        for key in list(self._flights):
            self._flights[key].end = time.time()
            self._land(key)
        self._phase.clock.save()

    def crashed(self, detail: str) -> None:
        """Ray lost all workers at once: the trials that ran go on elsewhere."""
        for key, flight in reversed(list(self._flights.items())):  # each leaves the flights
            if flight.start is None:
                self.put_back(key)
            else:
                self.lost(key, detail)

    def finish(self) -> None:
        """The phase is done, unless its time was up before."""
        if not self.over and not self._phase.wants_more:
            self._phase.finish()

    def _land(self, key: str) -> None:
        flight = self._flights.pop(key)
        self._phase.happened()
        if flight.start is not None:
            self._study.span(flight.task.number, flight.worker, flight.start, flight.end)
        self._phase.clock.save()

    def _tell(
        self,
        kind: Kind,
        flight: Flight,
        step: Step | None = None,
        trial: FrozenTrial | None = None,
    ) -> None:
        if self._on_event is not None:
            task = flight.task
            self._on_event(Event(kind, task.number, task, step, trial, flight.worker))

    def _note(self, task: Task, text: str) -> None:
        if self._on_event is not None:
            self._on_event(Event("note", task.number, task, text=text))
