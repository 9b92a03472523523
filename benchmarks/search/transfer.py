"""Warm starts: what earlier studies save, and what unrelated ones cost.

    python -m benchmarks.search.transfer [--half tune|judge] [--fast]

A new genetic search of an LCBench task, cold and started from earlier genetic searches of 100
trials: of other tasks of the same half, of the same task in another space, and of problems
that have nothing to do with it. Both searches of a pair have the same seed. The figure is the
ratio of the warm searches' mean regret to the cold ones', with a two-level bootstrap interval
over tasks and seeds. Runs are kept and go on where they stopped. Looks at the judging half are
appended to ``transfer_judged.jsonl``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import click
import numpy as np
import optuna
from rich.console import Console
from rich.progress import track
from rich.table import Table

from search.files import write_text
from search.prior import PRIOR
from search.samplers.warm_sampler import WarmSampler

from . import stats
from .fingerprint import fingerprint
from .judged import commit
from .problems import JUDGE_TASKS, LCBENCH, TUNE_TASKS, problem
from .transfer_sources import KINDS, genetic, searched, task_score

BUDGETS = (10, 25, 50, 100)
HERE = Path(__file__).parent
LOG = HERE / "transfer_judged.jsonl"
RESULTS = HERE.parents[1] / "results"
COLD = "cold"


class Job(NamedTuple):
    """One search: ``kind`` says what it starts from."""

    kind: str
    task: str
    seed: int
    trials: int


class Run(NamedTuple):
    """One search that ended: normalised regret after each of `BUDGETS`, repeated trials."""

    kind: str
    task: str
    seed: int
    version: str
    regret: list[float]
    repeated: int


def run(job: Job, tasks: tuple[str, ...]) -> Run:
    """One search, cold or warm."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler: Any = genetic(job.seed)
    if job.kind != COLD:
        sampler = WarmSampler(sampler, KINDS[job.kind](job.task, job.seed, tasks), LCBENCH)
    trials = searched(task_score(job.task), job.seed, job.trials, sampler).trials
    this = problem(f"lcbench-{job.task}")
    regret = []
    for budget in (b for b in BUDGETS if b <= job.trials):
        best = max(trials[:budget], key=lambda t: (t.value, -t.number))
        regret.append(this.regret(best.user_attrs["true"]))
    repeated = sum(PRIOR in t.user_attrs for t in trials)
    return Run(job.kind, job.task, job.seed, version(), regret, repeated)


@cache
def version() -> str:
    """Names the code under test."""
    found = (fingerprint("genetic", "GeneticSampler"), fingerprint("warm_sampler", "WarmSampler"))
    earlier = crc32((HERE / "transfer_sources.py").read_bytes())
    return f"{'-'.join(found)}-{earlier:08x}"


def read(path: Path) -> dict[tuple[str, str, int], Run]:
    """The runs of this version that are kept in ``path``; a torn last line is left out."""
    found = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        try:
            kept = Run(**json.loads(line))
        except (ValueError, TypeError):
            continue
        if kept.version == version():
            found[kept.kind, kept.task, kept.seed] = kept
    return found


