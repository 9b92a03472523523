"""What trials cost and bring side by side: private memory of each, and trials an hour.

    python -m benchmarks.side_by_side
    python -m benchmarks.side_by_side --sides 32 --repeats 2 --images 2000 --trial-images 64

Two tables, on the GPU where there is one, else on the cores.

1. Memory. Workers load a study's data as a search's workers do and draw every batch of an
   epoch, at once. USS is what would come back if the process ended (psutil), without what it
   had before it loaded the data. Pages of a file that nobody else has mapped count as its own
   although the kernel may drop them, so with one worker look at the written memory beside it.
   The baseline is a worker with a copy of the pixels of its own.
2. Trials. Each worker trains whole trials (real ones: augmentation, validation, checkpoints)
   at the same time; the shares of cores take turns, and each figure is the median of the repeats
   with the smallest and the largest. Beside it: what the short measurement makes of the same
   share (`cxrsearch.study.cost.sharing`), by which a search chooses.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.pixels.cache import load_cache, open_cache
from cxrsearch.data.splits import Splits, make_splits
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.recipe import Recipe
from cxrsearch.study.cost.recipe_kinds import kind_of
from cxrsearch.study.cost.sharing import Share, shares
from cxrsearch.study.cost.stopwatches import (
    MEMORY_SHARE_OF_ALL,
    TimingError,
    answers,
    started,
    tell,
    timed,
)
from search.cores import detect_cpus

WORKER = ("benchmarks.side_by_side", "--worker")
CROP = 896
"""Of the memory table's recipe: its network sees no whole frames, so pixels must be prepared."""


@dataclass(frozen=True)
class Noise:
    """Pictures of noise: what they show does not matter here."""

    seed: int

    def decode(self, name: str, size: int) -> np.ndarray:
        """A picture of its own for each name."""
        rng = np.random.default_rng([self.seed, int(name[:8])])
        return rng.integers(0, 256, (size, size), dtype=np.uint8)

    def stamp(self, name: str) -> str:
        """All that the picture depends on."""
        return f"noise {self.seed}"


def make_study(folder: Path, images: int, frame: int) -> dict[str, str]:
    """Cache, splits and labels of a study of ``images`` pictures; where they lie."""
    from cxrsearch.learn.saved.arrays import Labels, save_labels

    rng = np.random.default_rng(0)
    names = tuple(f"{i:08d}_000.png" for i in range(images))
    labels = (rng.random((images, len(DISEASES))) < 0.3).astype(np.uint8)
    patients = np.array([f"{i // 2:05d}" for i in range(images)])
    data = Dataset(names, labels, patients, (), Noise(0), label="noise", source_side=frame)
    folder.mkdir(parents=True)
    cache = open_cache(data, frame, root=folder / "cache")
    make_splits(names, labels, patients, seed=0).save(folder / "splits.json")
    save_labels(folder / "labels.npz", Labels(np.array(names), labels, np.array(patients)))
    return {"folder": str(folder), "cache": str(cache.path)}


# The worker: a line in, a line out


