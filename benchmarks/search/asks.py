"""What an ask costs where trials go on from their rungs, end late, and run by the thousand.

    python -m benchmarks.search.asks
    python -m benchmarks.search.asks late --sizes 100 1000
    python -m benchmarks.search.asks running --running 64 1000
    python -m benchmarks.search.asks workers --workers 1000 --legs 2000

`late` and `running` time the genetic sampler, each beside asks of the same run: an ask right after
a trial went on from its rung, or ended long after those asked for with it, over one after nothing
of the kind; and an ask beside so many running trials over one beside the first number of them.
`workers` puts so many on a simulated clock, in a study of this package with rungs and promotions,
and counts: what was asked for and what ended, steps that were reported twice, workers that waited.
Exits with 1 where a count is wrong or a ratio is above its limit. Seconds are the processor's: what
else runs on the machine does not count.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import exp
from pathlib import Path
from random import Random

import optuna
from optuna.trial import TrialState, create_trial

from search.files import write_json
from search.genetic import GeneticSampler
from search.objective import Outcome, Step, Task
from search.seeds import derive
from search.study import Study, StudyConfig
from search.trials.halving import Halving

from .cost import drawn, space, worth
from .simulator import simulate

EPOCHS = 8
RUNGS = Halving(2, 2, 2, promote=True, longest=EPOCHS)
LATE_LIMIT = 1.5
"""Most that an ask after a promotion or a late end may cost, over one after neither."""
RUNNING_LIMIT = 2.0
"""Most that an ask beside the largest number of running trials may cost, over the smallest."""
KINDS = ("neither", "went on", "ended late")


@dataclass(frozen=True)
class Row:
    """Seconds of asks of one kind.

    Args:
        what: the kind.
        at: finished trials, or running ones.
        seconds: of each ask.
        over: those of the asks they are compared with.
    """

    what: str
    at: int
    seconds: Sequence[float]
    over: Sequence[float]

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return statistics.median(self.seconds) / statistics.median(self.over)

    def text(self) -> str:
        """One line: milliseconds, least and most, and the ratio with its own."""
        base = statistics.median(self.over)
        least, most = min(self.seconds), max(self.seconds)
        return (
            f"{self.what:<14}{self.at:>8}{1e3 * statistics.median(self.seconds):>10.0f} ms "
            f"[{1e3 * least:.0f}, {1e3 * most:.0f}]   x {self.ratio:.2f} "
            f"[{least / base:.2f}, {most / base:.2f}]"
        )


@contextmanager
def study_of(genes: int, seed: int) -> Iterator[Study]:
    """A study of this package with rungs, on SQLite, in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="asks-") as folder:
        config = StudyConfig("asks", "genetic", seed, halving=RUNGS)
        with Study.create(Path(folder) / "study", space(genes), config) as study:
            yield study


def fill(study: Study, size: int, rng: Random) -> list[Task]:
    """Trials until the study has ``size``, half of them paused at the first rung."""
    config, made = study.config, []
    study.config = replace(config, sampler="random", sampler_options={})
    while len(study.trials()) < size:
        with study.batch():
            for _ in range(min(500, size - len(study.trials()))):
                made.append(study.ask())
                finish(study, made[-1], rng, pauses=rng.random() < 0.5)
    study.config = config
    return made


def finish(study: Study, task: Task, rng: Random, pauses: bool = False) -> None:
    """Report and end a trial, or pause it at the first rung."""
    value = worth(dict(task.params), rng)
    done = len(study.trials()[task.number].intermediate_values)
    for epoch in range(done + 1, RUNGS.grace + 1 if pauses else EPOCHS + 1):
        study.report(task.number, Step(epoch, value - 1 / epoch, last=epoch == EPOCHS))
    if pauses:
        study.stop(task.number)
    else:
        study.tell(task.number, Outcome(value))


def timed(function: Callable[[], Task]) -> tuple[Task, float]:
    """What ``function`` returns, and its seconds."""
    start = time.process_time()
    found = function()
    return found, time.process_time() - start


def late_rows(options: argparse.Namespace) -> Iterator[Row]:
    """Asks after a promotion, after a late end, and after neither, in turn, by size."""
    rng = Random(options.seed)
    with study_of(options.genes, options.seed) as study:
        for size in options.sizes:
            held = [study.ask() for _ in range(options.repeats + 1)]
            fill(study, size, rng)
            found: dict[str, list[float]] = {kind: [] for kind in KINDS}
            # The first round is thrown away: it fills memos.
            for turn, late in enumerate(held):
                for kind in KINDS:
                    gone_on = study.promote() if kind == "went on" else None
                    if kind == "ended late":
                        finish(study, late, rng)
                    task, seconds = timed(study.ask)
                    finish(study, task, rng)
                    if gone_on is not None:
                        finish(study, gone_on, rng)
                    if turn:
                        found[kind].append(seconds)
            for kind in KINDS:
                yield Row(kind, size, found[kind], found[KINDS[0]])


def running_rows(options: argparse.Namespace) -> Iterator[Row]:
    """Asks beside so many running trials, after a few hundred have finished."""
    genes, rng = space(options.genes), Random(options.seed)
    given = genes.distributions()
    sampler = GeneticSampler(seed=options.seed, space=given)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([drawn(genes, rng) for _ in range(options.finished)])
    base: list[float] = []
    there = 0
    for count in options.running:
        for _ in range(count - there):
            other = drawn(genes, rng)
            study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params=other.params,
                    distributions=other.distributions,
                    user_attrs=other.user_attrs,
                )
            )
        there, seconds = count, []
        for turn in range(options.repeats + 1):
            start = time.process_time()
            trial = study.ask()
            params = genes.suggest(trial)
            if turn:
                seconds.append(time.process_time() - start)
            study.tell(trial, worth(params, rng))
        base = base or seconds
        yield Row("running", count, seconds, base)


