"""The small search that `kills.py` kills: a child process, and the points it can die at.

Run by `kills.py`; by hand: ``python -m benchmarks.kills_search FOLDER serial genetic 0 8``.
Its objective is arithmetic, checkpoints every step through `search.files`, and keeps a
ledger of what it did, so that the parent can tell what was done twice.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search import files
from search.budget import Budget
from search.objective import Outcome, Step, Steps, Task
from search.reading import read_json
from search.seeds import derive
from search.space import SearchSpace
from search.store.storage import DriverStorage
from search.study import Study, StudyConfig
from search.trials.halving import Halving

STEPS = 4
CHECKPOINT = "checkpoint.json"
LEDGER = "ledger.jsonl"
GO = "search begins"
KILL_AT = "KILLS_AT"
SPACE = {
    "name": "kills",
    "genes": {
        "model": {"choices": ["small", "large"]},
        "lr": {"low": 1e-5, "high": 1e-1, "log": True},
        "depth": {"type": "int", "low": 1, "high": 9},
        "dropout": {"low": 0.0, "high": 0.5, "step": 0.1, "when": {"model": "large"}},
    },
    "points": [{"name": "by-hand", "params": {"model": "small", "lr": 1e-3, "depth": 3}}],
}
POINTS = {
    "before-rename": "within a checkpoint's write, before the rename",
    "after-rename": "within a checkpoint's write, after the rename",
    "saved": "between checkpoint and report",
    "created": "between creating a trial and its first suggest",
    "asked": "between ask and the first step",
    "reported": "between the last report and tell",
    "committing": "inside the transaction of an ask, a report or a tell",
    "told": "right after tell",
}


def value_of(params: dict[str, Any], seed: int, step: int) -> float:
    """What the trial is worth after ``step``: a hill in the genes, noise from the seed."""
    hill = 0.9 - 0.05 * abs(math.log10(params["lr"]) + 3) - 0.01 * abs(params["depth"] - 4)
    hill += 0.1 - params["dropout"] if params["model"] == "large" else 0.0
    noise = derive(seed, step) / 2**31 - 0.5
    return float(hill * (1 - math.exp(-step)) + 0.02 * noise)


class Ledgered:
    """The objective; ``ledger`` gets a line for every step run and every step saved.

    Args:
        ledger: a file that all workers append to.
        seconds: what a step takes.
    """

    def __init__(self, ledger: Path, seconds: float) -> None:
        self.ledger = ledger
        self.seconds = seconds

    def __call__(self, task: Task) -> Steps:
        """Run ``task``, or go on with it."""
        install(self.ledger.parent, objective=True)
        file = task.folder / CHECKPOINT
        values = read_json(file) if file.exists() else []
        for step, value in enumerate(values, 1):
            yield self._said(step, value)
        while len(values) < STEPS:
            step = len(values) + 1
            self._note("run", task, step)
            time.sleep(self.seconds)
            values.append(value_of(dict(task.params), task.seed, step))
            files.write_json(file, values)
            self._note("saved", task, step)
            at("saved")
            yield self._said(step, values[-1])
        return Outcome(value=max(values), attrs={"total": len(values)})

    @staticmethod
    def _said(step: int, value: float) -> Step:
        return Step(step, value, {"steps_seen": step}, last=step == STEPS)

    def _note(self, what: str, task: Task, step: int) -> None:
        line = json.dumps([what, task.number, step, task.attempt, os.getpid()])
        with self.ledger.open("a") as ledger:
            ledger.write(line + "\n")


# Kill points


class _Killer:
    point = ""
    left = 0
    folder = Path()
    process = 0  # a worker gets a copy of this class, and has to set itself up


def at(point: str) -> None:
    """Die here if this is the point, and the occurrence of it, that was asked for."""
    if point != _Killer.point:
        return
    _Killer.left -= 1
    if _Killer.left == 0:
        # Once in all, also when a resumed run or another worker comes by.
        try:
            (_Killer.folder / f"died-{point}").touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def install(folder: Path, objective: bool) -> None:
    """Set up the point that the environment names, ``<point>:<occurrence>``."""
    if _Killer.process == os.getpid() or KILL_AT not in os.environ:
        return
    _Killer.process = os.getpid()
    _Killer.folder = folder
    _Killer.point, _, count = os.environ[KILL_AT].partition(":")
    _Killer.left = int(count)
    _around(files, "replace_file", "before-rename", "after-rename", _is_checkpoint)
    if objective:
        return
    _around(DriverStorage, "create_new_trial", "", "created")
    _around(DriverStorage, "_flush", "committing", "")
    _around(Study, "ask", "", "asked")
    _around(Study, "tell", "reported", "told")


def _is_checkpoint(*arguments: Any) -> bool:
    return Path(arguments[1]).name == CHECKPOINT


def _always(*_: Any) -> bool:
    return True


def _around(
    owner: Any,
    name: str,
    before: str,
    after: str,
    when: Callable[..., bool] = _always,
) -> None:
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if when(*arguments):
            at(before)
        result = original(*arguments, **named)
        if when(*arguments):
            at(after)
        return result

    setattr(owner, name, wrapped)


def main(folder: Path, runner: str, sampler: str, seed: int, trials: int, seconds: float) -> None:
    """Make the study, or go on with it, to its end."""
    install(folder, objective=False)
    home = folder / "study"
    objective = Ledgered(folder / LEDGER, seconds)
    if (home / "history.db").exists():
        study = Study.open(home)
    else:
        halving = Halving(grace=2, reduction=2, min_peers=3)
        options = {"population_size": 4} if sampler in ("genetic", "nsga2") else {}
        if sampler in ("tpe", "gp"):
            options = {"n_startup_trials": 4}
        config = StudyConfig(
            "kills", sampler, seed, sampler_options=options, halving=halving, retries=50
        )
        study = Study.create(home, SearchSpace.from_dict(SPACE, "kills"), config)
    with study:
        print(GO, flush=True)
        if runner == "serial":
            from search.serial import run_serial

            run_serial(study, objective, Budget(trials=trials))
        else:
            from search.tune import run_tune

            run_tune(study, objective, Budget(trials=trials))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]).absolute(),
        sys.argv[2],
        sys.argv[3],
        int(sys.argv[4]),
        int(sys.argv[5]),
        float(sys.argv[6]) if len(sys.argv) > 6 else 0.05,
    )
