"""What choosing by the expected value gains over choosing by the best one seen.

    python -m benchmarks.search.choice
    python -m benchmarks.search.choice --half judge --seeds 10 --trials 50 100

Each sampler runs on each problem of a half with the same seeds and the same noise. After so many
trials one is chosen, by the best observed value and by `search.recommend`, and its true score is
judged as regret, 0 at the best there is and 1 at a typical one. ``genetic:repeats=True`` is asked
beside the plain sampler. Printed are ratios of mean regrets with 95% intervals over problems and
seeds: below 1 the first of two is better. On noisy and on quiet problems apart; of LCBench the
validation score is observed and the test score is true, which nobody calls noise, but it is luck.
Each look at the judging half is appended to ``choice_judged.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import create_trial
from rich.console import Console

from search.expectation import recommend

from .contenders import entry
from .judged import append
from .problem import noise
from .problems import half, problem
from .running import THREADS
from .stats import bootstrap, ratio, weights
from .tables import Grid, interval, rich

SAMPLERS = ("genetic", "genetic:repeats=True", "tpe")
LOG = Path(__file__).with_name("choice_judged.jsonl")
AGAIN = "genetic:repeats=True"
RULES = ("observed", "expected", "best")
"""How a trial is chosen; ``best`` by its true score, which nobody can do."""


class Run(NamedTuple):
    """One sampler on one problem with one seed: what was asked for, and both scores of each."""

    sampler: str
    problem: str
    seed: int
    params: list[dict[str, Any]]
    observed: list[float]
    true: list[float]


def run(sampler: str, name: str, seed: int, trials: int) -> Run:
    """Runs one search here."""
    this, found = problem(name), Run(sampler, name, seed, [], [], [])
    contender = entry(sampler).make(this, seed, trials)
    try:
        for trial in range(trials):
            key, params = contender.ask()
            observed, true = this.evaluate(params, noise(name, seed, trial))
            contender.tell(key, params, observed)
            found.params.append(this.active(params))
            found.observed.append(observed)
            found.true.append(true)
    finally:
        contender.close()
    return found


def regrets(found: Run, budget: int) -> list[float]:
    """Of the trial that each of `RULES` chooses among the first ``budget``."""
    this, study = problem(found.problem), optuna.create_study(direction="maximize")
    for params, value in zip(found.params[:budget], found.observed, strict=False):
        dists = {name: this.distributions[name] for name in params}
        study.add_trial(create_trial(params=params, distributions=dists, value=value))
    true = found.true[:budget]
    chosen = (
        int(np.argmax(found.observed[:budget])), recommend(study).number, int(np.argmax(true)),
    )  # fmt: skip
    return [this.regret(true[index]) for index in chosen]


def _cell(job: tuple[str, str, int, Sequence[int]]) -> dict[str, Any]:
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler, name, seed, budgets = job
    found = run(sampler, name, seed, max(budgets))
    tried = len({json.dumps(params, sort_keys=True, default=str) for params in found.params})
    return {
        "sampler": sampler,
        "problem": name,
        "seed": seed,
        "repeats": len(found.params) - tried,
        "regrets": {str(budget): regrets(found, budget) for budget in budgets},
    }


def grids(cells: Sequence[dict[str, Any]], budgets: Sequence[int]) -> Iterator[Grid]:
    """Each comparison on noisy and on quiet problems, a row a budget."""
    samplers = sorted({cell["sampler"] for cell in cells})
    pairs = [((s, "expected"), (s, "observed")) for s in samplers]
    others = [s for s in samplers if s != AGAIN] if AGAIN in samplers else []
    pairs += [((AGAIN, "expected"), (s, rule)) for s in others for rule in RULES[1::-1]]
    for noisy in (True, False):
        mine = [c for c in cells if problem(c["problem"]).noisy == noisy]
        rows = [row for b in budgets for one, two in pairs if (row := _row(mine, b, one, two))]
        spent = {s: [c["repeats"] for c in mine if c["sampler"] == s] for s in samplers}
        said = ", ".join(f"{s} {np.mean(n):.1f}" for s, n in spent.items() if n)
        title = f"{'Noisy' if noisy else 'Quiet'} problems; trials that repeat another: {said}"
        if rows:
            yield Grid(
                title, ("choice", "over", "trials", "cells", "regrets", "ratio", "95%"), rows
            )


def _row(
    cells: Sequence[dict[str, Any]], budget: int, one: tuple[str, str], two: tuple[str, str]
) -> list[str] | None:
    def of(which: tuple[str, str]) -> dict[tuple[str, int], float]:
        sampler, rule = which
        return {
            (c["problem"], c["seed"]): c["regrets"][str(budget)][RULES.index(rule)]
            for c in cells
            if c["sampler"] == sampler
        }

    mine, theirs = of(one), of(two)
    keys = sorted(mine.keys() & theirs.keys())
    if not keys:
        return None
    names = sorted({name for name, _ in keys})
    places = np.array([names.index(name) for name, _ in keys])
    ours, others = (np.array([found[key] for key in keys]) for found in (mine, theirs))
    value, *between = ratio(ours, others, places, bootstrap(places))
    base = weights(places)
    return [
        ", ".join(one), ", ".join(two), str(budget), str(len(keys)),
        f"{base @ ours:.4f} / {base @ others:.4f}", f"{value:.3f}", interval(between, 2),
    ]  # fmt: skip


def main() -> None:
    """Runs what has no cell yet, and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=("tune", "judge"), default="tune")
    parser.add_argument("--seeds", type=int, default=10, help="so many, from 0 on")
    parser.add_argument("--trials", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS))
    parser.add_argument("--problems", nargs="+", help="by default all of the half")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cells", type=Path, help="keep what ran in this file, and go on with it")
    args = parser.parse_args()
    names = args.problems or list(half(args.half))
    done: list[dict[str, Any]] = []
    if args.cells and args.cells.exists():
        done = [json.loads(line) for line in args.cells.read_text().splitlines()]
    known = {(c["sampler"], c["problem"], c["seed"]) for c in done}
    jobs = [
        (sampler, name, seed, args.trials)
        for seed in range(args.seeds)
        for name in names
        for sampler in args.samplers
        if (sampler, name, seed) not in known
    ]
    for variable in THREADS:
        os.environ.setdefault(variable, "1")
    with get_context("spawn").Pool(args.jobs) as pool:
        for cell in pool.imap_unordered(_cell, jobs):
            done.append(cell)
            if args.cells:
                with args.cells.open("a") as file:
                    file.write(json.dumps(cell) + "\n")
    wanted = {(s, n) for s in args.samplers for n in names}
    done = [c for c in done if (c["sampler"], c["problem"]) in wanted and c["seed"] < args.seeds]
    console = Console(width=160)
    shown = list(grids(done, args.trials))
    for grid in shown:
        console.print(rich(grid))
    if args.half == "judge":
        append({grid.title: [list(row) for row in grid.rows] for grid in shown}, LOG)


if __name__ == "__main__":
    main()