class Worker:
    """One of several processes that share a machine."""

    def __init__(self) -> None:
        self.kept: list[Any] = []  # for as long as memory is looked at

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what a line asks for."""
        found: dict[str, Any] = getattr(self, asked.pop("do"))(**asked)
        return found

    def load(
        self, few: dict[str, str], where: dict[str, str], side: int, own: bool
    ) -> dict[str, Any]:
        """Load a study's data and draw an epoch of it; what was in memory before.

        That is after the same with a study of ``few`` images, for what libraries take once.
        """
        self.draw(few, side, own)
        memory()  # its own tables stay with the process
        before = memory()
        self.draw(where, side, own)
        return {"before": before}

    def draw(self, where: dict[str, str], side: int, own: bool) -> None:
        """An epoch of training and of validation, and nothing but the pixels."""
        import torch

        from cxrsearch.learn.data import Pixels
        from cxrsearch.learn.objective import load_trial_data

        recipe, cpu = Recipe(crop=CROP, input_size=side), torch.device("cpu")
        data = load_trial_data(config(where, 1, 1))
        data = replace(data, shelf=None) if own else data
        for rows in (data.train, data.val):
            pixels = Pixels(data, rows, recipe, cpu)
            order = np.random.default_rng(0).permutation(len(rows))
            pieces = [slice(a, a + 32) for a in range(0, len(rows), 32)]
            for batch, _ in pixels.batches(order, pieces):
                batch.float().sum()
            self.kept.append(pixels)
        gc.collect()

    def memory(self) -> dict[str, Any]:
        """Bytes of this process alone, now."""
        return {"now": memory()}

    def trial(
        self, where: dict[str, str], number: int, params: dict[str, Any], share: list[int]
    ) -> dict[str, Any]:
        """Train a whole trial; its seconds."""
        from cxrsearch.learn.objective import TrialObjective
        from search.objective import Task, drive

        at_once, threads = share
        with tempfile.TemporaryDirectory(dir=where["folder"]) as folder:
            task = Task(number=number, params=params, seed=number, folder=Path(folder))
            begin = time.perf_counter()
            steps = drive(TrialObjective(config(where, at_once, threads)), task)
            try:
                while True:
                    next(steps)
            except StopIteration as stop:
                outcome = stop.value
            seconds = time.perf_counter() - begin
        if outcome.reason:
            raise RuntimeError(f"{outcome.reason}: {outcome.detail.splitlines()[-1:]}")
        return {"seconds": seconds}


def config(where: dict[str, str], at_once: int, threads: int) -> Any:
    """A study's `TrialConfig` for a worker."""
    from cxrsearch.learn.objective import TrialConfig

    folder = Path(where["folder"])
    return TrialConfig(
        cache=load_cache(Path(where["cache"])),
        splits_path=folder / "splits.json",
        labels_path=folder / "labels.npz",
        split_fingerprint=Splits.load(folder / "splits.json").fingerprint,
        compute=ComputeOptions(threads=threads, memory_share=MEMORY_SHARE_OF_ALL / at_once),
        resamples=100,
    )


def memory() -> dict[str, int]:
    """USS, and what of it was written, in bytes."""
    import psutil

    process = psutil.Process()
    maps = process.memory_maps() if hasattr(process, "memory_maps") else []
    written = sum(getattr(part, "private_dirty", 0) for part in maps)
    return {"uss": process.memory_full_info().uss, "written": written}


def worker() -> None:
    """Answer until the input ends."""
    self = Worker()
    while line := sys.stdin.readline():
        try:
            found = self.answer(json.loads(line))
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(found), flush=True)


# The driver: two tables


def memory_table(folder: Path, images: int, frame: int, side: int, counts: list[int]) -> None:
    """Private memory that the data of a study add to each worker."""
    where, few = make_study(folder, images, frame), make_study(folder / "few", 300, frame)
    size = load_cache(Path(where["cache"])).images.nbytes
    print(f"\nadded by the data to each worker, of the cache's {size / 2**20:.0f} MiB")
    print(f"{'':31}{'USS, MiB':>10}{'share':>8}{'written, MiB':>14}{'share':>8}")
    rows = [
        ("copies of their own", 2),
        ("who makes the files", 1),
        *(("shared", n) for n in counts),
    ]
    for name, at_once in rows:
        own = at_once > 1 and name != "shared"
        with started(at_once, 1, WORKER, 3600.0) as processes:
            asked = {"do": "load", "few": few, "where": where, "side": side, "own": own}
            tell(processes, json.dumps(asked))
            before = [found["before"] for found in answers(processes)]
            tell(processes, json.dumps({"do": "memory"}))
            now = [found["now"] for found in answers(processes)]
        added = {
            key: statistics.median(n[key] - b[key] for n, b in zip(now, before, strict=True))
            for key in ("uss", "written")
        }
        figures = [
            f"{value / 2**20:>{width}.2f}{value / size:8.2%}"
            for value, width in zip(added.values(), (10, 14), strict=True)
        ]
        print(f"{at_once} worker{'s' * (at_once > 1)}, {name}".ljust(31) + "".join(figures))


