"""Do small images and few epochs rank recipes as the whole training does?

    python -m experiments.fidelity --data my-xrays --recipes 14 --sizes 32 64 --epochs 4
    python -m experiments.fidelity --report

Trains the same recipes with the same seeds at each input size, on real X-rays, and prints for
every size and epoch the rank correlation (Spearman) of the best value so far with what the same
recipe comes to at the largest size after its last epoch, beside what it costs. The end is judged
on images of other patients than those that the low-fidelity value was read on, so that the luck of
a validation part cannot count as agreement. Below it, what small images are worth beside fewer
epochs: the difference in rank correlation to the epochs at the largest size whose cost is nearest,
paired by recipe. Intervals (90%) are a bootstrap over recipes. Goes on where it was cut off;
``--report`` trains nothing.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from . import curves
from .curves import Curve, Key

CURVES = Path(__file__).with_name("fidelity.jsonl")
RESAMPLES = 2000


class Row(NamedTuple):
    """One fidelity: a size and a number of epochs.

    Args:
        size: input size.
        epochs: trained of all.
        cost: its seconds, as a share of the whole training at the largest size.
        rank: Spearman's correlation with the whole training's judged value.
        low: lower end of its interval.
        high: upper end.
        kept: share of the best quarter that is in the better half by this fidelity.
        cheap: each recipe's best value so far.
        whole: each recipe's judged value in the end.
    """

    size: int
    epochs: int
    cost: float
    rank: float
    low: float
    high: float
    kept: float
    cheap: np.ndarray
    whole: np.ndarray


def interval(cheap: np.ndarray, whole: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The middle 90% of Spearman's correlation over recipes drawn with replacement."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        rows = rng.integers(len(cheap), size=len(cheap))
        if len(set(cheap[rows])) > 1 and len(set(whole[rows])) > 1:
            found.append(spearmanr(cheap[rows], whole[rows]).statistic)
    low, high = np.quantile(found, [0.05, 0.95])
    return float(low), float(high)


def difference(one: Row, other: Row, seed: int = 0) -> tuple[float, float, float]:
    """By how much ``one`` ranks better than ``other``, and the middle 90% over recipes."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(one.whole), size=len(one.whole))
        parts = [part[drawn] for part in (one.cheap, other.cheap, one.whole)]
        if all(len(set(part)) > 1 for part in parts):
            ranks = [spearmanr(part, parts[2]).statistic for part in parts[:2]]
            found.append(ranks[0] - ranks[1])
    low, high = np.quantile(found, [0.05, 0.95])
    return one.rank - other.rank, float(low), float(high)


def kept(cheap: np.ndarray, whole: np.ndarray) -> float:
    """Share of the best quarter by ``whole`` that is in the better half by ``cheap``."""
    best = np.argsort(-whole)[: max(1, len(whole) // 4)]
    half = np.argsort(-cheap)[: (len(cheap) + 1) // 2]
    return float(np.isin(best, half).mean())


def rows(found: Mapping[Key, Curve], epochs: int) -> tuple[list[Row], int]:
    """A row for each size and epoch, and the number of recipes.

    Values are means over the seeds that a recipe has at every size.
    """
    table: dict[int, dict[tuple[int, int], Curve]] = {}
    for curve in found.values():
        if curve.epochs == epochs:
            table.setdefault(curve.size, {})[curve.recipe, curve.seed] = curve
    shared = sorted(set.intersection(*(set(part) for part in table.values()))) if table else []
    recipes = sorted({recipe for recipe, _ in shared})
    if len(recipes) < 3:
        return [], len(recipes)

    def mean(size: int, value: str, epoch: int) -> np.ndarray:
        of = {r: [table[size][key] for key in shared if key[0] == r] for r in recipes}
        return np.array([fmean(_value(c, value, epoch) for c in of[r]) for r in recipes])

    largest = max(table)
    whole, price = mean(largest, "judged", epochs), mean(largest, "seconds", epochs).sum()
    result = []
    for size in sorted(table):
        for epoch in range(1, epochs + 1):
            cheap = mean(size, "seen", epoch)
            cost = float(mean(size, "seconds", epoch).sum() / price)
            rank = float(spearmanr(cheap, whole).statistic)
            low, high = interval(cheap, whole)
            share = kept(cheap, whole)
            result.append(Row(size, epoch, cost, rank, low, high, share, cheap, whole))
    return result, len(recipes)


def _value(curve: Curve, value: str, epoch: int) -> float:
    """A curve's best seen value, the judged one of that epoch, or its seconds, up to ``epoch``."""
    if value == "seconds":
        return float(sum(curve.seconds[:epoch]))
    best = int(np.argmax(curve.seen[:epoch]))
    return curve.seen[best] if value == "seen" else curve.judged[best]


def show(found: Mapping[Key, Curve], epochs: int) -> None:
    """Print the table."""
    table, recipes = rows(found, epochs)
    if not table:
        print(f"{recipes} recipes at every size: too few to rank; at least 3 are needed")
        return
    print(f"{recipes} recipes; whole: {table[-1].size} px, {epochs} epochs, judged")
    print(f"{'px':>5}{'epochs':>8}{'cost':>8}{'rank correlation':>18}{'90%':>18}{'best kept':>11}")
    for row in table:
        span = f"{row.low:.2f} to {row.high:.2f}"
        print(
            f"{row.size:>5}{row.epochs:>8}{row.cost:>8.1%}{row.rank:>18.2f}{span:>18}"
            f"{row.kept:>11.0%}"
        )
    large = [row for row in table if row.size == table[-1].size]
    for row in table:
        if row.size != table[-1].size:
            near = min(large, key=lambda other: abs(other.cost - row.cost))
            gain, low, high = difference(row, near)
            print(
                f"{row.size} px, {row.epochs} epochs ({row.cost:.0%}) less {near.size} px, "
                f"{near.epochs} epochs ({near.cost:.0%}): {gain:+.2f} ({low:+.2f} to {high:+.2f})"
            )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of X-rays with a label table")
    parser.add_argument("--cache", type=Path, help="folder of the decoded cache")
    parser.add_argument("--recipes", type=int, default=14)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", type=Path, default=CURVES)
    parser.add_argument("--report", action="store_true", help="print what there is")
    given = parser.parse_args(arguments)
    if given.data is None and not given.report:
        parser.error("--data DIR is needed, unless --report is given")
    return given


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, print the table."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    given = parse(arguments)
    found = curves.read(given.out)
    if not given.report:
        wanted = [
            (recipe, seed, size, given.epochs)
            for seed in range(given.seeds)
            for recipe in range(given.recipes)
            for size in given.sizes
        ]
        data = curves.load(given.data, given.cache, curves.frame_for(max(given.sizes)))
        found = curves.collect(wanted, data, given.out)
    show(found, given.epochs)


if __name__ == "__main__":
    main()
