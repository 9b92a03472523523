"""``model``: the full loop as a share of the model alone; ``sizes``: the same at every size."""

from __future__ import annotations

import math
import multiprocessing
import resource
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.measure import Spread
from cxrsearch.learn.recipe import Recipe, size_of

from .loop import Ceiling, Loop, Share
from .material import Setup, load, recipe
from .report import Report

MODELS = ("densenet121", "vgg16")
SIZES = ("32", "64", "128", "224", "300x400", "600x800")
SHARE = 0.95
"""What the full loop should reach of the model's own speed."""
PIXELS = 1_500_000
"""Pixels trained on in a round on a CPU, so that no size takes hours."""


def model(
    where: Setup,
    sizes: Sequence[str],
    models: Sequence[str],
    images: int | None,
    batch: int | None = None,
) -> Report:
    """The full loop's speed as a share of the model-only step's.

    Args:
        where: device and so on.
        sizes: input sizes.
        models: networks, VGG16 with its pooled head.
        images: to train on and to validate, together; None: all.
        batch: images a step; None: 32, and the report's own at its sizes.
    """
    report = Report("model", where)
    table = report.table(
        "Full loop (data, augmentation, metrics, report, checkpoint) against the model alone",
        "input", "model", "batch", "images", "validated", "loop, img/s", "model alone, img/s",
        "share",
        digits=3,
    )  # fmt: skip
    notes: list[str] = []
    for size in sizes:
        material = load(where, images, frame_of(size))
        for name in models:
            genes = {} if batch is None else {"batch_size": batch}
            made = recipe(name, size, **genes)
            with Loop(made, material, where) as loop:
                share = Share(loop, Ceiling(made, material, where), where.rounds)
                notes += [f"{name} at {size}: {note}" for note in loop.notes]
            table.add(
                size, name, made.batch_size, share.images, share.scored, share.speed("loop"),
                share.speed("ceiling"), share.share,
            )  # fmt: skip
            report.target(f"{name} at {size}: share of model-only", share.share.median, SHARE)
    report.notes = [
        "an epoch is timed whole, with what it leaves to other threads; the first is not timed",
        "model alone: as many training steps on one fixed batch, and a forward pass in inference "
        "mode over as many images as are validated, in the fastest of three batch sizes",
        *notes,
    ]
    return report


def frame_of(size: str) -> int | None:
    """Side of the cache that a size needs; None where the source's own will do."""
    largest = max(size_of(size))
    return None if largest <= 224 else min(1024, 2 ** math.ceil(math.log2(largest)))


@dataclass(frozen=True)
class Sized:
    """One size and model, measured in a process of its own.

    Args:
        share: of the loop in the model's own speed.
        speed: images trained on a second, validation included.
        memory: bytes at most: of the process on a CPU, allocated on a GPU.
        first: seconds of the first epoch, in which the model is made.
    """

    share: Spread
    speed: Spread
    memory: int
    first: float


def sizes(where: Setup, chosen: Sequence[str], models: Sequence[str], epochs: int) -> Report:
    """Speed, time of a trial and memory by input size and model.

    Args:
        where: device and so on.
        chosen: input sizes.
        models: networks.
        epochs: of the trial whose time is told.
    """
    report = Report("sizes", where)
    whole = load(where)
    count = len(whole.splits.train)
    table = report.table(
        f"By input size; a trial: {epochs} epochs of {whole.text()}",
        "input", "model", "batch", "img/s", "share of model alone", "seconds a trial",
        "peak memory, MB",
    )  # fmt: skip
    for size in chosen:
        for name in models:
            made = recipe(name, size)
            found = alone(measure, where, made, images_for(where, made))
            trial = Spread.of([epochs * count / found.speed.median])
            table.add(size, name, made.batch_size, found.speed, found.share, trial,
                      found.memory / 1e6)  # fmt: skip
    report.notes = [
        "larger inputs are trained on fewer images a round, so each checkpoint weighs more there",
        "peak memory: resident, with Python and torch in it, on a CPU; allocated on a GPU",
        "sizes above the images' own are upscaled: a statement about time, none about quality",
    ]
    return report


def images_for(where: Setup, made: Recipe) -> int:
    """Images to train on and to validate in a round: some batches, fewer where they are large."""
    pixels = math.prod(size_of(made.input_size))
    budget = PIXELS // 4 if where.fast else PIXELS
    batches = max(1, budget // (pixels * made.batch_size))
    if where.device.type == "cuda":
        batches = 40
    return math.ceil(1.25 * made.batch_size * min(40, batches))


def measure(where: Setup, made: Recipe, images: int) -> Sized:
    """Time ``made`` and note the memory that its loop takes, before anything else takes some."""
    torch.set_num_threads(where.threads)
    material = load(where, images, frame_of(str(made.input_size)))
    with Loop(made, material, where) as loop:
        memory = peak_memory(where)  # of a whole epoch, its scoring and its checkpoint
        share = Share(loop, Ceiling(made, material, where), where.rounds)
        return Sized(share.share, share.speed("loop"), memory, loop.first)


def peak_memory(where: Setup) -> int:
    """Bytes at most so far: of this process, or on the device."""
    if where.device.type == "cuda":
        return torch.cuda.max_memory_allocated(where.device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def alone(work: Any, *arguments: Any) -> Any:
    """Call ``work`` in a fresh process, whose memory holds nothing of earlier calls."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()
