"""Runs cells: one sampler on one problem with one seed each, several at a time."""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any
from zlib import crc32

import numpy as np

from .cells import Cell, Key, improvements
from .contenders import entry
from .problems import Problem, problem

BUDGETS = (25, 50, 100, 200)
"""Numbers of trials after which a run is judged."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """A cell to run."""

    sampler: str
    version: str
    slow: bool
    problem: str
    seed: int
    trials: int

    @property
    def key(self) -> Key:
        """(problem, seed)."""
        return self.problem, self.seed


def noise(name: str, seed: int, trial: int) -> np.random.Generator:
    """The generator of an evaluation's noise: the same for every sampler."""
    return np.random.default_rng([crc32(name.encode()), seed, trial])


@cache
def definition(name: str) -> str:
    """Names what a problem is: its genes and what four configurations score."""
    this = problem(name)
    drawn = [this.random(noise(name, 0, k)) for k in range(4)]
    scores = [f"{this.evaluate(params, noise(name, 0, 0))[1]:.4g}" for params in drawn]
    text = repr((sorted(this.distributions.items()), sorted(this.conditions.items()), scores))
    return sha256(text.encode()).hexdigest()[:8]


def run_cell(job: Job) -> Cell:
    """Run one cell here.

    Raises:
        ValueError: the sampler asked for something outside the problem's distributions.
    """
    this = problem(job.problem)
    contender = entry(job.sampler).make(this, job.seed, job.trials)
    observed, true, spent = [], [], []
    try:
        for trial in range(job.trials):
            start = time.perf_counter()
            key, params = contender.ask()
            asked = time.perf_counter() - start
            _check(this, params)
            seen, real = this.evaluate(params, noise(job.problem, job.seed, trial))
            start = time.perf_counter()
            contender.tell(key, params, seen)
            spent.append(asked + time.perf_counter() - start)
            observed.append(seen)
            true.append(real)
    finally:
        contender.close()
    return Cell(
        job.sampler,
        job.version,
        job.slow,
        job.problem,
        definition(job.problem),
        job.seed,
        job.trials,
        improvements(observed, true),
        tuple(round(sum(spent[:b]), 4) for b in BUDGETS if b <= job.trials),
        (round(float(np.median(spent)), 6), round(float(np.quantile(spent, 0.95)), 6)),
    )


def _check(this: Problem, params: Mapping[str, Any]) -> None:
    for name, value in this.active(params).items():
        dist = this.distributions[name]
        if not dist._contains(dist.to_internal_repr(value)):
            raise ValueError(f"{name} = {value!r} is outside {dist} of {this.name}")


def plan(
    samplers: Sequence[tuple[str, str, bool]],
    problems: Iterable[str],
    seeds: Sequence[int],
    slow_seeds: int,
    trials: int,
    slow_trials: int,
) -> list[Job]:
    """All cells, seeds outermost, so that what is there after a while can be compared.

    Args:
        samplers: (name, version, slow) each.
        problems: their names.
        seeds: of the fast samplers.
        slow_seeds: how many of the seeds, from the first on, the slow ones run with.
        trials: of the fast samplers.
        slow_trials: at most so many for the slow ones.
    """
    names = list(problems)
    return [
        Job(name, version, slow, where, seed, min(trials, slow_trials) if slow else trials)
        for place, seed in enumerate(seeds)
        for where in names
        for name, version, slow in samplers
        if not slow or place < slow_seeds
    ]


def todo(
    jobs: Iterable[Job], done: Mapping[str, Mapping[Key, Cell]], fresh: bool
) -> tuple[list[Job], int]:
    """(the jobs without a cell, number of stale cells that are left as they are).

    A cell with too few trials is no cell. A stale one, of another version of the sampler or
    the problem, counts unless ``fresh``.
    """
    left, stale = [], 0
    for job in jobs:
        cell = done.get(job.sampler, {}).get(job.key)
        old = cell is not None and is_stale(cell, job.version)
        if cell is None or cell.trials < job.trials or (old and fresh):
            left.append(job)
        else:
            stale += old
    return left, stale


def is_stale(cell: Cell, version: str) -> bool:
    """Whether a cell comes from other code than today's."""
    return cell.version != version or cell.definition != definition(cell.problem)


def run_all(
    jobs: Sequence[Job], workers: int, keep: Callable[[Cell], None]
) -> Iterator[tuple[Job, str]]:
    """Run ``jobs`` in ``workers`` processes and hand each cell to ``keep``.

    Yields:
        Each job as it ends, with the reason if it failed, else ``""``.
    """
    for name in THREADS:
        os.environ.setdefault(name, "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _quiet) as pool:
        waiting = iter(jobs)
        running: dict[Future[Cell], Job] = {}
        try:
            while True:
                # Few at a time, so that an interrupt needn't wait for a queue.
                for job in waiting:
                    running[pool.submit(run_cell, job)] = job
                    if len(running) >= 2 * workers:
                        break
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), _kept(future, keep)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _kept(future: Future[Cell], keep: Callable[[Cell], None]) -> str:
    try:
        cell = future.result()
    except Exception as error:  # any library's own; the other cells go on
        return f"{type(error).__name__}: {error}"
    keep(cell)
    return ""


def _quiet() -> None:
    """In a worker: warnings of the libraries compared are for their users."""
    import optuna

    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