def run_all(jobs: Iterable[Job], tasks: tuple[str, ...], processes: int) -> Iterator[Run]:
    """Every job's run, as they end. Jobs of a task stay together, so that sources are shared."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run, job, tasks) for job in jobs]
        for future in as_completed(futures):
            yield future.result()


def compare(runs: Mapping[tuple[str, str, int], Run]) -> dict[str, Any]:
    """For each kind and budget the ratio of mean regrets, its interval, and the share of wins."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        pairs = [
            (runs[COLD, task, seed], warm)
            for (k, task, seed), warm in runs.items()
            if k == kind and (COLD, task, seed) in runs
        ]
        if not pairs:
            continue
        cold = np.array([c.regret for c, _ in pairs])
        warm = np.array([w.regret for _, w in pairs])
        tasks = np.unique([c.task for c, _ in pairs], return_inverse=True)[1]
        draws = stats.bootstrap(tasks)
        budgets = {}
        for column, budget in enumerate(BUDGETS[: cold.shape[1]]):
            ours, theirs = warm[:, column], cold[:, column]
            ratio, low, high = stats.ratio(ours, theirs, tasks, draws)
            wins = (ours < theirs) + 0.5 * (ours == theirs)
            budgets[str(budget)] = {
                "cold": float(stats.weights(tasks) @ theirs),
                "ratio": ratio,
                "interval": [low, high],
                "wins": float(stats.weights(tasks) @ wins),
            }
        repeated = float(np.mean([w.repeated for _, w in pairs]))
        found[kind] = {"pairs": len(pairs), "repeated": repeated, "budgets": budgets}
    return found


def table(figures: Mapping[str, Any]) -> Table:
    """`compare`'s figures for a terminal."""
    made = Table(title="mean regret, warm over cold (95% interval)", box=None)
    budgets = sorted({int(b) for row in figures.values() for b in row["budgets"]})
    for column in ("starts from", "pairs", "repeated", *(f"{b} trials" for b in budgets)):
        made.add_column(column, justify="left" if column == "starts from" else "right")
    for kind, row in figures.items():
        cells = []
        for budget in budgets:
            this = row["budgets"][str(budget)]
            low, high = this["interval"]
            cells.append(f"{this['ratio']:.2f} ({low:.2f} to {high:.2f})")
        made.add_row(kind, str(row["pairs"]), f"{row['repeated']:.1f}", *cells)
    return made


@click.command()
@click.option("--half", type=click.Choice(["tune", "judge"]), default="tune", show_default=True)
@click.option("--fast", is_flag=True, help="Minutes: 3 tasks, 2 seeds, 25 trials.")
@click.option("--seeds", default=10, show_default=True)
@click.option("--trials", default=100, show_default=True)
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder [results/transfer-HALF].")
def main(half: str, fast: bool, seeds: int, trials: int, jobs: int, out: Path | None) -> None:
    """Run the searches that are missing, then compare warm with cold ones."""
    if fast and half == "judge":
        raise click.ClickException("--fast is for trying things: use it with --half tune")
    tasks = {"tune": TUNE_TASKS, "judge": JUDGE_TASKS}[half]
    if fast:
        seeds, trials = 2, 25
    if trials < BUDGETS[0]:
        raise click.ClickException(f"--trials {trials}: at least {BUDGETS[0]}")
    folder = out or RESULTS / f"transfer-{half}{'-fast' * fast}"
    path = folder / f"runs-{trials}.jsonl"
    wanted = [
        Job(kind, task, seed, trials)
        for task in (tasks[:3] if fast else tasks)
        for seed in range(seeds)
        for kind in (COLD, *KINDS)
    ]
    runs = read(path)
    left = [job for job in wanted if job[:3] not in runs]
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for ended in track(run_all(left, tasks, jobs), "Searches", total=len(left)):
            file.write("\n" * _torn(path) + json.dumps(ended._asdict()) + "\n")
            file.flush()
            runs[ended[:3]] = ended
    figures = compare({job[:3]: runs[job[:3]] for job in wanted})
    write_text(folder / "report.json", json.dumps(figures, indent=1))
    Console(width=150).print(table(figures))
    if half == "judge":
        hash_, dirty = commit()
        look = {"commit": hash_, "dirty": dirty, "version": version(), "figures": figures}
        with LOG.open("a", encoding="utf-8") as log:
            log.write(json.dumps(look) + "\n")
    print(f"Written: {folder}")


def _torn(path: Path) -> bool:
    """Whether a kill left the last line of ``path`` without its end."""
    text = path.read_bytes()
    return bool(text) and not text.endswith(b"\n")


if __name__ == "__main__":
    main()
