"""Samplers with many workers, on a simulated clock.

    python -m benchmarks.search.workers --fast
    python -m benchmarks.search.workers --jobs 2
    python -m benchmarks.search.workers --charge-asks --workers 64 256 1000 --samplers genetic tpe

How busy the workers are, what many of them cost in quality a trial and save in time, what
an ask costs, and whether recipes that are quick to train are favoured because their results
come back first (Scott and De Jong, "Understanding simple asynchronous evolutionary
algorithms", FOGA 2015). Trials take LCBench's own seconds for their configuration, or
lognormal(1.0) seconds whatever the configuration. Problems are those of the tuning half.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from math import exp
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial
from scipy.stats import spearmanr

from search.files import write_json
from search.genetic import GeneticSampler
from search.seeds import derive

from . import workers_report
from .problem import Problem
from .problems import LCBENCH, lcbench_curve, problem
from .simulator import Schedule, simulate
from .workers_result import Cell, Result

WORKERS = (1, 2, 4, 8, 16, 64, 256, 1000)
COMPARED = (1, 8, 64)
"""Numbers of workers that run with every seed; the others show how things go between them."""
MANY = 64
"""Above this many workers one seed and one problem do: their subject is the clock."""
BUDGET = 200
PROBLEMS = ("lcbench-126025", "lcbench-168329", "hpobench-kc1", "models-two", "recipe-noisy")
FAST = ("lcbench-126025", "models-two")
MINUTES = 10.0
"""Mean length of a trial with lognormal times when the driver's own seconds are charged."""


def _wide(seed: int, workers: int) -> BaseSampler:
    return GeneticSampler(seed=seed, scheme="generational", population_size=max(20, workers))


SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {
    "genetic": lambda seed, workers: GeneticSampler(seed=seed),
    "generational": lambda seed, workers: GeneticSampler(seed=seed, scheme="generational"),
    "generational, wide": _wide,
    "tpe": lambda seed, workers: TPESampler(seed=seed),
    "random": lambda seed, workers: RandomSampler(seed=seed),
}
"""``(seed, workers) -> sampler``; the wide one's generation holds every worker, and 20 at least."""


class StudyDriver:
    """A plain Optuna study in memory, as `simulator.Driver`.

    Args:
        problem: what is evaluated.
        sampler: who proposes.
        seconds: ``(number, params) -> simulated seconds`` of a trial.
        seed: of the evaluations' noise.
    """

    def __init__(
        self,
        problem: Problem,
        sampler: BaseSampler,
        seconds: Callable[[int, dict[str, Any]], float],
        seed: int,
    ) -> None:
        self.problem = problem
        self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self.proposed: list[float] = []
        self._barrier = getattr(sampler, "scheme", "") == "generational"
        self._seconds = seconds
        self._seed = seed
        self._running: dict[int, tuple[optuna.Trial, dict[str, Any]]] = {}
        self.scores: dict[int, tuple[float, float]] = {}

    def ready(self) -> bool:
        """Whether the sampler's barrier, if it has one, is open for the next trial."""
        if not self._barrier:
            return True
        trials: list[FrozenTrial] = self.study.get_trials(deepcopy=False)
        assert isinstance(self.study.sampler, GeneticSampler)
        return self.study.sampler.ready(trials, len(trials))

    def ask(self) -> tuple[int, float]:
        """A trial with all its active genes, and how long it will take."""
        trial = self.study.ask()
        params: dict[str, Any] = {}
        for name, dist in self.problem.distributions.items():
            parent, values = self.problem.conditions.get(name, (None, ()))
            if parent is None or params.get(parent) in values:
                params[name] = trial._suggest(name, dist)
        self._running[trial.number] = trial, params
        self.proposed.append(self._seconds(trial.number, params))
        return trial.number, self.proposed[-1]

    def advance(self, number: int) -> None:
        """The trial ends: it is evaluated and told."""
        trial, params = self._running.pop(number)
        rng = np.random.default_rng(derive(self._seed, "score", number))
        self.scores[number] = self.problem.evaluate(params, rng)
        self.study.tell(trial, self.scores[number][0])


def lognormal(seed: int, unit: float = 1.0) -> Callable[[int, dict[str, Any]], float]:
    """Seconds of mean ``unit`` whose logarithms have a deviation of 1, by the trial's number."""
    return lambda number, params: (
        unit * exp(Random(derive(seed, "seconds", number)).gauss(-0.5, 1.0))
    )


