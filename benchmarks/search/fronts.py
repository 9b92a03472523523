"""Two objectives: how much of the field samplers dominate, and how soon.

    python -m benchmarks.search.fronts --fast
    python -m benchmarks.search.fronts --half judge --seeds 10

Hypervolume after 50, 100 and 200 trials, up to the worst values of random configurations, as a
share of what all runs of a problem together reach. What is missing of that share is compared
with the best peer's, as a ratio with a bootstrap interval over problems and seeds. Runs that
are there already, from the same code, are not run again.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from rich.console import Console
from rich.progress import track
from rich.table import Table

from search.files import write_text
from search.genetic import GeneticSampler
from search.trials.pareto import front, hypervolume

from .fingerprint import fingerprint
from .front_problems import HALVES, front_problem, reference
from .judged import commit
from .stats import bootstrap, interval, ratio, weights

BUDGETS = (50, 100, 200)
OURS = "genetic"
RESULTS = Path(__file__).parents[2] / "results"
LOG = Path(__file__).with_name("fronts.jsonl")
"""Every look at the judging half: commit, versions and figures."""

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    OURS: lambda seed: GeneticSampler(seed=seed),
    "genetic, no surrogate": lambda seed: GeneticSampler(seed=seed, surrogate=False),
    "tpe": lambda seed: TPESampler(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "nsga2, population 10": lambda seed: NSGAIISampler(seed=seed, population_size=10),
    "random": lambda seed: RandomSampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
}
"""By name, with the library's defaults unless the name says otherwise (NSGA-II's are 50)."""
USUAL = [name for name in SAMPLERS if name != "gp"]
"""Those that run unless others are named: Optuna's GPSampler takes seconds an ask."""


class Job(NamedTuple):
    """One sampler on one problem with one seed."""

    sampler: str
    problem: str
    seed: int
    trials: int


class Run(NamedTuple):
    """What came of a `Job`.

    Args:
        job: what was run.
        version: of the sampler.
        found: (trial, values) of each trial that none before it dominated.
        seconds: of asking and telling, a trial.
    """

    job: Job
    version: str
    found: list[tuple[int, list[float]]]
    seconds: float


def version_of(sampler: str) -> str:
    """The code that a run rests on: ours by its fingerprint, Optuna's by its number."""
    own = fingerprint("genetic", "GeneticSampler") if sampler.startswith(OURS) else ""
    return f"{own} optuna {version('optuna')}".strip()


def run(job: Job) -> Run:
    """Run one job, one trial after another."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = front_problem(job.problem)
    study = optuna.create_study(
        directions=list(problem.directions), sampler=SAMPLERS[job.sampler](job.seed)
    )
    spent = 0.0
    for _ in range(job.trials):
        start = time.perf_counter()
        trial = study.ask()
        params: dict[str, Any] = {}
        for name, dist in problem.distributions.items():
            parent, on = problem.conditions.get(name, (None, ()))
            if parent is None or params.get(parent) in on:
                params[name] = trial._suggest(name, dist)
        spent += time.perf_counter() - start
        values = problem.values(params)
        start = time.perf_counter()
        study.tell(trial, list(values))
        spent += time.perf_counter() - start
    found = []
    for number, trial in enumerate(study.trials):
        if trial in front(study.trials[: number + 1], problem.directions):
            found.append((number, [float(v) for v in trial.values]))
    return Run(job, version_of(job.sampler), found, spent / job.trials)


def volumes(runs: Sequence[Run], budgets: Sequence[int]) -> np.ndarray:
    """The share of what ``runs``, all of one problem, reach together; (runs, budgets)."""
    name = runs[0].job.problem
    ways, end = front_problem(name).directions, reference(name)
    best = hypervolume([v for run in runs for _, v in run.found], ways, end)
    return np.array(
        [
            [
                hypervolume([v for n, v in run.found if n < budget], ways, end) / best
                for budget in budgets
            ]
            for run in runs
        ]
    )


def compare(runs: Mapping[Job, Run], budgets: Sequence[int]) -> dict[str, Any]:
    """The figures: by budget and sampler the mean share missing, and ratios to the best peer.

    Only (problem, seed) pairs that every sampler ran count.
    """
    samplers = list(dict.fromkeys(job.sampler for job in runs))
    pairs = {(job.problem, job.seed) for job in runs}
    pairs = {
        pair for pair in pairs if all(any(j[:3] == (s, *pair) for j in runs) for s in samplers)
    }
    cells = sorted(pairs)
    missing = np.full((len(cells), len(samplers), len(budgets)), np.nan)
    for name in sorted({problem for problem, _ in cells}):
        here = [r for r in runs.values() if (r.job.problem, r.job.seed) in pairs]
        here = [r for r in here if r.job.problem == name]
        for found, share in zip(here, volumes(here, budgets), strict=True):
            row = cells.index((name, found.job.seed))
            missing[row, samplers.index(found.job.sampler)] = 1.0 - share
    problems = np.array([sorted({p for p, _ in cells}).index(p) for p, _ in cells])
    return {
        "problems": sorted({p for p, _ in cells}),
        "seeds": sorted({seed for _, seed in cells}),
        "seconds": {
            s: float(np.mean([r.seconds for r in runs.values() if r.job.sampler == s]))
            for s in samplers
        },
        "budgets": {
            str(b): _at(missing[:, :, i], samplers, problems) for i, b in enumerate(budgets)
        },
    }


def _at(missing: np.ndarray, samplers: Sequence[str], problems: np.ndarray) -> dict[str, Any]:
    boot = bootstrap(problems)
    means = weights(problems) @ missing
    peers = [s for s in samplers if not s.startswith(OURS)]
    found: dict[str, Any] = {
        "missing": {
            s: [float(means[i]), *interval(boot @ missing[:, i])] for i, s in enumerate(samplers)
        }
    }
    if OURS in samplers and peers:
        best = min(peers, key=lambda s: means[samplers.index(s)])
        ours, theirs = missing[:, samplers.index(OURS)], missing[:, samplers.index(best)]
        found["best peer"] = best
        found["ratio"] = list(ratio(ours, theirs, problems, boot))
    return found


def table(figures: Mapping[str, Any]) -> Table:
    """The figures for a terminal."""
    shown = Table(title="hypervolume still missing (95% interval); less is better", box=None)
    budgets = figures["budgets"]
    for column in ("sampler", *(f"{b} trials" for b in budgets), "ask+tell"):
        shown.add_column(column, justify="left" if column == "sampler" else "right")
    for sampler, seconds in figures["seconds"].items():
        cells = [
            "{:.4f} ({:.4f} to {:.4f})".format(*found["missing"][sampler])
            for found in budgets.values()
        ]
        shown.add_row(sampler, *cells, f"{1000 * seconds:.0f} ms")
    if all("ratio" in found for found in budgets.values()):
        cells = [
            "{:.2f} ({:.2f} to {:.2f})".format(*found["ratio"]) + f" of {found['best peer']}"
            for found in budgets.values()
        ]
        shown.add_row(f"{OURS}, of the best peer", *cells, "")
    return shown


def read(path: Path) -> dict[Job, Run]:
    """The runs in ``path`` that today's code made."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            job, made, points, seconds = json.loads(line)
        except ValueError:  # the last line of a run that was killed
            continue
        known = Job(*job)
        if known.sampler in SAMPLERS and made == version_of(known.sampler):
            found[known] = Run(known, made, [(n, v) for n, v in points], seconds)
    return found


