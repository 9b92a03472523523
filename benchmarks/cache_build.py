"""How fast the image cache is built against a plain Pillow loop, and what NIH's whole set takes.

    python -m benchmarks.cache_build --images FOLDER_OF_ORIGINALS

Prints, a core: milliseconds of an image read, decoded and resized by a plain loop (Pillow's
``open``, ``convert``, ``resize``) and by the cache's own way, in turn, as medians over rounds with
their spread, and the largest difference of a grey level; then where the time goes; then a whole
build of ``--counts`` images (the originals under other names, by links) with its rate and peak
memory, each in a process of its own; then opening a complete cache of as many names as NIH
has, and what its checksums cost beside a network's forward pass.
Exits with 1 where a pixel differs or the way is less than ``--least`` times as fast.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

NIH = 112_120
"""Images of ChestX-ray14."""


def plain(path: Path, side: int) -> np.ndarray:
    """What a plain loop does with one image."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((side, side), Image.Resampling.LANCZOS))


def milliseconds(call: Callable[[Path], object], paths: list[Path]) -> float:
    """Processor time of this thread an image."""
    start = time.thread_time()
    for path in paths:
        call(path)
    return (time.thread_time() - start) / len(paths) * 1000


def in_turn(
    ways: dict[str, Callable[[Path], object]], paths: list[Path], rounds: int
) -> dict[str, list[float]]:
    """Milliseconds an image of each way in each round."""
    for way in ways.values():
        way(paths[0])
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(milliseconds(way, paths))
    return found


def line(name: str, times: list[float], base: list[float] | None = None) -> None:
    """Median and spread; with ``base`` also how many times as fast, round by round."""
    shown = f"{name:<34}{statistics.median(times):8.2f}{min(times):8.2f}{max(times):8.2f}"
    if base is not None:
        ratios = [one / other for one, other in zip(base, times, strict=True)]
        shown += f"{statistics.median(ratios):8.2f}{min(ratios):8.2f}{max(ratios):8.2f}"
    print(shown)


def compare(paths: list[Path], side: int, rounds: int) -> tuple[float, int]:
    """The plain loop against ours; times as fast, and the largest difference."""
    from cxrsearch.data.pixels.images import read_image

    ways = {"plain Pillow loop": lambda p: plain(p, side), "cache": lambda p: read_image(p, side)}
    found = in_turn(ways, paths, rounds)
    base = found["plain Pillow loop"]
    print(f"\n{len(paths)} images to {side} x {side}, ms an image on one core, {rounds} rounds")
    print(f"{'':34}{'median':>8}{'least':>8}{'most':>8}{'times':>8}{'least':>8}{'most':>8}")
    for name, times in found.items():
        line(name, times, base)
    apart = max(int(np.abs(plain(p, side).astype(int) - read_image(p, side)).max()) for p in paths)
    print(f"largest difference of a grey level: {apart}")
    return statistics.median(b / o for b, o in zip(base, found["cache"], strict=True)), apart


def parts(paths: list[Path], side: int, rounds: int) -> None:
    """Where the time goes, for the images that are plain PNGs."""
    from cxrsearch.data.pixels.images import MAX_PIXELS
    from cxrsearch.data.pixels.plain_png import available, read_plain
    from cxrsearch.data.pixels.resize import resize

    if not available():
        print("kornia-rs is not installed: all is read by Pillow")
        return
    pictures = {p: d for p in paths if (d := read_plain(p, MAX_PIXELS)) is not None}
    images = {p: Image.fromarray(picture) for p, picture in pictures.items()}

    def pillow_load(path: Path) -> None:
        with Image.open(path) as image:
            image.load()

    def write(path: Path) -> None:
        os.pwrite(file.fileno(), pictures[path][:side, :side].tobytes(), 0)

    with tempfile.TemporaryFile() as file:
        ways: dict[str, Callable[[Path], object]] = {
            "read the file": lambda p: p.read_bytes(),
            "decode, Pillow": pillow_load,
            "decode, cache": lambda p: read_plain(p, MAX_PIXELS),
            "resize, Pillow": lambda p: images[p].resize((side, side), Image.Resampling.LANCZOS),
            "resize, cache": lambda p: resize(pictures[p], side, side),
            "write": write,
        }
        print(f"\nwhere it goes, {len(pictures)} plain PNGs; decoding includes reading the file")
        for name, times in in_turn(ways, list(pictures), rounds).items():
            line(name, times)


BUILD = """
import resource, sys, time
import numpy as np
from pathlib import Path
from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.read import FolderSource

folder, root = Path(sys.argv[1]), Path(sys.argv[2])
side, fake = int(sys.argv[3]), sys.argv[4] == "1"
files = {p.name: p.name for p in sorted(folder.iterdir())}
class Source(FolderSource):
    def decode(self, name, size):
        return np.zeros((size, size), np.uint8) if fake else super().decode(name, size)
none = np.zeros((len(files), 14), np.uint8)
data = Dataset(tuple(files), none, np.array(list(files)), (), Source(folder, files))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, times, shown = peak(), [], []
for _ in range(1 if not fake else 6):
    start = time.perf_counter()
    open_cache(data, side, root, on_estimate=shown.append)
    times.append(time.perf_counter() - start)
print(before, peak(), shown[0].seconds if shown else 0, *times)
"""


