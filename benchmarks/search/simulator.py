"""Workers on a simulated clock: who asks when, who waits, and how busy they are.

Nothing waits in earnest. Events lie in a heap by their simulated time; a worker that is
free asks at once, and one that may not start yet waits for the next trial to end.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol


class Driver(Protocol):
    """What the simulated workers talk to."""

    def ready(self) -> bool:
        """Whether the next trial may be asked for by now."""
        ...

    def ask(self) -> tuple[int, float]:
        """A new trial: its number, and the seconds until it reports or ends."""
        ...

    def advance(self, number: int) -> float | None:
        """The trial reports or ends: seconds until it does so again, or None where it ended."""
        ...


@dataclass
class Schedule:
    """What happened, in simulated seconds.

    Args:
        workers: how many there are.
        spans: ``number -> (worker, start, end)``.
        ended: the trials' numbers in the order in which they ended.
        charged: real seconds that the driver spent on each trial, asks and tells.
    """

    workers: int
    spans: dict[int, tuple[int, float, float]] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    charged: list[float] = field(default_factory=list)

    @property
    def makespan(self) -> float:
        """When the last trial ended."""
        return max(end for _, _, end in self.spans.values())

    @property
    def last_start(self) -> float:
        """When the last trial started. Until then there was always more to do."""
        return max(start for _, start, _ in self.spans.values())

    def utilisation(self, until: float) -> float:
        """Share of the workers' time up to ``until`` in which they ran a trial.

        Up to `last_start` this is the scheduler's doing. Up to `makespan` it has the drain
        too, when workers are idle since the budget is spent. NaN where ``until`` is 0.
        """
        if until <= 0.0:
            return float("nan")
        spans = self.spans.values()
        busy = sum(max(min(end, until) - start, 0.0) for _, start, end in spans)
        return busy / (self.workers * until)

    def end(self, number: int) -> float:
        """When trial ``number`` ended."""
        return self.spans[number][2]


def simulate(driver: Driver, workers: int, trials: int, charge: float = 0.0) -> Schedule:
    """Run ``trials`` trials on ``workers`` workers.

    Events at the same time are handled in the order in which they were made, so the same
    driver gives the same schedule. With ``charge`` above 0 the driver is one queue: its real
    seconds, times ``charge``, pass on the simulated clock too, one call after another, and
    the schedule is no longer the same in every run.

    Args:
        driver: asked and told.
        workers: how many, at least 1.
        trials: how many are started in total.
        charge: simulated seconds that a real second of the driver stands for.
    """
    schedule = Schedule(workers)
    events: list[tuple[float, int, int, int, float]] = []  # time, order, worker, number, start
    idle = deque(range(workers))
    started = order = 0
    now = free = 0.0  # the clock, and when the driver is through with what it has been told

    def serve(began: float, number: int) -> float:
        """The simulated time at which the driver is done with a call."""
        nonlocal free
        took = time.perf_counter() - began
        while len(schedule.charged) <= number:
            schedule.charged.append(0.0)
        schedule.charged[number] += took
        free = max(now, free) + charge * took
        return free

    while True:
        while idle and started < trials and driver.ready():
            began = time.perf_counter()
            number, seconds = driver.ask()
            start = serve(began, number)
            heapq.heappush(events, (start + seconds, order, idle.popleft(), number, start))
            started, order = started + 1, order + 1
        if not events:
            if started < trials:
                raise RuntimeError(
                    f"every worker waits after {started} of {trials} trials: the driver is not "
                    "ready and nothing is running"
                )
            return schedule
        now, _, worker, number, start = heapq.heappop(events)
        began = time.perf_counter()
        more = driver.advance(number)
        done = serve(began, number)
        if more is not None:
            heapq.heappush(events, (now + more, order, worker, number, start))
            order += 1
            continue
        schedule.spans[number] = (worker, start, now)
        schedule.ended.append(number)
        now = done
        idle.append(worker)
