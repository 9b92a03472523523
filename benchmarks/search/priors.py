"""What a user's priors of genes gain where they are right, and cost where they are wrong.

    python -m benchmarks.search.priors
    python -m benchmarks.search.priors --seeds 2 --problems lcbench-3945 --trials 10 25

The genetic sampler on each problem of the tuning half, without priors and with them. Their centres
come from 200 random recipes of the seed's own, judged by their true scores: of ``right`` and
``vague`` the best, of ``wrong`` the worst; ``half`` has every second gene of each. A number's width
is a tenth of its range on its scale, of ``vague`` three tenths; a choice's favourite has the
weight 4, of ``vague`` 2. Genes that are off in the recipe have none.

After so many trials the one with the highest observed score is judged by its true score, as regret:
0 at the best there is, 1 at a typical one. Printed are ratios of mean regrets to the searches
without priors, of the same seeds and noise, with 95% intervals over problems and seeds: below 1 the
priors help. Beside them in how many of the asks of a surrogate a prior was found wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from rich.console import Console

from search.genetic import GeneticSampler
from search.genetic.lineage import DOUBTED
from search.space.conditions import Condition, Genes
from search.space.gene_prior import ChoicePrior, GenePrior, NumberPrior
from search.trials.marks import LINEAGE

from .contenders import OptunaContender
from .problem import Problem, noise
from .problems import half, problem
from .running import THREADS
from .stats import bootstrap, ratio, weights
from .tables import Grid, interval, rich

NONE = "none"
KINDS = ("right", "vague", "wrong", "half")
DRAWN = 200
"""Random recipes that centres are taken from."""
WIDTHS = {"vague": 0.3}
WIDTH = 0.1
"""Of a prior, as a share of the gene's range on its scale."""
FAVOURITES = {"vague": 2.0}
FAVOURITE_WEIGHT = 4.0


def genes(this: Problem, priors: dict[str, GenePrior]) -> Genes:
    """The genes of a problem as a search space states them."""
    stated = {
        gene: Condition(parent, frozenset(values))
        for gene, (parent, values) in this.conditions.items()
    }
    return Genes(this.distributions, stated, priors)


def prior_of(dist: BaseDistribution, centre: Any, kind: str) -> GenePrior:
    """A prior around ``centre``, as wide as its kind."""
    if isinstance(dist, CategoricalDistribution):
        heavy = FAVOURITES.get(kind, FAVOURITE_WEIGHT)
        return ChoicePrior(tuple(heavy if c == centre else 1.0 for c in dist.choices))
    share = WIDTHS.get(kind, WIDTH)
    one: Any = dist  # floats and whole numbers alike
    width = (one.high / one.low) ** share if one.log else share * (one.high - one.low)
    return NumberPrior.of(dist, centre, width)


def priors_of(this: Problem, kind: str, seed: int) -> dict[str, GenePrior]:
    """The priors of one search."""
    rng = noise(f"{this.name} priors", seed, 0)
    drawn = [this.random(rng) for _ in range(DRAWN)]
    scores = [this.evaluate(params, rng)[1] for params in drawn]
    best, worst = (this.active(drawn[int(i(scores))]) for i in (np.argmax, np.argmin))
    centres = {"wrong": worst}.get(kind, best)
    if kind == "half":
        names = list(this.distributions)
        centres = {n: v for n, v in best.items() if names.index(n) % 2 == seed % 2}
        centres |= {n: v for n, v in worst.items() if names.index(n) % 2 != seed % 2}
    return {n: prior_of(this.distributions[n], v, kind) for n, v in centres.items()}


def _cell(job: tuple[str, str, int, Sequence[int]]) -> dict[str, Any]:
    """One search: regret after each budget, and the share of asks that doubted a prior."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kind, name, seed, budgets = job
    this = problem(name)
    known = genes(this, {} if kind == NONE else priors_of(this, kind, seed))
    contender = OptunaContender(this, GeneticSampler(seed=seed, space=known))
    found: list[tuple[float, int, float]] = []
    for number in range(max(budgets)):
        trial, params = contender.ask()
        observed, true = this.evaluate(params, noise(name, seed, number))
        contender.tell(trial, params, observed)
        found.append((observed, -number, true))
    regrets = {str(b): this.regret(max(found[:b])[2]) for b in budgets}
    lineages = [t.user_attrs[LINEAGE] for t in trial.study.get_trials(deepcopy=False)]
    weighed = [lineage for lineage in lineages if lineage["operator"] != "initial"]
    doubt = float(np.mean([DOUBTED in lineage for lineage in weighed])) if weighed else 0.0
    return {"kind": kind, "problem": name, "seed": seed, "regrets": regrets, "doubted": doubt}


def grid(cells: Sequence[dict[str, Any]], budgets: Sequence[int]) -> Grid:
    """A row a kind: ratios of mean regrets to the searches without priors."""
    return Grid(
        "Mean regret with priors over that without",
        ("priors", "searches", *(f"{b} trials" for b in budgets), "asks with doubt"),
        list(_rows(cells, budgets)),
    )


def _rows(cells: Sequence[dict[str, Any]], budgets: Sequence[int]) -> Iterator[list[str]]:
    def of(kind: str) -> dict[tuple[str, int], dict[str, Any]]:
        return {(c["problem"], c["seed"]): c for c in cells if c["kind"] == kind}

    without = of(NONE)
    for kind in KINDS:
        mine = of(kind)
        keys = sorted(mine.keys() & without.keys())
        if not keys:
            continue
        names = sorted({name for name, _ in keys})
        places = np.array([names.index(name) for name, _ in keys])
        draws, shown = bootstrap(places), []
        for budget in map(str, budgets):
            ours = np.array([mine[key]["regrets"][budget] for key in keys])
            theirs = np.array([without[key]["regrets"][budget] for key in keys])
            value, *between = ratio(ours, theirs, places, draws)
            shown.append(f"{value:.2f} ({interval(between, 2)})")
        doubt = float(weights(places) @ np.array([mine[key]["doubted"] for key in keys]))
        yield [kind, str(len(keys)), *shown, f"{doubt:.0%}"]


def main() -> None:
    """Runs what has no cell yet, and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="so many, from 0 on")
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 25, 50])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--problems", nargs="+", help="by default all of the tuning half")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cells", type=Path, help="keep what ran in this file, and go on with it")
    args = parser.parse_args()
    names = args.problems or list(half("tune"))
    done: list[dict[str, Any]] = []
    if args.cells and args.cells.exists():
        done = [json.loads(line) for line in args.cells.read_text().splitlines()]
    known = {(c["kind"], c["problem"], c["seed"]) for c in done}
    jobs = [
        (kind, name, seed, args.trials)
        for seed in range(args.seeds)
        for name in names
        for kind in (NONE, *args.kinds)
        if (kind, name, seed) not in known
    ]
    for variable in THREADS:
        os.environ.setdefault(variable, "1")
    with get_context("spawn").Pool(args.jobs) as pool:
        for cell in pool.imap_unordered(_cell, jobs):
            done.append(cell)
            if args.cells:
                with args.cells.open("a") as file:
                    file.write(json.dumps(cell) + "\n")
    kept = [c for c in done if c["problem"] in names and c["seed"] < args.seeds]
    Console(width=160).print(rich(grid(kept, args.trials)))


if __name__ == "__main__":
    main()
