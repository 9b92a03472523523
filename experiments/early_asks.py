"""Do other settings of the genetic sampler find better recipes within 25 trials?

    python -m experiments.early_asks
    python -m experiments.early_asks run --out FILE --variants copula,floor-1 --seeds 2000-2003

Variants of what its surrogate learns, of its first trials and of its search for candidates, and
Optuna's GPSampler, on the tuning half of `benchmarks.search`. All meet the same noise. Prints the
mean regret of each over that of the sampler as it is, with 95% intervals over problems and seeds:
on all problems, on the quiet and on the noisy ones. Seeds below `FRESH` were looked at while
variants were picked; those from it on judge what was picked. `run` adds the cells that are missing.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.optimize import minimize_scalar
from scipy.special import ndtri
from scipy.stats import rankdata, yeojohnson, yeojohnson_llf

from benchmarks.search import contenders, stats
from benchmarks.search.pieces import Piece, without
from benchmarks.search.problem import noise
from benchmarks.search.problems import half, problem
from search.genetic import GeneticSampler, offspring
from search.genetic.gaussian_process import Array, Data
from search.genetic.model import Features, Model, Observation, scaled
from search.genetic.offspring import Candidate
from search.genetic.operators import Credit, Layout, Operators

KEPT = Path(__file__).with_suffix(".jsonl")
BUDGETS = (15, 25)
"""Numbers of trials after which a search is judged."""
FRESH = 2000
"""Seeds from here on judge."""
PLAIN, PEER = "as-it-is", "gp"
FLOOR = "genetic.model.FLOOR"

Shape = Callable[[Array], tuple[Array, Array]]
"""Standardised values -> what is learnt in their place, and its slope at each."""


def shaped(shape: Shape) -> Callable[[Features, Sequence[Observation]], Data]:
    """What a surrogate is told when its standardised values, four or more, are transformed."""

    def told(self: Features, seen: Sequence[Observation]) -> Data:
        values, unit = scaled(np.array([o.value for o in seen]))
        slope = np.ones(len(values))
        if len(values) >= 4 and values.std() > 0:
            values, slope = shape(values)
            slope = slope / values.std()
            values = (values - values.mean()) / values.std()
        doubt = np.array([min(o.doubt / unit, 2.0) ** 2 for o in seen]) * slope**2
        return Data(self.rows([o.place for o in seen]), values, doubt, self.choice)

    return told


def power(values: Array) -> tuple[Array, Array]:
    """The transform of Yeo and Johnson (2000) with its most likely exponent."""
    found = minimize_scalar(lambda p: -yeojohnson_llf(p, values), bounds=(-1, 3), method="bounded")
    exponent = round(float(found.x), 6)
    slope = (np.abs(values) + 1.0) ** (np.sign(values) * (exponent - 1.0))
    return np.asarray(yeojohnson(values, exponent)), slope


def copula(values: Array) -> tuple[Array, Array]:
    """Normal scores of the ranks. No slope: on these problems no value has a doubt of its own."""
    return ndtri((rankdata(values) - 0.5) / len(values)), np.ones(len(values))


def ends(operators: Operators, *rest: Any) -> Candidate:
    """A child as it is bred, but for three in ten with one number moved to an end."""
    child, rng = CHILD(operators, *rest), operators.rng
    if child.numbers and rng.random() < 0.3:
        child.numbers[rng.randrange(len(child.numbers))] = float(rng.randrange(2))
    return child


def local(starts: int, least: float = 0.0) -> Callable[..., list[Candidate]]:
    """What is bred, with the first ``starts`` improved one gene at a time.

    Up to eight times, as long as the best gains more than ``least`` by it: each number is moved to
    nine places and 0.03 up and down, each choice to every other.
    """

    def bred(operators: Operators, population: Any, model: Model, *rest: Any) -> list[Candidate]:
        pool = OFFSPRING(operators, population, model, *rest)
        for _ in range(8):
            before = offspring._promise(pool[0])
            moved = [n for one in pool[:starts] for n in neighbours(one, operators.layout)]
            judged = offspring._judged(moved, model, None)
            pool = sorted([*pool, *judged], key=offspring._promise, reverse=True)
            if offspring._promise(pool[0]) <= before + least:
                break
        return pool

    return bred


def neighbours(one: Candidate, layout: Layout) -> Iterator[Candidate]:
    """Candidates that differ from ``one`` in a single gene."""
    for i, unit in enumerate(one.numbers):
        near = (min(max(unit + step, 0.0), 1.0) for step in (-0.03, 0.03))
        for place in (*np.linspace(0.0, 1.0, 9).tolist(), *near):
            if abs(place - unit) > 1e-6:
                numbers, classes = one.copy()
                numbers[i] = place
                yield Candidate(numbers, classes, one.expressed, Credit(), one.roots)
    for i, count in enumerate(layout.counts):
        for choice in set(range(count)) - {one.classes[i]}:
            numbers, classes = one.copy()
            classes[i] = choice
            yield Candidate(numbers, classes, one.expressed, Credit(), one.roots)


CHILD, OFFSPRING = offspring._child, offspring.offspring
TOLD, BRED = "genetic.model.Features.data", "genetic.sampler.offspring"
VARIANTS: Mapping[str, Piece] = {
    PLAIN: Piece("the sampler as it is"),
    "yeo-johnson": Piece("values by Yeo-Johnson, after the floor", {TOLD: shaped(power)}),
    "yeo-johnson-alone": Piece(
        "values by Yeo-Johnson, no floor", {TOLD: shaped(power), FLOOR: np.inf}
    ),
    "copula": Piece("normal scores of the ranks", {TOLD: shaped(copula)}),
    "floor-1": Piece("values at most the best's lead below the median", {FLOOR: 1.0}),
    "floor-half": Piece("at most half of it", {FLOOR: 0.5}),
    "four-first": Piece("a design of four trials", options={"initial": 4}),
    "no-ambition": Piece("every improvement counts", {"genetic.model.AMBITIONS": (0.0,)}),
    "long-lengths": Piece(
        "median length 0.7, not 0.4", {"genetic.gaussian_process_fit.LENGTH_MEDIAN": 0.7}
    ),
    "more-bred": Piece(
        "eight inner generations of 100, not four of 60",
        {"genetic.offspring.GENERATIONS": 8, "genetic.offspring.BROOD": 100},
    ),
    "ends": Piece("three children in ten at an end of a gene", {"genetic.offspring._child": ends}),
    "local": Piece("the best two improved one gene at a time", {BRED: local(2, 1e-4)}),
    "local-to-the-end": Piece("the same, to the last digit", {BRED: local(2)}),
    "local-one": Piece("the best one improved, to the last digit", {BRED: local(1)}),
    "floor-1-local": Piece("floor-1 and local", {FLOOR: 1.0, BRED: local(2, 1e-4)}),
}
"""What stands in the place of a piece, by name."""


def regrets(variant: str, name: str, seed: int) -> dict[str, float]:
    """Regret of what is chosen after each of `BUDGETS` trials of one search."""
    this = problem(name)
    piece = VARIANTS.get(variant, VARIANTS[PLAIN])
    with without(piece):
        if variant == PEER:
            contender = contenders.entry(PEER).make(this, seed, max(BUDGETS))
        else:
            how = {"space": this.told, "length": this.length, **piece.options}
            contender = contenders.OptunaContender(this, GeneticSampler(seed=seed, **how))
        with closing(contender):
            best, found = -np.inf, {}
            for trial in range(max(BUDGETS)):
                key, params = contender.ask()
                seen, true = this.evaluate(params, noise(name, seed, trial))
                contender.tell(key, params, seen)
                if seen > best:
                    best, chosen = seen, true
                if trial + 1 in BUDGETS:
                    found[str(trial + 1)] = float(f"{this.regret(chosen):.6g}")
    return found


def read(path: Path) -> dict[str, dict[tuple[str, int], dict[str, float]]]:
    """variant -> (problem, seed) -> budget -> regret."""
    found: dict[str, dict[tuple[str, int], dict[str, float]]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        found.setdefault(row["variant"], {})[row["problem"], row["seed"]] = row["regret"]
    return found


def run(path: Path, variants: Sequence[str], names: Sequence[str], seeds: Sequence[int]) -> None:
    """Add the missing cells to ``path``, seeds outermost."""
    done = read(path)
    with path.open("a") as file:
        for seed, name, variant in ((s, n, v) for s in seeds for n in names for v in variants):
            if (name, seed) not in done.get(variant, {}):
                row = {"variant": variant, "problem": name, "seed": seed}
                row["regret"] = regrets(variant, name, seed)
                print(json.dumps(row, separators=(",", ":")), file=file, flush=True)


def ratios(path: Path, fresh: bool) -> Iterator[tuple[str, int, list[str]]]:
    """Each variant's name, number of searches, and ratios in words."""
    found = read(path)
    plain = found.pop(PLAIN)
    for variant, cells in found.items():
        keys = sorted(k for k in cells.keys() & plain.keys() if (k[1] >= FRESH) == fresh)
        if not keys:
            continue
        groups = [(b, keys) for b in map(str, BUDGETS)]
        for noisy in (False, True):
            groups.append((str(BUDGETS[-1]), [k for k in keys if problem(k[0]).noisy == noisy]))
        words = []
        for budget, some in groups:
            if not some:
                words.append("none")
                continue
            place = np.unique([name for name, _ in some], return_inverse=True)[1]
            ours = np.array([cells[key][budget] for key in some])
            theirs = np.array([plain[key][budget] for key in some])
            ratio = stats.ratio(ours, theirs, place, stats.bootstrap(place))
            words.append("{:.2f} ({:.2f} to {:.2f})".format(*ratio))
        yield variant, len(keys), words