class Crowd:
    """Workers' legs of trials in a study of this package, as `simulator.Driver`.

    A leg is a trial from its start, or from the rung that it waited at, to its next pause or end.

    Args:
        study: driven by this process.
        seed: of the trials' lengths and scores.
    """

    def __init__(self, study: Study, seed: int) -> None:
        self._study, self._seed = study, seed
        self._running: dict[int, tuple[Task, float, float]] = {}
        self.asked: Counter[int] = Counter()
        self.steps: Counter[tuple[int, int]] = Counter()
        self.ended: Counter[int] = Counter()
        self.asks: list[float] = []
        self.legs = self.went_on = 0

    def ready(self) -> bool:
        """Always: nobody waits for the others."""
        return True

    def ask(self) -> tuple[int, float]:
        """The next leg, of a trial that may go on or of a new one, and the seconds of a step."""
        task = self._study.promote()
        if task is None:
            task, seconds = timed(self._study.ask)
            self.asks.append(seconds)
            self.asked[task.number] += 1
        else:
            self.went_on += 1
        rng = Random(derive(self._seed, "trial", task.number))
        step = exp(rng.gauss(-0.5, 1.0)) / EPOCHS
        self._running[self.legs] = task, worth(dict(task.params), rng), step
        self.legs += 1
        return self.legs - 1, step

    def advance(self, number: int) -> float | None:
        """The leg's trial reports its next step, and goes on, pauses or ends."""
        task, value, seconds = self._running[number]
        epoch = len(self._study.trials()[task.number].intermediate_values) + 1
        self.steps[task.number, epoch] += 1
        step = Step(epoch, value - 1 / epoch, last=epoch == EPOCHS)
        goes_on = self._study.report(task.number, step)
        if goes_on and epoch < EPOCHS:
            return seconds
        del self._running[number]
        if goes_on:
            self._study.tell(task.number, Outcome(value))
            self.ended[task.number] += 1
        else:
            self._study.stop(task.number)
        return None


def workers(options: argparse.Namespace) -> tuple[dict[str, float], list[str]]:
    """Run ``options.workers`` on a simulated clock: what was counted, and what is wrong with it."""
    with study_of(options.genes, options.seed) as study:
        crowd = Crowd(study, options.seed)
        schedule = simulate(crowd, options.workers, options.legs)
        study.settle()
        trials = study.trials()
    settled = sum(t.state.is_finished() and t.number not in crowd.ended for t in trials)
    recipes = {str(sorted(t.params.items())) for t in trials}
    learnt = crowd.asks[options.workers :]
    found = {
        "workers": options.workers,
        "legs": len(schedule.ended),
        "asked": len(crowd.asked),
        "complete": len(crowd.ended),
        "stopped at a rung": settled,
        "went on": crowd.went_on,
        "steps": len(crowd.steps),
        "steps reported twice": sum(crowd.steps.values()) - len(crowd.steps),
        "recipes": len(recipes),
        "busy until the last start": schedule.utilisation(schedule.last_start),
    }
    if learnt:
        found["ms an ask once all run"] = 1e3 * statistics.median(learnt)
    wrong = []
    if len(schedule.ended) != options.legs:
        wrong.append(f"{len(schedule.ended)} of {options.legs} legs ended")
    if any(n != 1 for n in crowd.asked.values()) or len(crowd.asked) != len(trials):
        wrong.append(f"{len(crowd.asked)} trials were asked for, the study has {len(trials)}")
    if len(crowd.ended) + settled != len(trials):
        wrong.append(f"{len(crowd.ended) + settled} of {len(trials)} trials ended")
    if found["steps reported twice"]:
        wrong.append(f"{found['steps reported twice']} steps were reported twice")
    if found["busy until the last start"] < 1 - 1e-9:
        wrong.append("workers waited")
    if len(recipes) < len(trials):
        wrong.append(f"{len(trials) - len(recipes)} recipes were proposed twice")
    return found, wrong


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["late", "running", "workers"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1_000])
    parser.add_argument("--running", type=int, nargs="+", default=[64, 250, 1_000])
    parser.add_argument("--finished", type=int, default=300, help="beside those running")
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--legs", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--genes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/bench-asks"))
    options = parser.parse_args(arguments)
    options.sizes, options.running = sorted(options.sizes), sorted(options.running)
    unknown = set(options.what) - {"late", "running", "workers"}
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: choose from late, running, workers")
    if min(options.workers, options.repeats, *options.sizes, *options.running) < 1:
        parser.error("--workers, --repeats, --sizes and --running must be at least 1")
    if options.legs <= options.workers:
        parser.error("--legs must be above --workers, or nothing is asked for beside all of them")
    return options


def main() -> int:
    """Measure and print; 1 where a count is wrong or a ratio above its limit."""
    options = parse()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    rows: list[Row] = []
    broken: list[str] = []
    for name, make, limit in (
        ("late", late_rows, LATE_LIMIT),
        ("running", running_rows, RUNNING_LIMIT),
    ):
        for row in make(options) if name in options.what else ():
            rows.append(row)
            print(row.text(), flush=True)
            if row.ratio > limit:
                broken.append(f"{row.what} at {row.at}: x {row.ratio:.2f}, the limit is {limit:g}")
    found: dict[str, float] = {}
    if "workers" in options.what:
        found, wrong = workers(options)
        broken += wrong
        print("\n".join(f"{name:<28}{value:>12.6g}" for name, value in found.items()))
    plain = [{**asdict(row), "ratio": row.ratio} for row in rows]
    write_json(options.out / "asks.json", {"rows": plain, "workers": found})
    print("\n".join(broken) if broken else "all limits kept, all counts right")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
