"""``gpu``: all that is to be measured on a machine with a CUDA device, by one command."""

from __future__ import annotations

import itertools
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.measure import Spread, interleave, ratios, timed
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.device import release_memory
from cxrsearch.learn.recipe import Recipe

from . import bounds, gpu_search, peak, together
from . import plain as plain_script
from . import ways as stepping
from .loop import Ceiling, Loop
from .material import Material, Setup, load, recipe
from .report import Report
from .shares import SHARE, frame_of, peak_memory

FASTER_THAN_PLAIN, FASTER_SMALL = 4.0, 2.5
GOALS = "goals on one H200, not measured before: 5,000 images/s eager, 7,000 compiled"


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Args:
        size: input of the large step and the search.
        batch: images of the large step.
        small: images of the small steps, at `size` and at `little`.
        little: small input.
        crops: large input.
        crop_batch: images a step of it.
        images: trained on in an epoch that is timed, about.
        counts: trials at once.
        seconds: of a window of them.
        trials: of the search.
        epochs: of each of them.
        networks: whose memory is held against its estimate.
        little_batch: images of the little step of `ways`.
    """

    size: str = "224"
    batch: int = 256
    small: tuple[int, ...] = (8,)
    little: str = "64"
    crops: str = "600x800"
    crop_batch: int = 16
    images: int = 8192
    counts: tuple[int, ...] = (1, 2, 4, 8)
    seconds: float = 5.0
    trials: int = 20
    epochs: int = 30
    networks: tuple[str, ...] = ("densenet121", "vgg16")
    little_batch: int = 16

    @property
    def sizes(self) -> dict[str, int]:
        """Input sizes of `ways`, and the batch of each."""
        return {self.little: self.little_batch, self.size: self.batch}


SHORT = Scale(images=2048, counts=(1, 4, 8), seconds=1.0, trials=8, epochs=8)
"""Less of everything, where a GPU is lent by the minute."""
TINY = Scale("32", 8, (4,), "32", "48x64", 4, 32, (1, 2), 0.1, 2, 1, ("densenet121",), 4)
"""Every step in a minute or two on a CPU; its figures mean nothing."""


class PlainStep(Ceiling):
    """The step of `plain.py`: three channels, float32, torch's own layout and optimiser."""

    def __init__(self, made: Recipe, material: Material, where: Setup) -> None:
        super().__init__(made, material, where, plain=True)
        self.model = plain_script.build_model(made.model).to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=made.lr)
        self.batch = self.batch.repeat(1, 3, 1, 1)


