"""The frontier of early stopping: epochs against what is lost, on the same recipes.

    python -m benchmarks.search.frontier
    python -m benchmarks.search.frontier --seeds 10,11 --tasks 3945,126025

Each search is the product's own, genetic sampler and default policy, on LCBench's tuning half. Its
recipes are then tried again under every rule, so that rules differ by themselves alone: what a
sampler would have asked instead is not in it (`benchmarks.search.stopping` has whole searches).
``hindsight`` knows all recipes at once, and their curves: how far any rule could come.

The second table has ASHA (Li et al. 2020) at as many epochs as each search took: random recipes
without end, rungs from the first epoch. Finished searches are kept in a folder, and are not made
again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search.fingerprint import fingerprint
from benchmarks.search.problems import EPOCHS, LCBENCH, TUNE_TASKS, lcbench_outputs
from benchmarks.search.stats import bootstrap, interval, weights
from benchmarks.search.stopping import GENES, POLICIES, Cell, StoppingReplay
from search.genetic.gaussian_process import Array
from search.seeds import derive
from search.space import SearchSpace
from search.space.unit import from_unit, to_unit
from search.study import Study, StudyConfig

from .rules import KINDS, Kept, Recipes, Replay, Rule, hindsight

TRIALS = 100
ENDLESS = 1500
"""Random recipes that are more than any budget is spent on."""
FOLDER = Path("results") / "stopping-frontier"
SHIPPED = "better half at 3, 6, 12, 24 (shipped)"
RULES: dict[str, Rule] = {
    SHIPPED: Rule(),
    "2 in 5": Rule(keep=0.4),
    "third": Rule(keep=1 / 3),
    "quarter": Rule(keep=0.25),
    "half, from 2": Rule(grace=2),
    "half, from 6": Rule(grace=6),
    "third at 3, 9, 27": Rule(spacing=3, keep=1 / 3),
    "half by curve model": Rule(sees="curve"),
    "2 in 5 by curve model": Rule(keep=0.4, sees="curve"),
    "third by curve model": Rule(keep=1 / 3, sees="curve"),
    "half by genes and curve": Rule(sees="genes"),
    "2 in 5 by genes and curve": Rule(keep=0.4, sees="genes"),
    "third by genes and curve": Rule(keep=1 / 3, sees="genes"),
}
SHARES = ((0.6, 0.35, 0.2, 0.08), (0.6, 0.4, 0.3, 0.2), (0.8, 0.6, 0.45, 0.3))
"""What goes on from the four rungs in hindsight: about 0.22, 0.32 and 0.44 of the epochs."""
HINDSIGHT = {
    f"hindsight by {sees} {shares}": partial(hindsight, shares=shares, sees=sees)
    for shares in SHARES
    for sees in KINDS
}
AT_EQUAL_EPOCHS: dict[str, Rule] = {
    "ASHA, a third at 1, 3, 9, 27": Rule(grace=1, spacing=3, keep=1 / 3, slope=0.0),
    "ASHA, a quarter at 1, 4, 16": Rule(grace=1, spacing=4, keep=0.25, slope=0.0),
    "random recipes, shipped rule": Rule(),
}


def searched(task: str, seed: int, folder: Path) -> tuple[Recipes, int, float]:
    """A search as shipped: its recipes, the epochs it took, and the value of what it chose."""
    path = folder / f"{task}-{seed}-{fingerprint('genetic', 'GeneticSampler')}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        found, spent, final = search_of(Cell(task, "genetic", "promote", 0.0, seed, TRIALS))
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".npz", delete=False) as file:
            np.savez(file, genes=found.genes, values=found.values, spent=spent, final=final)
        Path(file.name).rename(path)
    with np.load(path) as kept:
        recipes = Recipes(kept["genes"], kept["values"])
        return recipes, int(kept["spent"]), float(kept["final"])


def search_of(cell: Cell) -> tuple[Recipes, int, float]:
    """One search: its recipes with their whole curves, its epochs, the value of its choice."""
    config = StudyConfig(
        "frontier", cell.sampler, cell.seed, halving=POLICIES[cell.policy], n_trials=cell.trials
    )
    space = SearchSpace.from_dict({"genes": GENES}, "lcbench")
    with (
        tempfile.TemporaryDirectory(prefix="frontier-") as folder,
        Study.create(Path(folder) / "s", space, config) as study,
        study.batch(),
    ):
        replay = StoppingReplay(study, cell)
        replay.run()
        trials = study.trials()
        genes = [[to_unit(dist, t.params[n]) for n, dist in LCBENCH.items()] for t in trials]
        values = [replay.curves[t.number].validation for t in trials]
        return Recipes(np.array(genes), np.array(values)), replay.spent, replay.result().final


def replayed(rule: Rule, recipes: Recipes) -> Kept:
    """What a rule makes of recipes."""
    return Replay(recipes, rule).run().kept()


@cache
def random_recipes(task: str, seed: int, count: int = ENDLESS) -> Recipes:
    """Recipes from anywhere in LCBench's space."""
    units = np.random.default_rng(derive(seed, "frontier", task)).random((count, len(LCBENCH)))
    params: list[Mapping[str, Any]] = [
        {
            name: from_unit(dist, float(u))
            for (name, dist), u in zip(LCBENCH.items(), row, strict=True)
        }
        for row in units
    ]
    outputs = lcbench_outputs(task, params, list(range(1, EPOCHS + 1)))
    return Recipes(units, outputs[:, :, 3])