def run_all(jobs: Sequence[Job], workers: int) -> Iterator[Run]:
    """Run ``jobs`` in so many processes; each as it ends."""
    if workers == 1:
        yield from map(run, jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        for ended in as_completed([pool.submit(run, job) for job in jobs]):
            yield ended.result()


def _names(text: str | None) -> list[str]:
    names = USUAL if text is None else [name.strip() for name in text.split(";")]
    if unknown := [name for name in names if name not in SAMPLERS]:
        known = "; ".join(SAMPLERS)
        raise click.ClickException(f"--samplers: unknown {', '.join(unknown)}; known: {known}")
    return names


@click.command(help=__doc__)
@click.option("--half", type=click.Choice(list(HALVES)), default="tune", show_default=True)
@click.option("--fast", is_flag=True, help="A minute: 3 problems, 2 seeds, 50 trials.")
@click.option("--samplers", help="Names with semicolons [all but gp].")
@click.option("--seeds", type=click.IntRange(1), default=10, show_default=True)
@click.option("--trials", type=click.IntRange(BUDGETS[0]), default=200, show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count(), help="Processes.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of runs and report.")
def main(
    half: str,
    fast: bool,
    samplers: str | None,
    seeds: int,
    trials: int,
    jobs: int,
    out: Path | None,
) -> None:
    """Run what is missing, then compare."""
    if fast and half == "judge":
        raise click.ClickException("--fast is for trying things: use it with --half tune")
    if fast:
        seeds, trials = 2, BUDGETS[0]
    names = _names(samplers)
    problems = HALVES[half][::4] if fast else HALVES[half]
    wanted = [Job(s, p, seed, trials) for seed in range(seeds) for p in problems for s in names]
    folder = out or RESULTS / f"fronts-{half}{'-fast' * fast}"
    runs = _run(folder / f"runs-{trials}.jsonl", wanted, jobs)
    figures = compare(runs, [budget for budget in BUDGETS if budget <= trials])
    write_text(folder / "report.json", json.dumps(figures, indent=1))
    Console(width=150).print(table(figures))
    if half == "judge":
        hash_, dirty = commit()
        made = {name: version_of(name) for name in names}
        look = {"commit": hash_, "dirty": dirty, "versions": made, "figures": figures}
        with LOG.open("a", encoding="utf-8") as log:
            log.write(json.dumps(look) + "\n")
    print(f"Written: {folder}")


def _run(path: Path, wanted: Iterable[Job], jobs: int) -> dict[Job, Run]:
    """The wanted runs; those that are missing in ``path`` are run, and kept there."""
    runs, wanted = read(path), list(wanted)
    left = [job for job in wanted if job not in runs]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        if file.tell():
            file.write("\n")  # a kill may have left the last line without its end
        for ended in track(run_all(left, jobs), "Searches", total=len(left)):
            file.write(json.dumps(ended) + "\n")
            file.flush()
            runs[ended.job] = ended
    return {job: runs[job] for job in wanted}


if __name__ == "__main__":
    main()
