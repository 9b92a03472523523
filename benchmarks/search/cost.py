"""What an ask and a tell cost as the history grows.

    python -m benchmarks.search.cost
    python -m benchmarks.search.cost --sizes 100 1000 --repeats 9 --out results/cost

The history is filled with drawn trials up to each size; then each sampler asks for a few
more and is told their values. Measured on a plain Optuna study in memory, where samplers
are kept, and on a study of this package on SQLite, where the sampler is made anew for each
ask, as the runners do. Ratios are to Optuna's TPE in the same run. Exits with 1 where the
genetic sampler is above a limit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import optuna
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.trial import TrialState, create_trial

from search.files import write_json
from search.genetic import GeneticSampler
from search.objective import Outcome
from search.space import SearchSpace
from search.space.unit import from_unit
from search.study import Study, StudyConfig

SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000)
LIMITS = {"genetic": 0.25, "genetic, no surrogate": 0.01}
"""Seconds that an ask and a tell may take together, at 1,000 finished trials and more."""
GP_UNTIL = 300
"""Finished trials up to which Optuna's GPSampler is timed; its cost grows with the cube."""


def space(genes: int) -> SearchSpace:
    """A space with choices, integers, logarithms and a condition."""
    found: dict[str, Any] = {"model": {"choices": ["a", "b"]}}
    kinds: list[dict[str, Any]] = [
        {"low": 1e-5, "high": 1e-1, "log": True},
        {"low": 0.0, "high": 1.0},
        {"type": "int", "low": 1, "high": 64},
        {"low": 0.0, "high": 0.5, "step": 0.1, "when": {"model": "b"}},
    ]
    for index in range(genes - 1):
        found[f"gene{index}"] = kinds[index % len(kinds)]
    return SearchSpace.from_dict({"name": "genes", "genes": found}, "genes")


@dataclass(frozen=True)
class Row:
    """Seconds of one sampler at one size.

    Args:
        study: ``"memory"`` or ``"sqlite"``.
        sampler: its name.
        trials: finished trials at the first ask.
        ask: seconds of each ask, all genes included.
        tell: seconds of each tell.
    """

    study: str
    sampler: str
    trials: int
    ask: list[float]
    tell: list[float]

    @property
    def each(self) -> list[float]:
        """Seconds of an ask and its tell together, one for each repeat."""
        return [a + t for a, t in zip(self.ask, self.tell, strict=True)]

    @property
    def median(self) -> float:
        """The median of `each`."""
        return statistics.median(self.each)


def in_memory(genes: SearchSpace, seed: int) -> dict[str, Callable[[], BaseSampler]]:
    """The samplers for a plain study, each by a function that makes it."""
    given = genes.distributions()
    return {
        "genetic": lambda: GeneticSampler(seed=seed, space=given),
        "TPE": lambda: TPESampler(seed=seed),
        "GP": lambda: GPSampler(seed=seed),
        "genetic, no surrogate": lambda: GeneticSampler(seed=seed, space=given, surrogate=False),
    }


def on_disk() -> dict[str, tuple[str, dict[str, Any]]]:
    """The samplers for a study of this package: (its name there, its options)."""
    return {
        "genetic": ("genetic", {}),
        "TPE": ("tpe", {}),
        "GP": ("gp", {}),
        "genetic, no surrogate": ("genetic", {"surrogate": False}),
    }


def worth(params: dict[str, Any], rng: Random) -> float:
    """A score with some noise; what it is does not matter, that it varies does."""
    return -((float(params["gene1"]) - 0.3) ** 2) + 0.1 * rng.random()


def drawn(genes: SearchSpace, rng: Random) -> optuna.trial.FrozenTrial:
    """A finished trial with what `GeneticSampler` leaves in one: 1 of 10 pruned, 1 of 30 failed."""
    given = genes.distributions()
    carried = {name: from_unit(dist, rng.random()) for name, dist in given.items()}
    active = genes.active(carried)
    params = {name: value for name, value in carried.items() if name in active}
    value, fate = worth(params, rng), rng.random()
    state = TrialState.FAIL if fate < 1 / 30 else TrialState.COMPLETE
    state = TrialState.PRUNED if fate > 0.9 else state
    return create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        params=params,
        distributions={name: given[name] for name in params},
        intermediate_values={} if state == TrialState.FAIL else {1: value - 0.1, 2: value},
        user_attrs={
            "carried": carried,
            "lineage": {"parents": [], "operator": "random", "changed": {}},
        },
    )


def skipped(sampler: str, size: int) -> bool:
    """Whether a sampler is too slow for a history of this size."""
    return sampler == "GP" and size > GP_UNTIL


