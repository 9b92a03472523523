"""What a trial costs besides its training: no-op trials on Ray, serially, and on plain Tune.

    python -m benchmarks.overhead
    python -m benchmarks.overhead --trials 100 --sampler genetic --sampler random --workers 2

A space of 20 genes, five reports a trial, history on disk. Seconds a trial are wall-clock
time from the first start of a trial to the last end, over the trials, so that Ray's own
start is left out; it is printed beside. Exits with 1 above ``--limit`` seconds on Ray.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.budget import Budget
from search.events import Event
from search.objective import Outcome, Step, Steps, Task
from search.serial import run_serial
from search.study import Study, StudyConfig
from search.tune import Resources, Usage, run_tune

from .search.cost import space

REPORTS = 5


def nothing(task: Task) -> Steps:
    """A trial that reports as a real one does and computes nothing."""
    value = float(task.params["gene1"])
    for number in range(1, REPORTS + 1):
        yield Step(number, value, {"epochs_run": number}, last=number == REPORTS)
    return Outcome(value)


@dataclass
class Timed:
    """Seconds before the first trial began, and seconds a trial from then on."""

    before: float
    each: float
    usage: Usage | None = None


class Watch:
    """Notes when the first trial began and when the last one ended."""

    def __init__(self) -> None:
        self.made = time.perf_counter()
        self.first = self.last = 0.0

    def __call__(self, event: Event) -> None:
        """Note an event."""
        self.last = time.perf_counter()
        self.first = self.first or self.last


def timed(options: argparse.Namespace, sampler: str, runner: str, ahead: int = 0) -> Timed:
    """Run the trials of one row."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        config = StudyConfig("overhead", sampler, 0)
        with Study.create(Path(folder) / "study", space(options.genes), config) as study:
            watch = Watch()
            budget = Budget(trials=options.trials)
            usage = None
            if runner == "serial":
                run_serial(study, nothing, budget, watch)
            else:
                resources = Resources(concurrent=options.workers)
                usage = run_tune(study, nothing, budget, resources, watch, ahead=ahead)
            complete = study.counts()["complete"]
            assert complete == options.trials, f"{complete} of {options.trials} are complete"
    return Timed(watch.first - watch.made, (watch.last - watch.first) / options.trials, usage)


def plain_tune(trials: int, reuse: bool) -> float:
    """Seconds a trial on Ray Tune as it comes, without a history, after the first trial.

    Needs Ray running.
    """
    from ray import tune

    from search.tune.quiet import quiet

    class Nothing(tune.Trainable):  # type: ignore[misc]
        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

        def step(self) -> dict[str, Any]:
            return {"value": 0.0, "done": self.iteration + 1 >= REPORTS}

    class Ends(tune.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_trial_complete(self, *_: Any, **__: Any) -> None:
            self.times.append(time.perf_counter())

    ends = Ends()
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder, quiet():
        tune.run(
            Nothing, num_samples=trials, storage_path=folder, callbacks=[ends], verbose=0,
            reuse_actors=reuse, resources_per_trial={"cpu": 1},
        )  # fmt: skip
    return (ends.times[-1] - ends.times[0]) / (trials - 1)


def plain(options: argparse.Namespace) -> tuple[float, float]:
    """Plain Tune without and with kept workers."""
    from search.stopping import stopping
    from search.tune.cluster import connected
    from search.tune.quiet import quiet

    with stopping() as stop, quiet(), connected(Resources(), stop):
        return plain_tune(options.plain, reuse=False), plain_tune(options.trials, reuse=True)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--genes", type=int, default=20)
    parser.add_argument("--sampler", action="append", help="several: give it again")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plain", type=int, default=12, help="trials on Tune with no reuse")
    parser.add_argument("--limit", type=float, default=0.25)
    options = parser.parse_args()
    options.sampler = options.sampler or ["genetic", "random"]
    return options


def main() -> int:
    """Time and print; 1 if a trial on Ray costs more than the limit."""
    options = parse()
    print(
        f"{options.trials} trials, {REPORTS} reports each, {options.genes} genes, "
        f"{options.workers} workers, {os.cpu_count()} cores"
    )
    print(f"{'':34}{'s/trial':>8}{'start s':>9}{'workers':>8}{'ahead':>7}{'wait s':>8}{'ratio':>8}")
    worst = 0.0
    base, reused = plain(options)
    print(f"{'plain Tune, a process a trial':34}{base:8.3f}{'':32}{1:8.2f}")
    print(f"{'plain Tune, kept workers':34}{reused:8.3f}{'':32}{reused / base:8.2f}")
    for sampler in options.sampler:
        row = timed(options, sampler, "serial")
        print(f"{sampler + ', serial':34}{row.each:8.3f}{row.before:9.2f}")
        for ahead in (0, 1):
            row = timed(options, sampler, "ray", ahead)
            usage = row.usage
            assert usage is not None
            # The first trials wait for their workers' processes to start.
            waits = usage.waits[options.workers :]
            wait = sum(waits) / max(1, len(waits))
            name = f"{sampler}, Ray, asked {ahead} ahead"
            print(
                f"{name:34}{row.each:8.3f}{row.before:9.2f}{len(usage.workers):8}"
                f"{usage.ahead:7}{wait:8.3f}{row.each / base:8.2f}"
            )
            if ahead == 0:
                worst = max(worst, row.each)
    print(f"worst on Ray as it is: {worst:.3f} s a trial; the limit is {options.limit:g}")
    return 0 if worst <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
