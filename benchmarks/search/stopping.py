"""Early stopping on LCBench's learning curves: what it saves and what it loses.

    python -m benchmarks.search.stopping
    python -m benchmarks.search.stopping --fast
    python -m benchmarks.search.stopping --half judge
    python -m benchmarks.search.stopping --samplers genetic --policies full promote stop

Whole searches run in the real `search.study.Study`, one trial after another in the serial
runner's order; only training is replaced by the 52 epochs of LCBench's surrogate. Each policy
is compared with full training in the same sampler with the same seed and as many trials. The
surrogate's curves are smoother than real ones, so the searches also run with noise on every
report: a half, and one and a half standard deviations of the top tenth's final values.

The judging half takes the policies as they are shipped, and each look at it is a line of
`stopping_judged.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np
from optuna.trial import TrialState
from rich.console import Console

from search.files import write_json
from search.objective import Task
from search.seeds import derive
from search.space import SearchSpace
from search.space.gene import Gene
from search.space.unit import from_unit
from search.study import Study, StudyConfig
from search.trials.halving import Halving, default_halving

from .judged import append
from .problems import EPOCHS, JUDGE_TASKS, LCBENCH, TUNE_TASKS, Curve, lcbench_curve
from .replay import Replay, Training
from .stopping_report import show

LOG = Path(__file__).with_name("stopping_judged.jsonl")
NEAR = 0.002
"""A result this close to that of full training counts as the same."""
POLICIES: dict[str, Halving | None] = {
    "full": None,
    "promote": default_halving(EPOCHS),
    "stop": default_halving(EPOCHS, promote=False),
    "promote, no slope": Halving(3, 2, 6, True, 2.0, EPOCHS),
    "promote, no margin": Halving(3, 2, 6, True, 0.0, EPOCHS, slope=0.5),
    "stop at 3, 6, 12, 24": Halving(3, 2, 6, False, 2.0, EPOCHS),
    "grace 1, reduction 3": Halving(1, 3, 3),
    "grace 1, reduction 4": Halving(1, 4, 4),
}
"""``promote`` and ``stop`` are what a search uses; the others show what their parts are for."""
NOISES = (0.0, 0.5, 1.5)
GENES = {name: Gene(name, dist).to_dict() for name, dist in LCBENCH.items()}
"""LCBench's genes as a study's space."""


@dataclass(frozen=True)
class Cell:
    """One search.

    Args:
        task: LCBench's.
        sampler: a name out of `search.samplers.SAMPLERS`.
        policy: a key of `POLICIES`.
        noise: standard deviation of a report's noise, in those of the top tenth's final values.
        seed: the study's.
        trials: how many.
    """

    task: str
    sampler: str
    policy: str
    noise: float
    seed: int
    trials: int


class Result(NamedTuple):
    """What a search came to; values are fractions, of all epochs or of accuracy.

    ``final`` and ``test`` are without noise, of the trial that is chosen by its noisy value.
    ``path`` has a pair (epochs spent, final value of the chosen trial) a completed trial.
    ``lost`` says whether the best of all recipes that were sampled did not complete, and
    ``survived`` which share of the best tenth of them did.
    """

    epochs: float
    seconds: float
    final: float
    test: float
    lost: bool
    survived: float
    pauses: int
    path: list[tuple[float, float]]


@cache
def spread(task: str) -> float:
    """Standard deviation of the final values of the best tenth of 200 random recipes."""
    rng = np.random.default_rng(derive(0, "spread", task))
    finals = []
    for _ in range(200):
        params = {name: from_unit(dist, float(rng.random())) for name, dist in LCBENCH.items()}
        finals.append(lcbench_curve(task, params).validation[-1])
    return float(np.std(sorted(finals)[-20:]))


class StoppingReplay(Replay):
    """The search of a cell, in its study."""

    def __init__(self, study: Study, cell: Cell) -> None:
        super().__init__(study, cell.trials, self._training)
        self.cell = cell
        self.curves: dict[int, Curve] = {}
        self.path: list[tuple[float, float]] = []
        self.sd = cell.noise * spread(cell.task) if cell.noise else 0.0

    def _training(self, task: Task) -> Training:
        curve = self.curves[task.number] = lcbench_curve(self.cell.task, task.params)
        rng = np.random.default_rng(derive(self.cell.seed, "noise", task.number))
        values = curve.validation + self.sd * rng.normal(size=EPOCHS)
        return Training(values.tolist(), float(values[-1]), float(curve.test[-1]))

    def completed(self, number: int) -> None:
        """What the search would choose by now."""
        best = self.study.best()
        assert best is not None
        self.path.append((self.spent, float(self.curves[best.number].validation[-1])))

    def result(self) -> Result:
        """What it came to."""
        trials = self.study.trials()
        finals = np.array([self.curves[t.number].validation[-1] for t in trials])
        complete = np.array([t.state == TrialState.COMPLETE for t in trials])
        best = self.study.best()
        assert best is not None
        ran = [len(t.intermediate_values) for t in trials]
        seconds = sum(self.curves[n].seconds[steps - 1] for n, steps in enumerate(ran))
        everything = sum(self.curves[n].seconds[-1] for n in range(len(trials)))
        top = np.argsort(-finals)[: max(1, len(trials) // 10)]
        whole = EPOCHS * len(trials)
        return Result(
            self.spent / whole,
            float(seconds / everything),
            float(finals[best.number]),
            float(self.curves[best.number].test[-1]),
            not complete[finals.argmax()],
            float(complete[top].mean()),
            self.pauses,
            [(spent / whole, value) for spent, value in self.path],
        )


def run(cell: Cell) -> Result:
    """One search, in a study of its own that is thrown away."""
    config = StudyConfig(
        "stopping", cell.sampler, cell.seed, halving=POLICIES[cell.policy], n_trials=cell.trials
    )
    space = SearchSpace.from_dict({"genes": GENES}, "lcbench")
    with (
        tempfile.TemporaryDirectory(prefix="stopping-") as folder,
        Study.create(Path(folder) / "s", space, config) as study,
        study.batch(),  # one transaction: nothing here is to survive a kill
    ):
        replay = StoppingReplay(study, cell)
        replay.run()
        return replay.result()


def summary(results: Mapping[Cell, Result]) -> list[dict[str, Any]]:
    """A row for each sampler, noise and policy: means over seeds, then medians over tasks."""
    groups: dict[tuple[str, float, str], dict[str, list[dict[str, float]]]] = {}
    for cell, result in results.items():
        full = results.get(Cell(**{**asdict(cell), "policy": "full"}))
        if full is not None:
            tasks = groups.setdefault((cell.sampler, cell.noise, cell.policy), {})
            tasks.setdefault(cell.task, []).append(compared(result, full))
    rows = []
    for (sampler, noise, policy), tasks in groups.items():
        row: dict[str, Any] = {"sampler": sampler, "noise": noise, "policy": policy}
        for key in next(iter(tasks.values()))[0]:
            means = [fmean(run[key] for run in runs) for runs in tasks.values()]
            row[key] = {"median": median(means), "low": min(means), "high": max(means)}
            row[key]["mean"] = fmean(means)
        rows.append({**row, "runs": sum(map(len, tasks.values()))})
    return rows


def compared(result: Result, full: Result) -> dict[str, float]:
    """One search beside the same with full training."""
    reached = [spent for spent, value in result.path if value >= full.final - NEAR]
    return {
        "epochs": result.epochs,
        "seconds": result.seconds,
        "final": result.final - full.final,
        "test": result.test - full.test,
        "near": float(result.final >= full.final - NEAR),
        "reached": min(reached, default=1.0),
        "lost": float(result.lost),
        "survived": result.survived,
        "pauses": float(result.pauses),
    }


def cells(options: argparse.Namespace) -> list[Cell]:
    """Everything to run; the genetic sampler, which is slow to ask, without noise."""
    tasks = TUNE_TASKS if options.half == "tune" else JUDGE_TASKS
    tasks = tasks[:3] if options.fast else tasks
    found = []
    for sampler in options.samplers:
        for noise in options.noises if sampler == "random" else (0.0,):
            for policy in dict.fromkeys(["full", *options.policies]):
                for seed in range(options.seeds):
                    found += [Cell(t, sampler, policy, noise, seed, options.trials) for t in tasks]
    return found


def run_all(todo: list[Cell], jobs: int) -> dict[Cell, Result]:
    """Run the cells in processes of their own."""
    results: dict[Cell, Result] = {}
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {pool.submit(run, cell): cell for cell in todo}
        for done in as_completed(waiting):
            results[waiting[done]] = done.result()
            print(f"\r{len(results)} of {len(todo)} runs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {cell: results[cell] for cell in todo}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", choices=("tune", "judge"), default="tune")
    parser.add_argument("--fast", action="store_true", help="three tasks, three seeds")
    parser.add_argument("--samplers", nargs="+", default=["random", "genetic"])
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--noises", nargs="+", type=float, default=NOISES)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, help="default: 10; with --fast 3")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="a JSON file for the rows")
    options = parser.parse_args(arguments)
    options.seeds = options.seeds or (3 if options.fast else 10)
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and put a look at the judging half on record."""
    options = parse(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = summary(run_all(cells(options), options.jobs))
    show(rows, Console(width=190))
    if options.out:
        write_json(options.out, rows)
    if options.half == "judge":
        append({"trials": options.trials, "rows": json.loads(json.dumps(rows))}, LOG)
    return 0


if __name__ == "__main__":
    sys.exit(main())