def build(folder: Path, root: Path, side: int, fake: bool = False) -> list[float]:
    """In a process of its own: MiB before and at the peak, estimate and seconds of each opening."""
    command = [sys.executable, "-c", BUILD, str(folder), str(root), str(side), str(int(fake))]
    return [float(x) for x in subprocess.check_output(command, text=True).split()]


def builds(paths: list[Path], side: int, counts: list[int]) -> None:
    """Whole builds of more and more images."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"\nwhole builds to {side} x {side}, {cores} cores")
    heads = ("images", "seconds", "estimated", "images/s", "peak MiB", "added")
    print("".join(f"{head:>11}" for head in heads))
    rate = 0.0
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="cache-build-") as scratch:
            folder = Path(scratch) / "images"
            folder.mkdir()
            for number in range(count):
                source = paths[number % len(paths)].resolve()
                (folder / f"{number:08d}{source.suffix}").symlink_to(source)
            before, peak, guess, seconds = build(folder, Path(scratch) / "cache", side)
        rate = count / seconds
        print(
            f"{count:>11,}{seconds:11.1f}{guess:11.1f}{rate:11.1f}{peak:11.0f}{peak - before:11.0f}"
        )
    print(
        f"{NIH:,} such images at this rate: {NIH / rate / 3600:.2f} h on these {cores} cores, "
        f"{NIH * side * side / 1e9:.2f} GB"
    )


def many_names(count: int) -> None:
    """A cache of so many names, empty files and 4 x 4 pixels: what opening it costs."""
    with tempfile.TemporaryDirectory(prefix="cache-build-") as scratch:
        folder = Path(scratch) / "images"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number // 4:08d}_{number % 4:03d}.png").touch()
        start = time.perf_counter()
        for entry in os.listdir(folder):  # noqa: PTH208
            os.stat(f"{folder}/{entry}")  # noqa: PTH116
        bare = time.perf_counter() - start
        before, peak, _, _, *warm = build(folder, Path(scratch) / "cache", 4, fake=True)
    middle = statistics.median(warm)
    print(
        f"\nopening a complete cache of {count:,} names: {middle:.2f} s "
        f"({min(warm):.2f} to {max(warm):.2f}), {middle / bare:.1f} times what asking the system "
        f"for each file's times costs; building and opening it added {peak - before:.0f} MiB"
    )


def checks(count: int, side: int) -> None:
    """What it costs to hold every row against its checksum, beside reading it and training on it.

    Both are of one thread, from memory; the training is the forward pass of DenseNet121 alone.
    """
    import torch

    from cxrsearch.data.pixels.cache_check import damaged_rows
    from cxrsearch.data.pixels.cache_plan import (
        CACHE_DONE,
        CACHE_PIXELS,
        CONTENTS,
        SUMS,
        CachePlan,
        row_sum,
    )
    from cxrsearch.learn.networks.models import build_model
    from cxrsearch.learn.recipe import Recipe

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side * side), np.uint8)
    names = [f"{row:08d}.png" for row in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        plan = CachePlan(Path(folder), side, names, names)
        sums = [row_sum(plan, row, images[row].tobytes(), bytes(8), 1) for row in range(count)]
        for name, data in ((CACHE_PIXELS, images.tobytes()), (CONTENTS, bytes(8 * count)),
                           (CACHE_DONE, b"\x01" * count), (SUMS, b"".join(sums))):  # fmt: skip
            (plan.folder / name).write_bytes(data)
        start = time.perf_counter()
        assert not damaged_rows(plan, 1)
        checked = (time.perf_counter() - start) / count
    torch.set_num_threads(1)
    model = build_model(Recipe(), n_classes=14).eval()
    few = torch.zeros(4, 1, side, side)
    with torch.inference_mode():
        model(few)
        start = time.perf_counter()
        model(few)
    forward = (time.perf_counter() - start) / len(few)
    print(
        f"\nholding rows of side {side} against their checksums: {checked * 1e6:.0f} us an image, "
        f"one in {forward / checked:,.0f} of the forward pass alone of an image"
    )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--side", type=int, nargs="+", default=[64, 224, 512])
    parser.add_argument("--most", type=int, default=24, help="images that are timed one by one")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--build-side", type=int, default=224)
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--names", type=int, default=NIH)
    parser.add_argument("--least", type=float, default=2.0)
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error("--rounds: at least 5")
    return options


def main() -> int:
    """Measure and print; 1 where pixels differ or the ratio is too small."""
    options = parse()
    with threadpool_limits(1, user_api="blas"):
        return measure(options)


def measure(options: argparse.Namespace) -> int:
    """All of it, on one thread but for the builds."""
    paths = sorted(p for p in options.images.iterdir() if p.suffix.lower() in (".png", ".jpg"))
    timed = paths[: options.most]
    found = [compare(timed, side, options.rounds) for side in options.side]
    parts(timed, options.build_side, options.rounds)
    builds(paths, options.build_side, options.counts)
    many_names(options.names)
    checks(2000, options.build_side)
    worst, apart = min(ratio for ratio, _ in found), max(apart for _, apart in found)
    print(f"\nleast of the sides: {worst:.2f} times a plain loop; wanted {options.least:g}")
    return int(apart > 0 or worst < options.least)


if __name__ == "__main__":
    sys.exit(main())
