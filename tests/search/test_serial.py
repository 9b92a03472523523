from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from search.budget import Budget, Clock
from search.events import Event
from search.objective import Outcome, Step, Steps, Task
from search.serial import run_serial
from search.space import SearchSpace
from search.store.storage import DriverStorage
from search.study import Study, StudyConfig, read_study
from search.trials.halving import Halving

SPACE = SearchSpace.from_dict(
    {
        "genes": {
            "kind": {"choices": ["a", "b"]},
            "x": {"low": 0.0, "high": 1.0},
            "n": {"type": "int", "low": 1, "high": 9, "when": {"kind": "b"}},
        },
        "points": [{"name": "by-hand", "params": {"kind": "a", "x": 0.25}}],
    },
    "small",
)
STEPS = 3
TRIALS = 5
PASSING = {"started", "spans", "attempt"}
"""Attributes that tell when, not what."""


def objective(task: Task) -> Steps:
    """Complete, pruned, failed and crashing trials, all by the parameters."""
    x = float(task.params["x"])
    for step in range(1, STEPS + 1):
        yield Step(step, x * step / STEPS, {"seconds": step / 2}, last=step == STEPS)
    if x < 0.1:
        raise RuntimeError("too small")
    return Outcome(x, attrs={"best_epoch": STEPS})


def config(sampler: str = "random", **changes: Any) -> StudyConfig:
    settings = {"name": "s", "sampler": sampler, "seed": 5, "halving": Halving(1, 2, 2)}
    return StudyConfig(**{**settings, **changes})


def history(study: Study) -> list[Any]:
    """All that a resume must not change."""
    return [
        (
            trial.number, trial.state, trial.params, trial.values, trial.intermediate_values,
            {k: v for k, v in trial.user_attrs.items() if k not in PASSING}, trial.system_attrs,
        )
        for trial in study.trials()
    ]  # fmt: skip


def die(study: Study) -> None:
    """What is left when a driver is killed: its connections close, its lock falls."""
    study._storage._engine.dispose()
    study._lock._lock.release()


