"""The one view of a running search: a line a finished trial, and a live line in a terminal."""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from rich.console import Console
from rich.status import Status

from cxrsearch.durations import QUIET_SECONDS, clock
from search.trials.marks import confirms, same_as


class Progress:
    """Shows events of a runner as they come. Use as a context manager.

    A search's two parts are counted each by itself: trials, and from `confirming` on reruns of the
    finalists, whose values are none of the search's best.

    Args:
        target: trials that search, or None where only the time is limited.
        seconds: wall-clock budget in seconds, or None.
        finished: trials that were finished before this run.
        best: best value so far and its trial's number.
        paused: trials that wait at a rung; they count as done until they go on.
        console: where to write; a terminal gets a live line, anything else plain lines.
    """

    def __init__(
        self,
        target: int | None,
        seconds: float | None = None,
        finished: int = 0,
        best: tuple[float, int] | None = None,
        paused: Collection[int] = (),
        console: Console | None = None,
    ) -> None:
        self.console = console or Console(highlight=False)
        self.target, self.seconds, self.best = target, seconds, best
        self.finished, self.before = finished, finished + len(paused)
        self.paused = set(paused)
        self.running: dict[int, int] = {}
        self.started = self.spoke = self.began = time.monotonic()
        self.values: dict[int, list[float]] | None = None
        self._status: Status | None = None

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._status = self.console.status(self.summary())
            self._status.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, event: Any) -> None:
        """Take one `search.events.Event`."""
        if event.kind == "start":
            self.running[event.number] = 0
        elif event.kind == "step":
            self.running[event.number] = event.step.number
        elif event.kind == "retry":
            self.paused.discard(event.number)
            self._line(f"trial {event.number} goes on from its last finished epoch")
        elif event.kind == "pause":
            self.running.pop(event.number, None)
            self.paused.add(event.number)
            self._line(self._ending(event.trial, "paused"))
        elif event.kind == "end":
            self.running.pop(event.number, None)
            self.paused.discard(event.number)
            self.finished += 1
            self._line(self._ending(event.trial))
        elif event.kind == "note":
            self._line(event.text)
        if self._status is not None:
            self._status.update(self.summary())
        elif time.monotonic() - self.spoke > QUIET_SECONDS:
            self._line(self.summary())

    def confirming(
        self, finalists: Sequence[int], total: int | None, values: dict[int, list[float]],
        finished: int,
    ) -> None:  # fmt: skip
        """From now on reruns are counted.

        Args:
            finalists: the trials that are confirmed.
            total: reruns in all; None where only the time is limited.
            values: of the reruns that are finished, by finalist.
            finished: reruns that have ended, those that failed too.
        """
        self.target, self.values = total, defaultdict(list, values)
        self.finished = self.before = finished
        self.began = time.monotonic()
        self.paused.clear()
        self.running.clear()  # trials that the end of the search left waiting
        best = f"best {self.best[0]:.4f} (trial {self.best[1]}); " if self.best else ""
        which = ", ".join(map(str, finalists))
        count = "" if total is None else f" by {total} reruns"
        so_far = f", {finished} of them done" if finished else ""
        self._line(
            f"confirming: {best}trial{'s' * (len(finalists) > 1)} {which}{count} on fresh seeds "
            f"and splits{so_far}"
        )

    def note(self, text: str) -> None:
        """Say something that is no event."""
        self._line(text)

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)
        self.spoke = time.monotonic()

    def _ending(self, trial: Any, state: str = "") -> str:
        state = state or trial.state.name.lower().replace("fail", "failed")
        if (earlier := same_as(trial)) is not None:
            state = f"same as trial {earlier}"
        value, *others = trial.values or (None,)
        if value is None and trial.intermediate_values:
            value = max(trial.intermediate_values.values())
        shown = "" if value is None or not math.isfinite(value) else f" {value:.4f}"
        shown += "".join(f", {other:.4g}" for other in others)
        finalist = confirms(trial)
        if state == "complete" and value is not None:
            if finalist is None and (not self.best or value > self.best[0]):
                self.best = (value, trial.number)
                shown += " *"
            elif finalist is not None and self.values is not None:
                self.values[finalist].append(value)
        reason = trial.user_attrs.get("reason")
        why = f" ({reason})" if reason else ""
        params = {**trial.user_attrs.get("params", {}), **trial.params}
        model = params.get("model") or params.get("arm", "")
        if finalist is not None:
            model = f"rerun of {finalist}"
        done = f"{self.done}/{self.target}" if self.target else str(self.done)
        return (
            f"[{done:>7}] trial {trial.number:<4} {model:<12} {state}{why}{shown} | "
            f"{self._tail(finalist)}"
        )

    @property
    def done(self) -> int:
        """Trials that have ended or wait at a rung."""
        return self.finished + len(self.paused)

    def _tail(self, finalist: int | None = None) -> str:
        gone = f"{clock(time.monotonic() - self.started)} gone{self._left()}"
        if self.values is not None:
            values = self.values[finalist] if finalist is not None else []
            mean = f"mean {statistics.fmean(values):.4f} of {len(values)} | " if values else ""
            return f"{mean}{gone}"
        best = f"best {self.best[0]:.4f} (trial {self.best[1]})" if self.best else "no result yet"
        return f"{best} | {gone}"

    def _left(self) -> str:
        gone = time.monotonic() - self.began
        done = self.done - self.before
        left = []
        # Once all have been asked for, nobody knows how many paused ones will go on.
        if self.target and done > 0 and self.done < self.target:
            left.append(gone / done * (self.target - self.done))
        if self.seconds is not None:
            left.append(max(0.0, self.seconds - (time.monotonic() - self.started)))
        return f", about {clock(min(left))} left" if left else ""

    def summary(self) -> str:
        """Trials running and where they stand, best so far, time gone and left."""
        trials = ", ".join(f"{number} (epoch {step})" for number, step in self.running.items())
        running = f"{len(self.running)} running: {trials}" if trials else "starting"
        return f"{running} | {self._tail()}"