def times_of(cell: Cell) -> Callable[[int, dict[str, Any]], float]:
    """How long a cell's trials take."""
    if cell.times == "lognormal":
        return lognormal(cell.seed, 60 * MINUTES if cell.charge else 1.0)
    task = cell.problem.removeprefix("lcbench-")
    return lambda number, params: float(lcbench_curve(task, params).seconds[-1])


def run(cell: Cell) -> Result:
    """Run one cell."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    sampler = SAMPLERS[cell.sampler](cell.seed, cell.workers)
    driver = StudyDriver(problem(cell.problem), sampler, times_of(cell), cell.seed)
    schedule = simulate(driver, cell.workers, cell.trials, float(cell.charge))
    charged = np.asarray(schedule.charged)
    # Compared over the same number of proposals, however many workers there are.
    logs = np.log(driver.proposed[10:BUDGET])
    return Result(
        cell,
        schedule.utilisation(schedule.last_start),
        schedule.utilisation(schedule.makespan),
        schedule.makespan,
        float(np.mean(driver.proposed)),
        (float(np.median(charged)), float(np.quantile(charged, 0.95))),
        float(charged.sum() / schedule.last_start) if schedule.last_start else 0.0,
        improvements(driver, schedule),
        float(logs.mean()),
        float(spearmanr(np.arange(len(logs)), logs).statistic),
    )


def improvements(driver: StudyDriver, schedule: Schedule) -> list[tuple[int, float, float]]:
    """(trials ended, seconds, regret of the best *observed* one) at each new best."""
    found: list[tuple[int, float, float]] = []
    best = -float("inf")
    for count, number in enumerate(schedule.ended, 1):
        observed, true = driver.scores[number]
        if observed > best:
            best = observed
            found.append((count, schedule.end(number), driver.problem.regret(true)))
    return found


def cells(options: argparse.Namespace) -> list[Cell]:
    """Everything to run. Random search on one worker is always among it, as the target."""
    found: dict[Cell, None] = {}
    wanted = [(name, count) for count in options.workers for name in options.samplers]
    for place, name in enumerate(options.problems):
        for times in ("lognormal", "lcbench"):
            if times == "lcbench" and (problem(name).distributions != LCBENCH or options.charge):
                continue
            for sampler, count in [("random", 1), *wanted]:
                if count > MANY and (place or times == "lcbench"):
                    continue
                seeds = options.seeds if count in COMPARED else 1
                trials = max(BUDGET, 3 * count)
                charge = options.charge
                for seed in range(seeds):
                    found[Cell(sampler, name, times, count, seed, trials, charge)] = None
    # The long ones first, so that no core is left with one of them at the end.
    return sorted(found, key=lambda cell: -cell.trials)


def run_all(todo: list[Cell], jobs: int) -> list[Result]:
    """Run the cells in processes of their own, in no particular order; results in theirs."""
    results: dict[Cell, Result] = {}
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [pool.submit(run, cell) for cell in todo]
        for done in as_completed(waiting):
            result = done.result()
            results[result.cell] = result
            print(f"\r{len(results)} of {len(todo)} runs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [results[cell] for cell in todo]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="1, 8 and 64 workers, two problems")
    parser.add_argument("--workers", type=int, nargs="+")
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=list(SAMPLERS))
    parser.add_argument("--problems", nargs="+")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--charge-asks",
        dest="charge",
        action="store_true",
        help=f"the driver's real seconds pass on the clock too; trials take {MINUTES:g} minutes",
    )
    parser.add_argument("--out", type=Path, default=Path("results/bench-workers"))
    options = parser.parse_args(arguments)
    options.workers = options.workers or list(COMPARED if options.fast else WORKERS)
    options.problems = options.problems or list(FAST if options.fast else PROBLEMS)
    options.seeds = options.seeds or (2 if options.fast else 5)
    if min(options.workers) < 1 or options.seeds < 1 or options.jobs < 1:
        parser.error("--workers, --seeds and --jobs must be at least 1")
    return options


def main() -> int:
    """Run, print the tables, write JSON and a page; 1 if workers wait or quality suffers."""
    options = parse()
    results = run_all(cells(options), options.jobs)
    figures = workers_report.figures(results)
    print(workers_report.text(figures))
    runs = [asdict(result) for result in results]
    write_json(options.out / "workers.json", workers_report.plain({**figures, "runs": runs}))
    page = workers_report.page(options.out / "workers.html", figures)
    print(f"{page}")
    return 0 if workers_report.targets_met(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
