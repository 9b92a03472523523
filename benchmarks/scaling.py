"""What a search asks of its driver, its database, its file system and Ray as it grows.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --trials 1000 10000 --no-ray

Counts bytes (exact: they are the same on every machine) and times the driver's own work on
histories of growing length, then multiplies out how many workers one driver can serve, and
what they would read and write. docs/scaling.md says what follows. The trials' times and the
driver's share are for this machine; ratios between rows carry over.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from cxrsearch.data.pixels.cache import Cache
from cxrsearch.learn.objective import TrialConfig, TrialObjective
from cxrsearch.learn.recipe import Recipe
from cxrsearch.study.experiment import ranking
from cxrsearch.study.projection import COPIES_PAUSED, weight_bytes
from search.objective import Outcome, Step, Steps, Task
from search.study import Study, StudyConfig
from search.trials.halving import default_halving

from .search.cost import space, worth

EPOCHS = 20
GENES = 20
IMAGES = 112_120
"""Images of the whole of ChestX-ray14."""
ATTRS = {"auroc": dict.fromkeys(map(str, range(14)), 0.7123456789), "notes": [], "device": "cuda:0",
         "intervals": {str(i): [0.612345678, 0.812345678] for i in range(14)},
         "exposure": dict.fromkeys(map(str, range(15)), 0.123456789)}  # fmt: skip
"""About what a real trial leaves in the history at its end."""
CONTROL = 16 << 20


def fill(study: Study, size: int, rng: Random) -> None:
    """Trials until the study has ``size``: half of them complete, half paused at the first rung."""
    config = study.config
    study.config = replace(config, sampler="random", sampler_options={})
    while len(study.trials()) < size:
        with study.batch():
            for _ in range(min(500, size - len(study.trials()))):
                task = study.ask()
                value, pauses = worth(dict(task.params), rng), rng.random() < 0.5
                for number in range(1, 3 if pauses else EPOCHS + 1):
                    study.report(task.number, Step(number, value - 1 / number))
                if pauses:
                    study.stop(task.number)
                else:
                    study.tell(task.number, Outcome(value, attrs=ATTRS))
    study.config = config


def timed(function: Callable[[], Any], repeats: int) -> float:
    """Median milliseconds of ``function``, the first call apart."""
    function()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return 1e3 * statistics.median(found)


def driver_row(study: Study, repeats: int, rng: Random) -> dict[str, float]:
    """Milliseconds of each thing that the driver does, on the history as it is."""
    tasks: list[Task] = []
    row = {"ask": timed(lambda: tasks.append(study.ask()), repeats)}
    waiting = iter(tasks)
    row["report"] = timed(lambda: study.report(next(waiting).number, Step(1, 0.1)), repeats)
    waiting = iter(tasks)
    rung = study.config.halving.grace if study.config.halving else 2
    row["report at a rung"] = timed(
        lambda: study.report(next(waiting).number, Step(rung, 0.2)), repeats
    )
    row["look for who goes on"] = timed(study.promotable, repeats)
    waiting = iter(tasks)
    row["end"] = timed(
        lambda: study.tell(next(waiting).number, Outcome(worth(dict(tasks[0].params), rng),
                                                         attrs=ATTRS)), repeats)  # fmt: skip
    row["rank for the weights"] = timed(lambda: ranking(study.trials()), repeats)
    return row


def driver_table(sizes: list[int], sampler: str, repeats: int) -> tuple[dict[str, float], float]:
    """Print the driver's times by length of the history; the last row, and bytes a trial."""
    rng, bytes_each = Random(0), 0.0
    row: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
        path = Path(folder) / "study"
        config = StudyConfig("scaling", sampler, 0, halving=default_halving(EPOCHS))
        with Study.create(path, space(GENES), config) as study:
            for size in sizes:
                fill(study, size, rng)
                row = driver_row(study, repeats, rng)
                if size == sizes[0]:
                    print(f"{'trials':>8}" + "".join(f"{name:>22}" for name in row))
                print(f"{size:>8}" + "".join(f"{ms:>19.2f} ms" for ms in row.values()), flush=True)
            count = len(study.trials())
        bytes_each = sum(p.stat().st_size for p in path.glob("history.db*")) / count
    return row, bytes_each


