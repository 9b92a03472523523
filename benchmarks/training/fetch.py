"""``fetch``: a batch from the cache against decoding and resizing the same files."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from benchmarks.measure import Spread, interleave, ratios, timed
from cxrsearch.learn.augment.frames import prepare
from cxrsearch.learn.data import Pixels
from cxrsearch.learn.recipe import size_of

from .material import Material, Setup, load, recipe
from .report import Report

FASTER = 50.0
REPEATS = 20
"""Batches a round from the cache, which are too quick to be timed alone."""


def fetch(where: Setup, sizes: list[str], batch: int) -> Report:
    """Warm fetch of a batch against Pillow.

    Args:
        where: device and so on.
        sizes: input sizes.
        batch: images.
    """
    report = Report("fetch", where)
    material = load(where)
    side = material.dataset.source_side
    table = report.table(
        f"A batch of {batch} images, files of {side}x{side} in the page cache",
        "input", "decode + resize, ms", "prepared store, ms", "ratio", "cut from the cache, ms",
        "ratio to the cache",
    )  # fmt: skip
    for size in sizes:
        took = _measure(where, material, size, batch)
        milliseconds = {k: Spread.of([1000 * s for s in v]) for k, v in took.items()}
        ratio = ratios(took["decode"], took["store"])
        table.add(
            size, milliseconds["decode"], milliseconds["store"], ratio, milliseconds["cut"],
            ratios(took["decode"], took["cut"]),
        )  # fmt: skip
        report.target(f"warm fetch at {size}, ratio to decode + resize", ratio.median, FASTER)
    report.notes = [
        "prepared store: what a trial draws its batches from, cut and resized once before its "
        "first epoch; on the device where it fits",
        "cut from the cache: the same batch read from the decoded cache, cut and resized anew, as "
        "where the store does not fit into memory",
    ]
    return report


def _measure(where: Setup, material: Material, size: str, batch: int) -> dict[str, list[float]]:
    data, made = material.data(), recipe(size=size)
    pixels = Pixels(data, data.train, made, where.device)
    rng = np.random.default_rng(where.seed)
    positions = rng.permutation(len(pixels))[:batch]
    names = data.names[data.train[positions]].tolist()
    files = [material.source.path(name) for name in names]
    height, width = size_of(size)

    def decode() -> torch.Tensor:
        images = []
        for path in files:
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("L").resize((width, height))))
        return torch.from_numpy(np.stack(images)).to(where.device)

    def store() -> None:
        pieces = [slice(0, len(positions))]
        for _ in range(REPEATS):
            for _batch in pixels.batches(positions, pieces):
                pass

    def cut() -> torch.Tensor:
        rows = data.train[positions]
        return prepare(data.images, rows, made.crop, made.input_size).to(where.device)

    for work in (decode, store, cut):
        work()
    calls = {
        "decode": lambda: timed(decode, where.device),
        "store": lambda: timed(store, where.device) / REPEATS,
        "cut": lambda: timed(cut, where.device),
    }
    return interleave(calls, where.rounds)
