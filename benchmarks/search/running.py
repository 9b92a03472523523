"""Runs cells: one sampler on one problem with one seed each, several at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from threading import Thread
from typing import Any

import numpy as np
import optuna

from .cells import BUDGETS, Cell, Course, Key, improvements
from .contender import Contender
from .contenders import entry
from .problem import Problem, noise
from .situations import searching
from .situations.situation import Situated, problem

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


@cache
def definition(name: str) -> str:
    """Names what a problem is: its genes and what four configurations score.

    In a situation also its points, trainings and rungs.
    """
    this = problem(name)
    drawn = [this.random(noise(name, 0, k)) for k in range(4)]
    scores = [f"{this.evaluate(params, noise(name, 0, 0))[1]:.4g}" for params in drawn]
    text = repr((sorted(this.distributions.items()), sorted(this.conditions.items()), scores))
    if isinstance(this, Situated):
        text += this.signature()
    return sha256(text.encode()).hexdigest()[:8]


def run_cell(job: Job) -> Cell:
    """Run one cell here.

    Raises:
        ValueError: the sampler asked for something outside the problem's distributions.
    """
    this = problem(job.problem)
    contender = entry(job.sampler).make(this, job.seed, job.trials)
    try:
        if isinstance(this, Situated):
            course = searching.run(this, contender, job.seed, job.trials)
        else:
            course = _run(this, contender, job.seed, job.trials)
    finally:
        contender.close()
    spent = course.spent
    return Cell(
        job.sampler,
        job.version,
        job.slow,
        job.problem,
        definition(job.problem),
        job.seed,
        job.trials,
        course.best,
        tuple(round(sum(spent[:b]), 4) for b in BUDGETS if b <= job.trials),
        (round(float(np.median(spent)), 6), round(float(np.quantile(spent, 0.95)), 6)),
        course.recommended,
        course.rule,
    )


def _run(this: Problem, contender: Contender, seed: int, trials: int) -> Course:
    scores, spent = [], []
    for trial in range(trials):
        start = time.perf_counter()
        key, params = contender.ask()
        asked = time.perf_counter() - start
        _check(this, params)
        seen, real = this.evaluate(params, noise(this.name, seed, trial))
        start = time.perf_counter()
        contender.tell(key, params, seen)
        spent.append(asked + time.perf_counter() - start)
        scores.append((trial, seen, real))
    return Course(improvements(scores), spent)


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
    jobs: Iterable[Job], workers: int, keep: Callable[[Cell], None]
) -> Iterator[tuple[Job, str]]:
    """Run ``jobs`` in ``workers`` processes and hand each cell to ``keep``.

    Yields:
        Each job as it ends, with the reason if it failed, else ``""``.
    """
    for name in THREADS:
        os.environ.setdefault(name, "1")
    context = multiprocessing.get_context("spawn")
    waiting = deque(jobs)
    while waiting:
        pool = ProcessPoolExecutor(workers, context, _prepare)
        try:
            yield from _drain(pool, waiting, 2 * workers, keep)
        finally:
            # After an interrupt nobody waits for the cells that are under way.
            for child in multiprocessing.active_children():
                child.terminate()
            pool.shutdown(cancel_futures=True)


def _drain(
    pool: ProcessPoolExecutor, waiting: deque[Job], most: int, keep: Callable[[Cell], None]
) -> Iterator[tuple[Job, str]]:
    """Run what waits, until all is done or a process of the pool died."""
    running: dict[Future[Cell], Job] = {}
    broken = False
    while running or (waiting and not broken):
        # Few at a time, so that an interrupt needn't wait for a queue.
        while waiting and len(running) < most and not broken:
            try:
                running[pool.submit(run_cell, waiting[0])] = waiting[0]
                waiting.popleft()
            except BrokenExecutor:
                broken = True
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            broken = broken or isinstance(future.exception(), BrokenExecutor)
            yield running.pop(future), _kept(future, keep)


def _kept(future: Future[Cell], keep: Callable[[Cell], None]) -> str:
    error = future.exception()
    if error is not None:  # any library's own; the other cells go on
        return f"{type(error).__name__}: {error}"
    keep(future.result())
    return ""


def _prepare() -> None:
    """In a worker: be quiet, leave interrupts to the parent, and end when it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