def workers(row: dict[str, float], per_step: float) -> None:
    """Print how many workers one driver serves with half of its time."""
    each = sum(row[name] for name in ("ask", "look for who goes on", "end", "rank for the weights"))
    each += EPOCHS * (row["report"] + per_step) + 4 * (row["report at a rung"] - row["report"])
    print(
        f"\na trial of {EPOCHS} epochs takes {each / 1e3:.2f} s of the driver, {per_step:.1f} ms "
        "of them for Ray at each step; with half of its time the driver serves"
    )
    for seconds in (60, 600, 3600):
        print(f"  trials of {seconds:>4} s: {500 * seconds / each:>8.0f} workers")


def sizes_table() -> None:
    """Print what is read and written, in bytes."""
    print("\ncheckpoints, AdamW: bytes written an epoch, and kept by a paused trial")
    for model, head in (("densenet121", "full"), ("vgg16", "pooled"), ("vgg16", "full")):
        one = weight_bytes(Recipe(model=model, vgg_head=head), 14)
        name = f"{model} {head}" if model == "vgg16" else model
        print(f"  {name:<14} {3 * one / 1e6:>8.0f} to {COPIES_PAUSED * one / 1e6:.0f} MB, "
              f"{COPIES_PAUSED * one / 1e6:.0f} MB")  # fmt: skip
    print(f"\nimage cache: {IMAGES:,} images, one byte a pixel")
    for side in (64, 128, 224, 256, 512, 1024):
        print(f"  {side:>5} x {side:<5} {IMAGES * side * side / 1e9:>8.1f} GB")
    empty = np.zeros((0, 1, 1), np.uint8)
    cache = Cache(empty, (), np.zeros(0, bool), {}, Path("/a/cache/folder"), 224)
    place = Path("/a/study/splits.json")
    objective = TrialObjective(TrialConfig(cache, place, place, "fingerprint"))
    print(f"\nthe objective, as it is sent to a worker: {len(pickle.dumps(objective)):,} bytes")


class Reporting:
    """A trial that trains nothing and reports as a real one does."""

    def __call__(self, task: Task) -> Steps:
        """``EPOCHS`` steps, then what a real trial leaves."""
        for number in range(1, EPOCHS + 1):
            yield Step(number, 0.5, {"epochs_run": number}, last=number == EPOCHS)
        return Outcome(0.5, attrs=ATTRS)


def _held() -> float:
    """Bytes in Ray's object store, once its nodes have said so."""
    import ray

    time.sleep(3)
    key = "object_store_memory"
    return ray.cluster_resources()[key] - ray.available_resources().get(key, 0.0)


def ray_store(trials: int) -> float:
    """Print what is in Ray's object store after some trials; milliseconds of a step on Ray."""
    import ray

    from search.budget import Budget
    from search.events import Event
    from search.stopping import stopping
    from search.tune import Resources, run_tune
    from search.tune.cluster import connected
    from search.tune.quiet import quiet

    times: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="scaling-") as folder,
        stopping() as stop,
        quiet(),
        connected(Resources(), stop),
    ):
        with Study.create(Path(folder) / "s", space(GENES), StudyConfig("s", "random", 0)) as study:

            def watch(event: Event) -> None:
                times.append(time.perf_counter())

            resources = Resources(concurrent=1)
            run_tune(study, Reporting(), Budget(trials=trials), resources, watch)
        held = _held()
        control = ray.put(np.zeros(CONTROL, np.uint8))
        print(
            f"\nRay's object store holds {held:,.0f} bytes after {trials} trials "
            f"(and {_held():,.0f} with an array of {CONTROL:,} bytes put there, as a check)"
        )
        del control
    return 1e3 * (times[-1] - times[0]) / (trials * EPOCHS)


def main() -> None:
    """Measure, multiply and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--sampler", default="genetic")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--ray", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--ray-trials", type=int, default=20)
    given = parser.parse_args()
    sizes_table()
    step = ray_store(given.ray_trials) if given.ray else 0.0
    if given.ray:
        print(f"a step on Ray takes {step:.1f} ms, one worker that trains nothing")
    print(f"\nthe driver's work, {given.sampler} sampler, {GENES} genes, half of the trials paused")
    row, each = driver_table(sorted(given.trials), given.sampler, given.repeats)
    print(f"\nhistory on disk: {each / 1e3:.1f} kB a trial")
    workers(row, step)


if __name__ == "__main__":
    main()