def at_equal_epochs(task: str, seed: int, rule: Rule, budget: int) -> float:
    """The final value that ``rule`` has come to on random recipes after ``budget`` epochs.

    Raises:
        ValueError: there are not enough recipes for so many.
    """
    recipes = random_recipes(task, seed)
    found = Replay(recipes, rule, budget).run()
    if found.spent < budget:
        raise ValueError(
            f"{ENDLESS} recipes take {found.spent} epochs, not {budget}: raise ENDLESS"
        )
    return float(recipes.values[found.complete, -1].max())


class Judge:
    """Means over tasks, with intervals over tasks and seeds.

    Args:
        tasks: the task of each search.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        problems = np.unique(np.array(tasks), return_inverse=True)[1]
        self._weights, self._draws = weights(problems), bootstrap(problems)

    def text(self, values: Array, scale: float, digits: int) -> str:
        """``mean (low to high)`` of ``values``, one a search."""
        low, high = interval(self._draws @ values)
        mean, low, high = (scale * v for v in (float(self._weights @ values), low, high))
        return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


COLUMNS: dict[str, Callable[[Kept], float]] = {
    "epochs": lambda k: k.epochs,
    "below best, points": lambda k: 100 * k.short,
    "best lost": lambda k: k.lost,
    "within 0.2": lambda k: k.near,
    "top tenth kept": lambda k: k.top,
}
VERSUS = ("epochs", "below best, points")
"""Figures that are shown beside the shipped rule's too."""


def show(
    found: Mapping[str, Callable[[Recipes], Kept]], searches: Sequence[Recipes], judge: Judge
) -> None:
    """A line for each rule, and what it is beyond the shipped one on the same searches."""
    base = [Replay(recipes, RULES[SHIPPED]).run().kept() for recipes in searches]
    for name, rule in found.items():
        kept = [rule(recipes) for recipes in searches]
        parts = []
        for column, of in COLUMNS.items():
            own, shipped = (np.array([of(k) for k in some]) for some in (kept, base))
            digits = 3 if column == "epochs" else 2
            parts.append(f"{column} {judge.text(own, 1, digits)}")
            if column in VERSUS:
                parts.append(f"to shipped {judge.text(own - shipped, 1, digits)}")
        print(f"{name}: " + "; ".join(parts), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", default=",".join(TUNE_TASKS), help="of LCBench's tuning half")
    parser.add_argument("--seeds", default="10,11", help="default: 10,11")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of finished searches")
    parser.add_argument(
        "--only", choices=("search", "rules", "hindsight", "asha"), help="a part of it"
    )
    options = parser.parse_args(arguments)
    tasks = options.tasks.split(",")
    if unknown := set(tasks) - set(TUNE_TASKS):
        parser.error(f"--tasks: {', '.join(sorted(unknown))}: not of {', '.join(TUNE_TASKS)}")
    cells = [(task, int(seed)) for seed in options.seeds.split(",") for task in tasks]
    found = [searched(*cell, options.folder) for cell in cells]
    judge, searches = Judge([task for task, _ in cells]), [recipes for recipes, _, _ in found]
    if options.only in (None, "rules"):
        show({n: partial(replayed, rule) for n, rule in RULES.items()}, searches, judge)
    if options.only in (None, "hindsight"):
        show(HINDSIGHT, searches, judge)
    if options.only in (None, "asha"):
        ours = np.array([final for _, _, final in found])
        print(
            f"the genetic search as shipped: {judge.text(ours, 100, 2)} points; minus it, "
            "at the same number of epochs:"
        )
        for name, rule in AT_EQUAL_EPOCHS.items():
            theirs = [
                at_equal_epochs(*cell, rule, spent)
                for cell, (_, spent, _) in zip(cells, found, strict=True)
            ]
            print(f"{name}: {judge.text(np.array(theirs) - ours, 100, 2)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