@pytest.fixture(params=["random", "genetic"])
def empty(request: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    Study.create(folder, SPACE, config(request.param)).close()
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    made = Study.create(tmp_path / "study", SPACE, config())
    yield made
    made.close()


def test_trials_run_until_the_budget_is_spent(study: Study) -> None:
    events: list[Event] = []
    run_serial(study, objective, Budget(trials=6), events.append)
    trials = study.trials()
    assert len(trials) == 6
    assert all(t.state.is_finished() for t in trials)
    assert {t.state for t in trials} >= {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials:
        kinds = [e.kind for e in events if e.number == trial.number]
        assert kinds == ["start", *["step"] * len(trial.intermediate_values), "end"]
        [[worker, start, end]] = trial.user_attrs["spans"]
        assert worker == "serial"
        assert start <= end
    assert all(e.worker == "serial" for e in events)
    assert study.get("elapsed") > 0
    run_serial(study, objective, Budget(trials=6))
    assert len(study.trials()) == 6


def test_a_crash_of_the_objective_is_one_failed_trial(study: Study) -> None:
    def broken(task: Task) -> Steps:
        if task.number == 1:
            raise RuntimeError("a reason")
        yield Step(1, float("nan") if task.number == 2 else 0.5)
        return Outcome(0.5)

    run_serial(study, broken, Budget(trials=4))
    reasons = [t.user_attrs.get("reason") for t in study.trials()]
    assert reasons == [None, "crash", "nan", None]
    assert "a reason" in study.trials()[1].user_attrs["detail"]


def test_a_pruned_trial_is_closed_at_once(study: Study) -> None:
    log = []

    def watched(task: Task) -> Steps:
        try:
            log.append(task.number)
            yield from objective(Task(task.number, {"x": 1.0 - task.number / 9}, 0, task.folder))
            return Outcome(1.0)
        finally:
            log.append(-1)

    run_serial(study, watched, Budget(trials=3))
    assert log == [0, -1, 1, -1, 2, -1]
    assert study.trials()[2].state == TrialState.PRUNED
    assert study.trials()[2].user_attrs["reason"] == "stopped early after step 1"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_trial_is_closed_and_goes_on_later(study: Study, stop: Any) -> None:
    closed = []

    def interrupted(task: Task) -> Steps:
        try:
            yield Step(1, 0.5)
            if not task.attempt:
                raise stop
            yield Step(2, 0.6, last=True)
        finally:
            closed.append(task.attempt)
        return Outcome(0.6)

    with pytest.raises(stop):
        run_serial(study, interrupted, Budget(trials=1))
    assert closed == [0]
    assert study.trials()[0].state == TrialState.RUNNING
    study.close()
    events: list[Event] = []
    with Study.open(study.folder) as again:
        run_serial(again, interrupted, Budget(trials=1), events.append)
        [trial] = again.trials()
    assert trial.state == TrialState.COMPLETE
    assert trial.intermediate_values == {1: 0.5, 2: 0.6}
    assert len(trial.user_attrs["spans"]) == 2
    assert (events[0].kind, events[0].task.attempt) == ("retry", 1)


def test_an_interrupt_in_a_callback_loses_nothing(study: Study) -> None:
    def press(event: Event) -> None:
        if event.kind == "step":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_serial(study, objective, Budget(trials=1), press)
    assert study.trials()[0].intermediate_values
    assert study.counts()["running"] == 1


def test_when_the_time_is_up_the_trial_waits_for_a_resume(study: Study, monkeypatch: Any) -> None:
    now = [0.0]
    monkeypatch.setattr("search.phases.Clock", partial(Clock, now=lambda: now[0]))

    def slow(task: Task) -> Steps:
        for step in range(1, 4):
            now[0] += 6
            yield Step(step, float(step), last=step == 3)
        return Outcome(3.0)

    run_serial(study, slow, Budget(seconds=10))
    assert [t.state for t in study.trials()] == [TrialState.RUNNING]
    assert list(study.trials()[0].intermediate_values) == [1, 2]
    assert study.get("elapsed") == 12
    study.close()
    with Study.open(study.folder) as again:
        run_serial(again, slow, Budget(seconds=10))
        assert again.trials()[0].state == TrialState.RUNNING, "there was no time left"
        run_serial(again, slow, Budget(trials=1, seconds=60))
        assert again.trials()[0].state == TrialState.COMPLETE


def test_a_trial_past_its_last_step_is_not_cut_off(study: Study, monkeypatch: Any) -> None:
    now = [0.0]
    monkeypatch.setattr("search.phases.Clock", partial(Clock, now=lambda: now[0]))

    def long(task: Task) -> Steps:
        now[0] += 100
        yield Step(1, 0.5, last=True)
        return Outcome(0.5)

    run_serial(study, long, Budget(seconds=10))
    assert [t.state for t in study.trials()] == [TrialState.COMPLETE]


# Killed anywhere


class Killed(BaseException):
    """The end of the process, as far as a test can bring it about."""


def kill_at(study: Study, moment: str, count: int, monkeypatch: Any) -> None:
    """Die at the ``count``-th statement, before the commit, or right after it."""
    left = [count]

    def tick(*args: Any, **kwargs: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    if moment == "committed":
        flush = DriverStorage._flush

        def flushed(storage: DriverStorage) -> None:
            flush(storage)
            tick()

        monkeypatch.setattr(DriverStorage, "_flush", flushed)
    else:
        name = {"statement": "before_cursor_execute", "commit": "commit"}[moment]
        sa.event.listen(study._storage._engine, name, tick)


@pytest.mark.parametrize("moment", ["statement", "commit", "committed"])
def test_a_kill_anywhere_changes_nothing_in_the_end(
    empty: Path, tmp_path: Path, moment: str, monkeypatch: Any
) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(empty, tmp_path / name))

    with Study.open(copy("whole")) as whole:
        run_serial(whole, objective, Budget(trials=TRIALS))
        expected = history(whole)
    states = {trial[1] for trial in expected}
    assert {TrialState.COMPLETE, TrialState.PRUNED} <= states
    stride = {"statement": 9, "commit": 3, "committed": 3}[moment]
    for count in range(1, 1000, stride):
        study = Study.open(copy(f"cut-{count}"))
        with monkeypatch.context() as patched:
            kill_at(study, moment, count, patched)
            try:
                run_serial(study, objective, Budget(trials=TRIALS))
            except Killed:
                killed = True
            else:
                killed = False
        die(study)
        with Study.open(study.folder) as again:
            run_serial(again, objective, Budget(trials=TRIALS))
            assert history(again) == expected, f"killed at {moment} {count}"
        if not killed:
            break
    assert not killed
    assert count > 4 * stride


PROGRAM = """
import sys, time
from pathlib import Path
from search.budget import Budget
from search.objective import Outcome, Step
from search.serial import run_serial
from search.study import Study

def objective(task):
    x = float(task.params["x"])
    for step in (1, 2, 3):
        time.sleep(0.01)
        yield Step(step, x * step / 3, {"seconds": step / 2}, last=step == 3)
    if x < 0.1:
        raise RuntimeError("too small")
    return Outcome(x, attrs={"best_epoch": 3})

with Study.open(Path(sys.argv[1])) as study:
    print("open", flush=True)
    sys.stdin.readline()
    run_serial(study, objective, Budget(trials=12))
"""


def test_a_real_kill_changes_nothing_in_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    Study.create(folder, SPACE, config()).close()
    moments = random.Random(20261123)
    kills = 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert read_study(folder).driver_alive  # it waits, so it cannot have ended before
        process.stdin.write(b"go\n")
        process.stdin.close()
        if kills < 2:
            time.sleep(moments.uniform(0.0, 0.25))
            os.kill(process.pid, signal.SIGKILL)
            kills += process.poll() is None or process.returncode == -signal.SIGKILL
        done = process.wait(60) == 0
        process.stdout.close()
        record = read_study(folder)
        assert not record.driver_alive
        assert record.counts()["running"] == 0
        if done:
            break
    with Study.create(tmp_path / "whole", SPACE, config()) as whole:
        run_serial(whole, objective, Budget(trials=12))
        expected = history(whole)
    with Study.open(folder) as study:
        found = history(study)
        for trial in [*found, *expected]:
            trial[5].pop("detail", None)  # a traceback names the file
        assert found == expected
        assert len(found) == 12
        assert study.counts()["interrupted"] == study.counts()["running"] == 0


def test_samplers_are_told_apart_by_what_they_see(tmp_path: Path) -> None:
    """The genetic sampler's later asks depend on the outcomes, so replay is put to the test."""
    runs: list[list[Any]] = []
    functions: list[Callable[[Task], Steps]] = [objective, _reversed]
    for index, function in enumerate(functions):
        settings = config("genetic", sampler_options={"population_size": 4}, halving=None)
        with Study.create(tmp_path / str(index), SPACE, settings) as study:
            run_serial(study, function, Budget(trials=12))
            runs.append([t.params for t in study.trials()])
    assert runs[0][:4] == runs[1][:4]
    assert runs[0][4:] != runs[1][4:]


def _reversed(task: Task) -> Steps:
    yield Step(1, 1.0 - float(task.params["x"]), last=True)
    return Outcome(1.0 - float(task.params["x"]))
