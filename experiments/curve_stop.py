"""May a trial be ended by its own learning curve? Rules replayed on whole curves.

    python -m experiments.curve_stop collect --data my-xrays --recipes 10 --seeds 2
    python -m experiments.curve_stop replay
    python -m experiments.curve_stop replay --lcbench --noises 0 0.5 1.5

`collect` trains DenseNet121 recipes on real X-rays without stopping and keeps their curves; it
goes on where it was cut off. `replay` ends each curve where a rule would have and says how many
epochs that saves and what it loses: the difference in the *judging* part's value between the
epoch that would have been chosen of all and the one chosen of those trained. Every rule is
compared with plain patience that saves as much. ``--lcbench`` takes the curves of random recipes
on LCBench's tuning tasks (its nets are trained with a cosine schedule; its test values judge).
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from . import curves

CURVES = Path(__file__).with_name("curve_stop.jsonl")
NEAR = 0.002
"""What may be lost on LCBench, whose curves have no seeds to tell the noise by."""
SHARES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0)
"""Patience as a share of the epochs."""

Rule = Callable[[np.ndarray, np.ndarray], int]
"""(values, learning rate of each epoch as a share of the peak) -> the last epoch trained."""


class Run(NamedTuple):
    """A whole curve: what the rule sees, what judges, and the schedule's shares."""

    seen: np.ndarray
    judged: np.ndarray
    rates: np.ndarray
    group: str


def waits(values: np.ndarray) -> np.ndarray:
    """Epochs since the best one so far, after each epoch."""
    best = np.array([int(np.argmax(values[: e + 1])) for e in range(len(values))])
    return np.arange(len(values)) - best


def first(stops: np.ndarray) -> int:
    """The first epoch (from 1) at which ``stops`` holds, or the last."""
    return int(np.argmax(stops)) + 1 if stops.any() else len(stops)


def patience(share: float) -> Rule:
    """So many epochs without a better one: what the gene ``patience`` does."""

    def rule(values: np.ndarray, rates: np.ndarray) -> int:
        return first(waits(values) >= max(1, round(share * len(values))))

    return rule


def late_patience(share: float, most: float) -> Rule:
    """Patience that counts an epoch only if its learning rate is at most ``most`` of the peak, or
    never falls that far: what comes with a low learning rate is not foretold by a plateau."""

    def rule(values: np.ndarray, rates: np.ndarray) -> int:
        counts = (rates <= most) | (rates[-1] > most)
        waited, stops = 0, np.zeros(len(values), bool)
        for epoch, wait in enumerate(waits(values)):
            waited = 0 if wait == 0 else waited + int(counts[epoch])
            stops[epoch] = waited >= max(1, round(share * len(values)))
        return first(stops)

    return rule


def fallen(share: float, sds: float) -> Rule:
    """The latest ``share`` of the epochs all lie below the best by ``sds`` of the curve's own
    wobble (see `search.trials.wobble`), and don't rise: it overfits."""

    def rule(values: np.ndarray, rates: np.ndarray) -> int:
        width = max(3, round(share * len(values)))
        line = np.arange(width) - (width - 1) / 2
        stops, bends = np.zeros(len(values), bool), np.abs(np.diff(values, 2))
        for epoch in range(width, len(values)):
            noise = np.median(bends[: epoch - 1]) / (0.6745 * np.sqrt(6))
            recent = values[epoch + 1 - width : epoch + 1]
            least = values[: epoch + 1].max() - sds * noise
            stops[epoch] = recent.max() < least and line @ recent <= 0
        return first(stops)

    return rule


def spent(rest: float) -> Rule:
    """Less than ``rest`` of the schedule's learning (the sum of its rates) is left."""

    def rule(values: np.ndarray, rates: np.ndarray) -> int:
        return first(1 - np.cumsum(rates) / rates.sum() < rest)

    return rule


def both(*rules: Rule) -> Rule:
    """Every one of ``rules`` says stop: the last of them counts."""
    return lambda values, rates: max(rule(values, rates) for rule in rules)


RULES: dict[str, Rule] = {
    **{f"patience {share:.0%}": patience(share) for share in SHARES[:-1]},
    "late patience 10%, rate 50%": late_patience(0.1, 0.5),
    "late patience 20%, rate 50%": late_patience(0.2, 0.5),
    "late patience 10%, rate 25%": late_patience(0.1, 0.25),
    "late patience 20%, rate 25%": late_patience(0.2, 0.25),
    "fallen 10%, 1 sd": fallen(0.1, 1),
    "fallen 20%, 1 sd": fallen(0.2, 1),
    "fallen 20%, 2 sd": fallen(0.2, 2),
    "schedule spent 2%": spent(0.02),
    "schedule spent 0.5%": spent(0.005),
    "spent 5% and patience 10%": both(spent(0.05), patience(0.1)),
}


class Outcome(NamedTuple):
    """What a rule did to one curve."""

    saved: float
    seen: float
    judged: float


def replayed(rule: Rule, run: Run) -> Outcome:
    """End ``run`` where ``rule`` says."""
    end = rule(run.seen, run.rates)
    whole, chosen = int(run.seen.argmax()), int(run.seen[:end].argmax())
    return Outcome(
        1 - end / len(run.seen),
        float(run.seen[whole] - run.seen[chosen]),
        float(run.judged[whole] - run.judged[chosen]),
    )


