"""Tune's callbacks, translated into calls of `search.tune.driver.Driver`.

Tune swallows, wraps or logs what its callbacks raise, each in another way. So the first
error is kept here, and raised again at the one place where Tune lets it pass: between two
of its steps.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.breaker import ADVICE
from search.errors import StudyError
from search.files import as_given
from search.stopping import Stop

from .cluster import Cluster
from .driver import Driver
from .preflight import Preflight
from .private import actor_id, give_back, keep_workers
from .worker import NO_MORE, REPORT

PATIENCE_OWN = 180.0
PATIENCE_SHARED = 1800.0
"""Seconds without a sign of life from any worker before the search gives up: on a cluster
of our own nothing can be in the way, on a shared one others may hold the machines."""

NO_OTHER = "there is no other node for trials: mend it, and resume the study"


class Halt(BaseException):
    """Ends Tune's loop at once. Tune handles every `Exception` itself, and takes its time."""


class Bridge:
    """What Tune's searcher, scheduler and callback have in common.

    Args:
        driver: told of everything.
        cluster: where the workers live.
        preflight: asks the nodes that join.
        stop: whether a signal has come.
    """

    def __init__(self, driver: Driver, cluster: Cluster, preflight: Preflight, stop: Stop) -> None:
        self.driver = driver
        self.cluster = cluster
        self._preflight = preflight
        self.failure: BaseException | None = None
        self._stop = stop
        self._workers: dict[str, tuple[Any, str, str]] = {}  # actor, name, node, by actor id
        self._running: dict[str, str] = {}  # actor id, by trial
        self._patience = PATIENCE_OWN if cluster.own else PATIENCE_SHARED
        self._controller: Any = None
        self._kept = 0  # workers that Tune may keep while there is no trial for them

    def guarded(self, default: Any, function: Callable[..., Any], *args: Any) -> Any:
        """``function(*args)``; where it raises, the error is kept and ``default`` returned."""
        if self.failure is not None:
            return default
        try:
            return function(*args)
        except BaseException as error:
            self.failure = error
            return default

    def between_steps(self) -> None:
        """Called all the time, at least ten times a second.

        Raises:
            Halt: when the run has to end; ``failure`` says why.
        """
        self.notice()
        if self.failure is not None or self.guarded(False, self._leave_out):
            raise Halt
        if self.failure is not None:
            raise Halt
        self.guarded(None, self._recall)

    def _leave_out(self) -> bool:
        """Whether a node is to be left out from now on.

        Raises:
            StudyError: where it is the last.
        """
        if found := self.driver.out_of_order:
            node, why = found
            last = f"{why}; {ADVICE}"
        elif found := self._preflight.late():
            node, why = found
            last = f"node {self.cluster.name_of(node)}: {why}; {NO_OTHER}"
        else:
            return False
        if not self.cluster.leave_out(node):
            raise StudyError(last)
        self.driver.leave_out(node, f"{self.cluster.name_of(node)} is left out: {why}")
        return True

    def notice(self) -> None:
        """Look for a reason to end that no event has reported."""
        if self.failure is None:
            self.guarded(None, self._stop.raise_)
        if self.failure is None and self.guarded(False, self._stuck):
            self.failure = StudyError(self._stuck_message())

    def _stuck(self) -> bool:
        driver = self.driver
        return driver.idle and time.monotonic() - driver.heard > self._patience

    def _stuck_message(self) -> str:
        wanted = self.cluster.resources
        grow = "; `ray status` says why no node comes" if wanted.max_concurrent else ""
        free = {k: v for k, v in ray.available_resources().items() if k in ("CPU", "GPU")}
        return (
            f"Ray has not started a trial for {self._patience:.0f} seconds: a trial asks for "
            f"{wanted.cpus:g} CPUs and {wanted.gpus:g} GPUs, free are {free.get('CPU', 0):g} and "
            f"{free.get('GPU', 0):g}; free some, or ask for less, and resume{grow}"
        )

    def _recall(self) -> None:
        """When the time is up, queued trials that no worker has started are dropped."""
        if self.driver.over and self._controller is not None:
            for trial in list(self._controller.get_live_trials()):
                if self.driver.waiting(trial.trial_id):
                    self.driver.put_back(trial.trial_id)
                    self._controller.stop_trial(trial)

    def added(self, controller: Any, trial: Trial) -> None:
        """Tune took a trial up."""
        self._controller = controller
        more = self.cluster.capacity() - self._kept
        if more > 0:
            keep_workers(controller, trial, more)
            self._kept += more

    def started(self, trial: Trial) -> None:
        """A worker is about to begin with a trial."""
        actor = trial.temporary_state.ray_actor
        key = actor_id(actor)
        if not self._workers.get(key, (actor, "", ""))[1]:
            name, node = "", ""  # of one that does not answer in time; it is asked again
            with suppress(ray.exceptions.RayError):
                name, node = ray.get([actor.name.remote(), actor.place.remote()], timeout=10)
            self._workers[key] = (actor, name, node)
        self._running[trial.trial_id] = key
        self.driver.began(trial.trial_id, *self._workers[key][1:])

    def result(self, trial: Trial, result: Mapping[str, Any]) -> str:
        """A worker's report; what is to become of the trial."""
        if self.driver.report(trial.trial_id, result[REPORT]):
            return str(TrialScheduler.CONTINUE)
        key = self._running.pop(trial.trial_id, "")
        if key in self._workers and result[REPORT].outcome is None:
            # Stopped halfway: what it holds is freed now, not when the next trial comes.
            self._workers[key][0].release.remote()
        return str(TrialScheduler.STOP)

    def error(self, trial: Trial) -> None:
        """A worker died, or could not be started."""
        message = read_message(trial)
        if self.driver.waiting(trial.trial_id) and "creation task" in message:
            if self._preflight.doubts():  # on a node that has just joined, it may be
                self.driver.put_back(trial.trial_id)
                return
            raise StudyError(
                "a worker cannot load what it should run, so no trial could:\n"
                + last_lines(message, 3)
            )
        if self.driver.waiting(trial.trial_id) and NO_MORE in message:
            self.driver.put_back(trial.trial_id)
            return
        actor, name, _ = self._workers.pop(self._running.pop(trial.trial_id, ""), (None, "", ""))
        if actor is not None:
            # Ray may only have lost sight of it: two workers must not write one trial.
            with suppress(Exception):
                ray.kill(actor)
        words = self.cluster.last_words(name)
        self.driver.lost(trial.trial_id, last_lines(message) + (f"\n{words}" if words else ""))

    def kill_workers(self) -> None:
        """End every worker that was ever started, at once. What it has saved is whole.

        What was reserved for them is given back: it would stay taken on a cluster that
        goes on after this run. One of our own is ended as a whole after a signal, which may
        have ended parts of it already: then nobody would answer.
        """
        if self.cluster.own and self._stop:
            return
        for actor, *_ in self._workers.values():
            with suppress(Exception):
                ray.kill(actor)
        self._workers.clear()
        give_back(self._controller)
        self._controller = None


