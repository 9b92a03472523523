"""Run a study's trials on Ray Tune: the same contract as `search.serial`, on many workers.

The study is the truth and Ray executes. Tune gets its trials from `Study.ask` through a
searcher of our own, each result goes to `Study.report` or `Study.tell` in this process,
and a trial whose worker dies goes on under its own number from its own checkpoint.
Tune's own checkpoints, logs and results are not used.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import ray
from ray import tune

from search.budget import Budget
from search.confirm.confirming import Confirming
from search.cores import thread_environment, threads_of
from search.errors import StudyError
from search.events import OnEvent
from search.files import as_given
from search.objective import Objective
from search.phases import phases
from search.stopping import Stop, stopping
from search.study import Study
from search.trials.repeats import Repeats

from .bridge import Bridge, Halt, StudyCallback, StudyScheduler, StudySearcher
from .cluster import Cluster, Resources, connected
from .driver import Driver, Usage
from .own import own_folder
from .preflight import Preflight
from .quiet import quiet, usual_signals
from .worker import TrialWorker

CRASHES = 3
"""Crashes of Ray Tune in a row, without a sign of life between them, that end the search."""


def run_tune(
    study: Study,
    objective: Objective,
    budget: Budget | None,
    resources: Resources | None = None,
    on_event: OnEvent | None = None,
    ahead: int = 0,
    confirm: Confirming | None = None,
) -> Usage:
    """Run trials on Ray until the budget is spent, and then confirm the finalists if asked to.

    Trials that an earlier driver left running go on first, and paused ones before new ones, as
    soon as they are among the best of their rung. When the time is up nothing new
    is asked for, and running trials stop after their current step and stay RUNNING, to be
    resumed by a later run.

    Args:
        study: an open study; only this process writes it.
        objective: what a worker runs. Shipped once, so it must be picklable.
        budget: what ends the search; ``None``: it is over, and only finalists are confirmed.
        resources: of a trial; by default one CPU.
        on_event: told of every start, step, pause, end and retry, in this thread.
        ahead: trials asked for beyond those that fit at a time. The default waits until a
            worker is free, so that each trial has learnt from all that have ended; the
            price is the time of one ask, see `benchmarks/overhead.py`.
        confirm: who is confirmed after the search, and how often; ``None``: nobody. A worker that
            is free while others finish the search waits for them.

    Returns:
        the workers used, and how far ahead of them trials were asked for.

    Raises:
        StudyError: where no trial can ever be scheduled, where trials could not run on a node
            (`search.tune.preflight`), where no worker can load the objective, where the history
            cannot be written, or where the machine fails one trial after another
            (`search.breaker`).
        Stopped: a `KeyboardInterrupt`, after Ctrl-C, SIGTERM or SIGHUP; workers are gone, their
            trials stay RUNNING.
    """
    resources = resources or Resources()
    # A signal in the middle of Ray's or the database's work would leave either half done, so it
    # is noticed, and asked for between two events.
    with (
        usual_signals(),
        stopping() as stop,
        quiet(**thread_environment(threads_of(resources.cpus))),
        connected(resources, stop) as cluster,
    ):
        study.repeats = Repeats(objective)
        parts = phases(study, budget, confirm, on_event)
        driver = Driver(study, next(parts), cluster.capacity, on_event, ahead)
        preflight = Preflight(cluster, objective, as_given(study.folder))
        try:
            reference = _ship(objective)
            preflight.before(stop)
            _run(driver, cluster, preflight, reference, stop)
            for phase in parts:
                driver.begin(phase)
                _run(driver, cluster, preflight, reference, stop)
        except OSError as error:
            stop.raise_(error)  # a terminal that has gone cannot be written to
            raise
        finally:
            preflight.close()
            driver.abandon()
    stop.raise_()
    return driver.usage


def _run(
    driver: Driver, cluster: Cluster, preflight: Preflight, objective: Any, stop: Stop
) -> None:
    """One phase. ``objective`` is a reference to it."""
    crashes = 0
    while not driver.done:
        bridge = Bridge(driver, cluster, preflight, stop)
        before = driver.heard
        try:
            _tune(bridge, objective)
        except Halt:
            if bridge.failure is None:  # a node is left out: all others go on elsewhere
                bridge.kill_workers()
                driver.scatter()
        except Exception as error:
            # Tune gives up on errors that it does not know, a node that is lost among them.
            crashes = crashes + 1 if driver.heard == before else 1
            if crashes >= CRASHES or not ray.is_initialized():
                raise StudyError(f"Ray Tune stopped: {error}; resume the study") from error
            bridge.kill_workers()
            driver.crashed(f"Ray Tune stopped: {error}")
        finally:
            bridge.kill_workers()
        if bridge.failure is not None:
            raise bridge.failure
    driver.finish()


def _ship(objective: Objective) -> Any:
    try:
        return ray.put(objective)
    except (TypeError, AttributeError) as error:
        raise StudyError(
            f"the objective cannot be sent to other processes: {error}; run it with the serial "
            "runner, or make it picklable"
        ) from error


def _tune(bridge: Bridge, objective: Any) -> None:
    """One run of Tune's loop. Whatever it writes lies in a folder that is removed."""
    resources = bridge.cluster.resources
    bundle = {"CPU": resources.cpus, **({"GPU": resources.gpus} if resources.gpus else {})}
    # `ray.io/node-id` is a label that Ray gives to every node.
    left_out = bridge.cluster.left_out
    names = {"ray.io/node-id": f"!in({','.join(sorted(left_out))})"}
    elsewhere: dict[str, Any] = {"bundle_label_selector": [names]} if left_out else {}
    with (
        own_folder()
        if bridge.cluster.logs is None
        else nullcontext(bridge.cluster.logs.parent / "tune") as folder
    ):
        tune.run(
            TrialWorker,
            name="search",
            storage_path=str(folder),
            num_samples=-1,
            config={
                "objective": objective,
                "threads": threads_of(resources.cpus),
            },
            resources_per_trial=tune.PlacementGroupFactory([bundle], **elsewhere),
            search_alg=StudySearcher(bridge),
            scheduler=StudyScheduler(bridge),
            callbacks=[StudyCallback(bridge)],
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
            reuse_actors=True,
            raise_on_failed_trial=False,
            max_failures=0,
            verbose=0,
        )