def memory_rows(options: argparse.Namespace) -> Iterator[Row]:
    """All rows of a plain study in memory."""
    genes = space(options.genes)
    samplers = in_memory(genes, options.seed)
    for size in options.sizes:
        rng = Random(size)
        history = [drawn(genes, rng) for _ in range(size)]
        for name in options.samplers or samplers:
            if name not in samplers or skipped(name, size):
                continue
            study = optuna.create_study(direction="maximize", sampler=samplers[name]())
            study.add_trials(history)
            ask, tell = [], []
            # The first is thrown away: it compiles, imports and fills caches.
            for repeat in range(options.repeats + 1):
                start = time.perf_counter()
                trial = study.ask()
                params = genes.suggest(trial)
                asked = time.perf_counter()
                study.tell(trial, worth(params, rng))
                told = time.perf_counter()
                if repeat:
                    ask.append(asked - start)
                    tell.append(told - asked)
            yield Row("memory", name, size, ask, tell)


def fill(study: Study, size: int, rng: Random) -> None:
    """Random trials, some of them pruned or failed, until the study has ``size``."""
    config = study.config
    study.config = replace(config, sampler="random", sampler_options={})
    while len(study.trials()) < size:
        with study.batch():  # one transaction for many; nothing here could be killed halfway
            for _ in range(min(500, size - len(study.trials()))):
                task = study.ask()
                failed = rng.random() < 1 / 30
                outcome = Outcome.failed("crash") if failed else Outcome(worth(task.params, rng))
                study.tell(task.number, outcome)
    study.config = config


def disk_rows(options: argparse.Namespace) -> Iterator[Row]:
    """All rows of a study of this package, on SQLite."""
    samplers = on_disk()
    rng = Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="cost-") as folder:
        config = StudyConfig("cost", "random", options.seed)
        with Study.create(Path(folder) / "study", space(options.genes), config) as study:
            for size in options.sizes:
                fill(study, size, rng)
                for name in options.samplers or samplers:
                    if name not in samplers or skipped(name, size):
                        continue
                    yield disk_row(study, name, samplers[name], size, options.repeats, rng)


def disk_row(
    study: Study,
    name: str,
    sampler: tuple[str, dict[str, Any]],
    size: int,
    repeats: int,
    rng: Random,
) -> Row:
    """One row; the trials it makes stay, a handful in each size."""
    study.config = replace(study.config, sampler=sampler[0], sampler_options=sampler[1])
    ask, tell = [], []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        task = study.ask()
        asked = time.perf_counter()
        study.tell(task.number, Outcome(worth(dict(task.params), rng)))
        told = time.perf_counter()
        if repeat:
            ask.append(asked - start)
            tell.append(told - asked)
    return Row("sqlite", name, size, ask, tell)


def table(rows: list[Row]) -> str:
    """Medians in milliseconds with the range of the repeats, and the ratio to TPE."""
    lines = []
    for place in dict.fromkeys(row.study for row in rows):
        lines.append(f"\n{place}: milliseconds of ask + tell, median [least, most], ratio to TPE")
        lines.append(f"{'sampler':24}{'trials':>8}{'median':>10}{'range':>22}{'x TPE':>9}")
        here = [row for row in rows if row.study == place]
        base = {row.trials: row.median for row in here if row.sampler == "TPE"}
        for row in here:
            spread = f"[{1e3 * min(row.each):.1f}, {1e3 * max(row.each):.1f}]"
            ratio = f"{row.median / base[row.trials]:.2f}" if row.trials in base else "-"
            lines.append(
                f"{row.sampler:24}{row.trials:8}{1e3 * row.median:10.1f}{spread:>22}{ratio:>9}"
            )
    return "\n".join(lines)


def over_limit(rows: list[Row]) -> list[str]:
    """What breaks a limit, one sentence each."""
    return [
        f"{row.sampler} on {row.study}: {row.median:.3f} s at {row.trials} trials, "
        f"the limit is {LIMITS[row.sampler]:g}"
        for row in rows
        if row.trials >= 1000 and row.median > LIMITS.get(row.sampler, float("inf"))
    ]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--genes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samplers", nargs="+", help="'genetic', 'genetic, no surrogate', TPE, GP")
    parser.add_argument("--studies", nargs="+", choices=["memory", "sqlite"])
    parser.add_argument("--out", type=Path, default=Path("results/bench-cost"))
    options = parser.parse_args(arguments)
    options.sizes = sorted(options.sizes)
    return options


def main() -> int:
    """Time and print; 1 if the genetic sampler is above a limit."""
    options = parse()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    print(f"{options.genes} genes, {options.repeats} repeats, {os.cpu_count()} cores")
    rows: list[Row] = []
    for place, make in {"memory": memory_rows, "sqlite": disk_rows}.items():
        if options.studies and place not in options.studies:
            continue
        for row in make(options):
            rows.append(row)
            print(f"{place} {row.sampler} at {row.trials}: {1e3 * row.median:.1f} ms", flush=True)
    print(table(rows))
    found = [{**asdict(row), "median": row.median} for row in rows]
    write_json(options.out / "cost.json", found)
    broken = over_limit(rows)
    print("\n".join(broken) if broken else "all limits kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