def read_message(trial: Trial) -> str:
    """What Tune noted about the end of the trial's worker, without Ray's general advice."""
    text = ""
    with suppress(OSError, TypeError):
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    _, found, cause = text.rpartition("The actor is dead because ")
    if found:
        text = cause.partition(" Some common causes include")[0]
    return text.strip() or "the worker died without a message"


def last_lines(text: str, lines: int = 12) -> str:
    """The end of a long message, where the cause stands."""
    return "\n".join([line for line in text.splitlines() if line.strip(" ^~")][-lines:])


class StudySearcher(Searcher):  # type: ignore[misc]
    """Hands the study's trials to Tune.

    Args:
        bridge: to the driver.
    """

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Nothing of Tune's is needed."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration, ``None`` (not now) or ``FINISHED`` (for good)."""
        bridge = self._bridge
        bridge.notice()  # without a trial Tune calls this once a second, and nothing else
        task = bridge.guarded(None, bridge.driver.next_task, trial_id)
        if task is not None:
            # Workers have their own working folder.
            return {"task": dataclasses.replace(task, folder=as_given(task.folder))}
        if bridge.failure is not None or bridge.guarded(True, lambda: bridge.driver.done):
            return self.FINISHED
        return None

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """The scheduler has told the study already."""

    def save_to_dir(self, *_: Any, **__: Any) -> None:
        """The study is the record; no other is written."""


class StudyScheduler(FIFOScheduler):  # type: ignore[misc]
    """Stops the trials that the study wants stopped.

    Args:
        bridge: to the driver.
    """

    _supports_buffered_results = False

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._new: list[Trial] = []

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The oldest trial that Tune has found no worker for yet.

        A first-in-first-out scheduler would name a trial whose worker is still starting;
        Tune then gives that trial the worker that is free, throws the starting one away,
        and starts another for the next trial: with short trials for ever. The others of
        this list get their workers from Tune right after this call.
        """
        waiting = [t for t in self._new if t.status == Trial.PENDING]
        self._new.clear()
        return waiting[0] if waiting else None

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Tune took a trial up."""
        self._new.append(trial)
        self._bridge.guarded(None, self._bridge.added, tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> str:
        """Continue or stop, as the study says."""
        stop = str(TrialScheduler.STOP)
        return str(self._bridge.guarded(stop, self._bridge.result, trial, result))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """A worker died."""
        self._bridge.guarded(None, self._bridge.error, trial)


class StudyCallback(tune.Callback):  # type: ignore[misc]
    """Notices workers that begin, and ends the run.

    Args:
        bridge: to the driver.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def on_step_begin(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Between two steps of Tune's loop."""
        self._bridge.between_steps()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """A worker is about to begin with a trial."""
        self._bridge.guarded(None, self._bridge.started, trial)