def main() -> None:
    """Report, or run first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("report", "run"), default="report")
    parser.add_argument("--out", type=Path, default=KEPT, help="file of the cells [the kept one]")
    parser.add_argument("--variants", default=",".join([*VARIANTS, PEER]))
    parser.add_argument("--problems", default=",".join(half("tune")))
    parser.add_argument("--seeds", default="2000-2003", help="FIRST-LAST")
    args = parser.parse_args()
    if unknown := set(args.variants.split(",")) - {*VARIANTS, PEER}:
        parser.error(f"no variant {', '.join(sorted(unknown))}: {', '.join([*VARIANTS, PEER])}")
    if unknown := set(args.problems.split(",")) - set(half("tune")):
        parser.error(f"{', '.join(sorted(unknown))}: not of the tuning half")
    if args.what == "run":
        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        first, _, last = args.seeds.partition("-")
        seeds = range(int(first), int(last or first) + 1)
        run(args.out, args.variants.split(","), args.problems.split(","), seeds)
    kinds = "15 trials | 25 trials | 25, quiet | 25, noisy"
    for fresh in (False, True):
        print(f"\n{'fresh seeds' if fresh else 'the seeds that were looked at'}: {kinds}")
        for variant, count, words in ratios(args.out, fresh):
            print(f"{variant} ({count}) | " + " | ".join(words))


if __name__ == "__main__":
    main()