def ways(report: Report, scale: Scale, budget: str | None) -> None:
    """bf16 and fp16, eager, recorded and compiled: beside the model alone and timm's step."""
    del budget
    stepping.ways(report, scale.sizes, scale.images // 4)


def norms(report: Report, scale: Scale, budget: str | None) -> None:
    """What batch normalisation takes of an eager step."""
    del budget
    stepping.norms(report, scale.sizes)


def silent(report: Report, scale: Scale, budget: str | None) -> None:
    """An epoch in which nothing may wait for the device."""
    del budget
    stepping.silent(report, scale.little, scale.little_batch, 8 * scale.little_batch)


def memory(report: Report, scale: Scale, budget: str | None) -> None:
    """The estimate of a training's memory against the peak that the card reports."""
    del budget
    sizes = tuple(dict.fromkeys((scale.little, scale.size)))
    peak.memory(report, scale.networks, sizes, min(scale.batch, 32), ("eager", "graph"))


def large(report: Report, scale: Scale, budget: str | None) -> None:
    """DenseNet121 at a large batch: beside the model alone, the plain step, and the bytes."""
    del budget
    where = report.where
    table = _table(report, "A large batch")
    made = recipe("densenet121", scale.size, batch_size=scale.batch)
    found, ceiling, notes = _compare(where, made, scale.images)
    report.notes += notes
    share, gain = _row(table, scale.size, made, found)
    report.target(f"batch {scale.batch}: share of model-only", share.median, SHARE)
    report.target(f"batch {scale.batch}: ratio to (b)'s step", gain.median, FASTER_THAN_PLAIN)
    report.save()
    _bounds(report, scale, made, ceiling)


def compiled(report: Report, scale: Scale, budget: str | None) -> None:
    """The same by torch's compiler, as trainings do that are long enough to repay it."""
    del budget
    table = _table(report, "A large batch, network compiled")
    made = recipe("densenet121", scale.size, batch_size=scale.batch)
    found, _, notes = _compare(report.where, made, scale.images, compiling=True)
    report.notes += notes
    _, gain = _row(table, scale.size, made, found)
    report.target(
        f"batch {scale.batch}, compiled: ratio to (b)'s step", gain.median, FASTER_THAN_PLAIN
    )


def _bounds(report: Report, scale: Scale, made: Recipe, ceiling: Ceiling) -> None:
    """What the device's measured rates would allow."""
    where = report.where
    known, rate = bounds.rates(where, ceiling.amp, where.rounds)
    work = bounds.count(ceiling, made)
    allowed = report.table(
        f"Images/s that the device allows, training steps alone ({GOALS})",
        "by", "a second, measured", "an image", "images/s allowed", "model alone reaches",
        digits=3,
    )  # fmt: skip
    took = [ceiling.train_seconds(scale.batch) for _ in range(where.rounds)]
    for name, unit, amount, speed, kind in (
        ("FLOPs", "TFLOP", work.flops, known.flops, "flops"),
        ("bytes, operator by operator", "TB", work.eager, known.bytes, "bytes"),
        ("bytes, at least", "TB", work.least, known.bytes, "bytes"),
    ):
        bound = amount / speed
        table_rate = f"{rate[kind].median / 1e12:,.3f} {unit}"
        each = f"{1e3 * amount / scale.batch / 1e12:,.3f} G{unit[1:]}"
        share_of = bounds.share(bound, took)
        allowed.add(name, table_rate, each, scale.batch / bound, share_of)


def small(report: Report, scale: Scale, budget: str | None) -> None:
    """Eight images a step and fewer, where launching kernels takes longer than running them."""
    del budget
    table = _table(report, "Small batches")
    steps = report.table(
        "Small batches, steps alone (an epoch without scores, checkpoint and report)",
        "input", "batch", "loop, img/s", "eager, same precision, img/s", "ratio",
    )  # fmt: skip
    for size in dict.fromkeys((scale.size, scale.little)):
        for batch in scale.small:
            made = recipe("densenet121", size, batch_size=batch)
            found, ceiling, notes = _compare(report.where, made, scale.images // 32)
            report.notes += notes
            _row(table, size, made, found)
            took = _steps(report.where, made, ceiling, scale.images // 32)
            speeds = [Spread.of([1 / s for s in took[name]]) for name in ("loop", "model")]
            gain = ratios(took["model"], took["loop"])
            steps.add(size, batch, *speeds, gain)
            report.target(
                f"{batch} images at {size}: step, ratio to eager", gain.median, FASTER_SMALL
            )


def concurrent(report: Report, scale: Scale, budget: str | None) -> None:
    """Several trials at small inputs."""
    del budget
    found = together.together(
        report.where, scale.little, ["densenet121"], scale.counts, scale.seconds,
        scale.images, 32,
    )  # fmt: skip
    report.tables += found.tables
    report.notes += found.notes


def search(report: Report, scale: Scale, budget: str | None) -> None:
    """``cxrsearch ga --runner serial``, the winner trained again and judged on the test part."""
    table = report.table(
        f"A whole search: {scale.trials} trials at {scale.size}x{scale.size}, one after another",
        "what", "figure",
        digits=3,
    )  # fmt: skip
    reason = gpu_search.missing()
    if reason:
        table.add("search", f"not run: {reason}; see benchmarks/README.md")
        return
    found = gpu_search.search(report.where, scale.trials, scale.epochs, budget, tiny=scale is TINY)
    states = {state: n for state, n in found.trials.items() if n and state != "total"}
    table.add("trials", ", ".join(f"{n} {state}" for state, n in states.items()))
    for name, seconds in found.seconds.items():
        table.add(f"seconds of `{name}`", seconds)
    table.add(f"validation AUROC, selected from {scale.trials}", found.validation)
    mean, low, high = found.test
    table.add("test AUROC (patients' bootstrap, 95%)", f"{mean:.3f} ({low:.3f} to {high:.3f})")
    for name, value in found.params.items():
        table.add(name, f"{value:.4g}" if isinstance(value, float) else str(value))


def crops(report: Report, scale: Scale, budget: str | None) -> None:
    """Large windows, of upscaled images: a statement about time alone."""
    del budget
    table = _table(report, "Large windows, of upscaled images: time only, no claim about quality")
    for batch in dict.fromkeys((4, scale.crop_batch)):
        made = recipe("densenet121", scale.crops, batch_size=batch)
        count = max(2 * batch, scale.images // 32)
        found, _, notes = _compare(report.where, made, count, upscaled=64)
        report.notes += notes
        _row(table, scale.crops, made, found)


STEPS: Mapping[str, Callable[[Report, Scale, str | None], None]] = {
    "ways": ways,
    "norms": norms,
    "silent": silent,
    "memory": memory,
    "large": large,
    "compiled": compiled,
    "small": small,
    "together": concurrent,
    "crops": crops,
    "search": search,
}
"""What the command does, in this order; the search comes last, as it takes longest."""


def gpu(
    where: Setup, steps: list[str], scale: Scale, budget: str | None, console: Console
) -> Report:
    """Run ``steps``, showing and writing the figures after each of them.

    Args:
        where: the device and so on.
        steps: names out of `STEPS`.
        scale: `Scale`, `SHORT` or `TINY`.
        budget: of the search, such as ``20m``.
        console: gets a line before each step and its tables after it.
    """
    report = Report("gpu", where)
    for name in steps:
        console.print(f"* {name}: {(STEPS[name].__doc__ or '').strip()}")
        before, start = len(report.tables), time.perf_counter()
        with _noted(report, name):
            STEPS[name](report, scale, budget)
        for table in report.tables[before:]:
            table.show(console)
        report.notes.append(f"`{name}` took {time.perf_counter() - start:,.0f} s")
        report.save()
    report.notes += [
        "model alone: eager steps in the loop's own precision on one fixed batch, and a forward "
        "pass in inference mode over as many images as are validated; (b): the same with the plain "
        "script's network in float32, as torch sets it up (TF32 in convolutions)",
        f"memory: at most, {peak_memory(where) / 1e6:,.0f} MB so far in this process",
    ]
    report.save()
    return report


@contextmanager
def _noted(report: Report, name: str) -> Iterator[None]:
    """A step that may fail: the report says so, and the others still run.

    A GPU is often lent for one run.
    """
    try:
        yield
    except Exception as error:
        report.failed.append(f"`{name}` failed: {''.join(traceback.format_exception(error))}")
    with suppress(RuntimeError):  # a device that failed for good
        release_memory(report.where.device)


def _table(report: Report, title: str) -> Any:
    return report.table(
        f"{title}: DenseNet121, whole epochs, augmentation on",
        "input", "batch", "loop, img/s", "model alone, img/s", "(b)'s step, img/s",
        "share of model alone", "ratio to (b)'s step",
    )  # fmt: skip


def _row(
    table: Any, size: str, made: Recipe, found: Mapping[str, list[float]]
) -> tuple[Spread, Spread]:
    """Add a row; the share of the model alone, and the ratio to (b)'s step."""
    share = ratios(found["loop"], found["model"])
    gain = ratios(found["loop"], found["plain"])
    speeds = [Spread.of(found[name]) for name in ("loop", "model", "plain")]
    table.add(size, made.batch_size, *speeds, share, gain)
    return share, gain


def _steps(where: Setup, made: Recipe, ceiling: Ceiling, images: int) -> dict[str, list[float]]:
    """Seconds an image of the loop's steps, its data and augmentation among them, and eager."""
    material = load(where, images + images // 4)
    data = material.data()
    repeat = max(1, round(images / len(data.train)))
    data = replace(data, train=np.tile(data.train, repeat))
    learner = Learner(made, data, seed=where.seed, compute=where.compute)
    count, epochs = learner.sampler.images_per_epoch, itertools.count(1)
    calls: dict[str, Callable[[], float]] = {
        "loop": lambda: timed(lambda: learner.epoch(next(epochs)), where.device) / count,
        "model": lambda: ceiling.train_seconds(count) / count,
    }
    interleave(calls, 1)
    return interleave(calls, where.rounds)


def _compare(
    where: Setup,
    made: Recipe,
    images: int,
    upscaled: int | None = None,
    compiling: bool = False,
) -> tuple[dict[str, list[float]], Ceiling, list[str]]:
    """Images a second of loop, model alone and (b)'s step, each with its validation."""
    material = load(where, upscaled, frame_of(str(made.input_size)))
    repeat = max(1, round(images / len(material.splits.train)))
    if images < len(material.splits.train):
        material = load(where, images + images // 4, frame_of(str(made.input_size)))
    ceiling, plain = Ceiling(made, material, where), PlainStep(made, material, where)
    steps = "compiled" if compiling else "auto"
    with Loop(made, material, where, repeat, steps) as loop:
        count = loop.images
        calls: dict[str, Callable[[], float]] = {
            "loop": lambda: count / loop.seconds(),
            "model": lambda: count / ceiling.seconds(count, loop.scored),
            "plain": lambda: count / plain.seconds(count, loop.scored),
        }
        for each in (ceiling, plain):
            each.seconds(2 * made.batch_size, loop.scored)
        found = interleave(calls, where.rounds)
        size = f"{made.batch_size} images at {made.input_size}"
        notes = [*loop.notes, f"first epoch {loop.first:.1f} s"]
        return found, ceiling, [f"{size}: {note}" for note in notes]