def at_saving(rows: Sequence[tuple[float, float]], saved: float) -> float:
    """What patience loses that saves ``saved``, between the shares that were replayed."""
    ordered = sorted(rows)
    return float(np.interp(saved, [r[0] for r in ordered], [r[1] for r in ordered]))


def show(runs: Sequence[Run], noise: float, title: str) -> None:
    """Print a line a rule."""
    print(f"\n{title}: {len(runs)} curves; what counts as lost is more than {noise:.4f}")
    print(
        f"{'rule':30}{'saved':>8}{'lost: mean':>12}{'seen':>9}{'worst':>9}{'lost by':>9}"
        f"{'patience, same saving':>24}"
    )
    plain = [[replayed(patience(share), run) for run in runs] for share in SHARES]
    line = [(fmean(o.saved for o in row), fmean(o.judged for o in row)) for row in plain]
    for name, rule in RULES.items():
        found = [replayed(rule, run) for run in runs]
        saved, lost = fmean(o.saved for o in found), [o.judged for o in found]
        print(
            f"{name:30}{saved:8.1%}{fmean(lost):12.4f}{fmean(o.seen for o in found):9.4f}"
            f"{max(lost):9.4f}{fmean(x > noise for x in lost):9.1%}{at_saving(line, saved):24.4f}"
        )


def rates_of(params: dict[str, object], epochs: int) -> np.ndarray:
    """The learning rate half-way through each epoch, as a share of the peak."""
    from cxrsearch.learn.optim import lr_factor
    from cxrsearch.learn.recipe import Recipe

    recipe = Recipe.from_params({**params, "epochs": epochs})
    return np.array([lr_factor(recipe, 100 * e + 50, 100 * epochs) for e in range(epochs)])


def real(path: Path) -> tuple[list[Run], float]:
    """The collected curves, and the noise: the standard deviation of a recipe's judged value over
    its seeds, pooled."""
    found = curves.read(path)
    runs, groups = [], defaultdict(list)
    for curve in found.values():
        seen, judged = np.array(curve.seen), np.array(curve.judged)
        schedule = str(curve.params["schedule"])
        runs.append(Run(seen, judged, rates_of(curve.params, curve.epochs), schedule))
        groups[curve.recipe].append(float(judged[seen.argmax()]))
    pairs = [np.var(values, ddof=1) for values in groups.values() if len(values) > 1]
    return runs, float(np.sqrt(fmean(pairs))) if pairs else 0.0


def lcbench(recipes: int, noise: float) -> list[Run]:
    """Random recipes' curves of the tuning tasks, with noise on what is seen.

    Args:
        recipes: a task.
        noise: standard deviation, in those of the top tenth's final values.
    """
    from benchmarks.search.problems import EPOCHS, LCBENCH, TUNE_TASKS, lcbench_outputs
    from search.seeds import derive
    from search.space.unit import from_unit

    rates = (1 + np.cos(np.pi * (np.arange(EPOCHS) + 0.5) / EPOCHS)) / 2
    runs = []
    for task in TUNE_TASKS:
        rng = np.random.default_rng(derive(0, "curve_stop", task))
        drawn = [
            {name: from_unit(dist, float(rng.random())) for name, dist in LCBENCH.items()}
            for _ in range(recipes)
        ]
        out = lcbench_outputs(task, drawn, list(range(1, EPOCHS + 1)))
        top = np.sort(out[:, -1, 3])[-max(2, recipes // 10) :]
        for curve in out:
            seen = curve[:, 3] + noise * top.std() * rng.normal(size=EPOCHS)
            runs.append(Run(seen, curve[:, 5], rates, task))
    return runs


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    collect = commands.add_parser("collect", help="train recipes on real X-rays, keep their curves")
    collect.add_argument("--data", type=Path, required=True)
    collect.add_argument("--cache", type=Path, help="folder of the decoded cache")
    collect.add_argument("--recipes", type=int, default=10)
    collect.add_argument("--seeds", type=int, default=2)
    collect.add_argument("--size", type=int, default=32)
    collect.add_argument("--epochs", type=int, default=30)
    collect.add_argument("--out", type=Path, default=CURVES)
    replay = commands.add_parser("replay", help="end the curves by each rule")
    replay.add_argument("--curves", type=Path, default=CURVES)
    replay.add_argument("--lcbench", action="store_true")
    replay.add_argument("--recipes", type=int, default=100, help="a task of LCBench")
    replay.add_argument("--noises", type=float, nargs="+", default=[0.0, 0.5, 1.5])
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Collect or replay."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    given = parse(arguments)
    if given.command == "collect":
        wanted = [
            (recipe, seed, given.size, given.epochs)
            for seed in range(given.seeds)
            for recipe in range(given.recipes)
        ]
        frame = curves.frame_for(given.size)
        curves.collect(wanted, curves.load(given.data, given.cache, frame), given.out)
    elif given.lcbench:
        for noise in given.noises:
            show(lcbench(given.recipes, noise), NEAR, f"LCBench, noise {noise:g}")
    else:
        runs, noise = real(given.curves)
        show(runs, noise, f"{given.curves.name}")
        for group in sorted({run.group for run in runs}):
            show([run for run in runs if run.group == group], noise, f"schedule {group}")


if __name__ == "__main__":
    main()
