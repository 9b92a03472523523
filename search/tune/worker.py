"""What runs inside a Ray worker: one trial at a time, one step a call.

A worker never touches the study. It sends a `Report` after every call and learns from being
called again, reset or released what became of it.
"""

from __future__ import annotations

import gc
import os
import platform
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from threadpoolctl import threadpool_limits

from search.cores import thread_environment
from search.objective import Objective, Outcome, Step, Steps, Task, drive

REST_SECONDS = 60.0
"""Seconds for which a worker keeps a GPU on which a trial failed through no fault of its own."""

NO_MORE = "a trial failed here by its GPU's fault: this worker takes no other"

REPORT = "report"
"""The key of a Tune result under which the `Report` lies."""


@dataclass(frozen=True)
class Report:
    """What a worker says after a step, or after the end of its trial.

    Args:
        number: the trial.
        worker: who says it, ``<host>:<pid>``.
        start: when this worker began with the trial, in seconds since the epoch.
        end: when it said this.
        step: the step just made; ``None`` at the end.
        outcome: how the trial ended; ``None`` before.
    """

    number: int
    worker: str
    start: float
    end: float
    step: Step | None = None
    outcome: Outcome | None = None


def worker_name() -> str:
    """This process as the history names it: ``<host>:<pid>``."""
    return f"{platform.node()}:{os.getpid()}"


class TrialWorker(tune.Trainable):  # type: ignore[misc]
    """Tune's side of `search.objective.drive`; kept from trial to trial.

    Its configuration: ``task`` (a `Task`), ``objective`` (a reference into Ray's object
    store, fetched once a worker) and ``threads`` (set before the objective, and with it torch,
    is loaded).
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Load the objective and begin with the first trial."""
        threads: int = config["threads"]
        os.environ.update(thread_environment(threads))
        # Ray has loaded NumPy by now, with the threads that its own environment named.
        threadpool_limits(threads)
        self._steps: Steps | None = None
        self._broken = False
        self._objective: Objective = ray.get(config["objective"])
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin with the next trial in this same process.

        An error of a GPU stays with the process that met it. And a GPU that fails is always free:
        it would take one trial after another from those that work. So it rests, and the process
        ends.

        Raises:
            RuntimeError: where a trial has failed here by its GPU's fault.
        """
        self.release()
        if self._broken:
            time.sleep(REST_SECONDS)
            raise RuntimeError(NO_MORE)
        self._begin(new_config)
        return True

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._task: Task = config["task"]
        self._steps = drive(self._objective, self._task)
        self._start = time.time()
        # Tune sends the configuration back with every result: nobody reads it there.
        self.config: dict[str, Any] = {}

    def step(self) -> dict[str, Any]:
        """Run the trial to its next step, or to its end. Never raises an `Exception`."""
        found = self._advance()
        if isinstance(found, Step):
            report = self._report(step=found)
        else:
            self.release()
            self._broken = found.reason == "machine" and bool(ray.get_gpu_ids())
            report = self._report(outcome=found)
        return {REPORT: report}

    def _advance(self) -> Step | Outcome:
        """The next step or the end; `drive` has made them plain, so no library unpickles them."""
        try:
            assert self._steps is not None, "a step of a trial that has ended"
            return next(self._steps)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome
        except Exception:
            return Outcome.failed("crash", traceback.format_exc(limit=-4))

    def _report(self, step: Step | None = None, outcome: Outcome | None = None) -> Report:
        number = self._task.number
        return Report(number, worker_name(), self._start, time.time(), step, outcome)

    def release(self) -> None:
        """Close the trial, whether it has ended or not, and free what it held."""
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()
            del steps
            gc.collect()

    def cleanup(self) -> None:
        """Release the trial before the worker ends."""
        self.release()

    def place(self) -> str:
        """The id of the node that this worker lives on."""
        return str(ray.get_runtime_context().get_node_id())

    def name(self) -> str:
        """This worker's name."""
        return worker_name()