def rates(
    groups: dict[Share, Any], where: dict[str, str], params: dict[str, Any], repeats: int
) -> dict[Share, list[float]]:
    """Trials an hour of each share, one figure a repeat; the shares take turns."""
    found: dict[Share, list[float]] = {share: [] for share in groups}
    for number in range(repeats + 1):
        for share, processes in groups.items():
            asked = {"do": "trial", "where": where, "number": number, "params": params}
            tell(processes, json.dumps(asked | {"share": [share.at_once, share.threads]}))
            rate = sum(3600 / answer["seconds"] for answer in answers(processes))
            if number:  # the first warms up
                found[share].append(rate)
    return found


def spread(values: list[float], form: str) -> str:
    """Median, smallest and largest."""
    low, mid, high = min(values), statistics.median(values), max(values)
    return f"{mid:{form}} ({low:{form}} to {high:{form}})"


def curve(
    groups: dict[Share, Any], where: dict[str, str], recipe: Recipe, repeats: int, device: str
) -> None:
    """Trials an hour against trials at once, at one input size."""
    names = ("model", "vgg_head", "input_size", "batch_size", "epochs", "rotation")
    params = {name: getattr(recipe, name) for name in names}
    found = rates(groups, where, params, repeats)
    kind, base = kind_of(recipe), next(iter(found.values()))
    short = {}
    for share in groups:
        try:
            compute = ComputeOptions(device, share.threads)
            times, _ = timed(
                {kind: recipe}, share.at_once, compute, whole=True, n_classes=len(DISEASES)
            )
            short[share] = share.at_once / times[kind]
        except TimingError as error:
            print(f"{share}: no short measurement ({error})")
    first = next(iter(short.values()), None)
    for share, values in found.items():
        ratios = [value / one for value, one in zip(values, base, strict=True)]
        told = f"{short[share] / first:.2f}" if first and share in short else "-"
        print(
            f"{kind!s:22}{share!s:18}{spread(values, '.0f'):>26}"
            f"{spread(ratios, '.2f'):>24}{told:>9}"
        )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000, help="of the memory table's cache")
    parser.add_argument("--frame", type=int, default=256, help="its side in pixels")
    parser.add_argument("--input", type=int, default=128, help="what its network sees")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--at-once", type=int, nargs="+", help="trials at once; default: all")
    parser.add_argument("--models", nargs="+", default=["densenet121"])
    parser.add_argument("--trial-images", type=int, default=300, help="a trial's")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    return parser.parse_args()


def options(args: argparse.Namespace, gpu: bool) -> list[Share]:
    """The shares of the curve: all that a search would try, on a GPU up to 8."""
    from cxrsearch.study.settings import AUTO, Settings

    settings = Settings(gpus_per_trial=AUTO if gpu else 0.0, concurrent=8 if gpu else None)
    if args.at_once is None:
        return shares(settings, detect_cpus(), int(gpu))
    return [Share(n, max(1, detect_cpus() // n)) for n in args.at_once]


def main() -> None:
    """Make the studies, print both tables."""
    import torch

    args, gpu = parse(), torch.cuda.is_available()
    where = torch.cuda.get_device_name(0) if gpu else f"{detect_cpus()} cores"
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="side-by-side-") as name:
        folder = Path(name)
        if args.images:
            memory_table(folder / "memory", args.images, args.frame, args.input, args.workers)
        print(f"\ntrials an hour on {where}: median of {args.repeats} (smallest to largest)")
        print(f"{'':22}{'at once':18}{'trials an hour':>26}{'ratio':>24}{'short':>9}")
        studies = {s: make_study(folder / str(s), args.trial_images, s) for s in args.sides}
        with ExitStack() as stack:
            groups = {
                share: stack.enter_context(started(share.at_once, share.threads, WORKER, 1e6))
                for share in options(args, gpu)
            }
            for side in args.sides:
                for model in args.models:
                    recipe = Recipe(
                        model=model, vgg_head="pooled", input_size=side, epochs=args.epochs,
                        rotation=10.0,
                    )  # fmt: skip
                    curve(groups, studies[side], recipe, args.repeats, "cuda" if gpu else "cpu")


if __name__ == "__main__":
    if sys.argv[1:] == [*WORKER[1:]]:
        worker()
    else:
        main()
