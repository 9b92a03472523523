"""Precisions and ways of taking steps, side by side: the part of ``gpu`` that is about the step.

Every figure is a ratio to something that was timed in the same round: the model alone, and timm's
network under autocast in channels_last, as its own benchmark trains it.
"""

from __future__ import annotations

import contextlib
import itertools
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import Spread, interleave, ratios, synchronize, timed
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.device import is_out_of_memory, release_memory
from cxrsearch.learn.compute.precision import HALF_TYPES, norm_is_fused
from cxrsearch.learn.recipe import Recipe

from . import bounds
from .dense_norms import share_statistics
from .loop import Ceiling
from .material import Material, Setup, load, recipe
from .report import Report
from .shares import frame_of

WAYS = ("eager", "graph", "compiled")
OVER_MODEL, OVER_TIMM, IMAGES_A_SECOND = 0.97, 2.0, 5000.0
"""Goals at a large batch: the loop over the model alone, over timm's step, and on one H200."""


class Scaled(Ceiling):
    """The model alone in a half type of choice; in float16 with its loss scaled, as the loop has.

    Args:
        made: network, loss and optimiser.
        material: gives the batch.
        where: the device.
        kind: what convolutions are in; float32: no autocast.
    """

    def __init__(self, made: Recipe, material: Material, where: Setup, kind: torch.dtype) -> None:
        super().__init__(made, material, where)
        self.amp = None if kind == torch.float32 else kind
        half = kind == torch.float16
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=half)

    def step(self) -> None:
        """One training step."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.forward(self.batch).float(), self.targets)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self.optimizer)
        self._scaler.update()


class TimmStep(Scaled):
    """A step of timm's network of the same name, eager, in channels_last, under autocast.

    Its optimiser is torch's SGD with Nesterov momentum, as in timm's ``benchmark.py``.
    """

    def __init__(self, made: Recipe, material: Material, where: Setup, kind: torch.dtype) -> None:
        super().__init__(made, material, where, kind)
        import cxrsearch.learn.networks.torchvision_import  # noqa: F401  (before timm)

        import timm  # isort: skip

        net = timm.create_model(made.model, num_classes=self.targets.shape[1], in_chans=1)
        self.model = net.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 1e-4, momentum=0.9, nesterov=True)


def learner_of(
    where: Setup, made: Recipe, material: Material, images: int, **compute: Any
) -> Learner:
    """A learner of ``made`` whose epochs have about ``images``, computing as ``compute`` says."""
    data = material.data()
    data = replace(data, train=np.resize(data.train, max(images, 2 * made.batch_size)))
    options = replace(where.compute, micro=made.batch_size, **compute)
    return Learner(made, data, seed=where.seed, compute=options)


def ways(report: Report, sizes: Mapping[str, int], images: int) -> None:
    """Every precision and way at each size, beside the model alone and timm's step."""
    where = report.where
    table = report.table(
        "Training steps, epochs without scores: DenseNet121, augmentation on, averaged weights",
        "input", "batch", "precision", "way", "img/s", "over the model alone", "over timm's step",
        "of the bytes' bound",
    )  # fmt: skip
    for (size, batch), (name, kind) in itertools.product(sizes.items(), HALF_TYPES.items()):
        made = recipe("densenet121", size, batch_size=batch, ema=0.998)
        material = load(where, 4 * batch, frame_of(size))
        with contextlib.ExitStack() as stack:
            stack.callback(release_memory, where.device)
            found, allowed = _compared(report, made, material, images, (name, kind))
        for way in WAYS:
            if way not in found:
                table.add(size, batch, name, way, "out of memory", None, None, None)
                continue
            speed = Spread.of(found[way])
            over = {
                other: ratios(found[way], found[other]) if other in found else None
                for other in ("model", "timm")
            }
            table.add(
                size, batch, name, way, speed, over["model"], over["timm"],
                Spread.of([value / allowed for value in found[way]]),
            )  # fmt: skip
        _targets(report, size, batch, name, found)
        report.save()


def _targets(
    report: Report, size: str, batch: int, name: str, found: Mapping[str, list[float]]
) -> None:
    """What the fastest way of a precision should reach."""
    own = {way: found[way] for way in WAYS if way in found}
    if not own:
        return
    best = max(own, key=lambda way: Spread.of(own[way]).median)
    what = f"{batch} images at {size}, {name}, {best}"
    report.target(
        f"{what}: over the model alone", ratios(own[best], found["model"]).median, OVER_MODEL
    )
    if "timm" in found:
        report.target(
            f"{what}: over timm's step", ratios(own[best], found["timm"]).median, OVER_TIMM
        )
    if size == "224":
        report.target(f"{what}: images/s", Spread.of(own[best]).median, IMAGES_A_SECOND)


def _compared(
    report: Report, made: Recipe, material: Material, images: int, half: tuple[str, torch.dtype]
) -> tuple[dict[str, list[float]], float]:
    """Images a second of each way, the model alone and timm's step; and what the bytes allow."""
    where, (name, kind) = report.where, half
    ceiling = Scaled(made, material, where, kind)
    known, _ = bounds.rates(where, kind, 1)
    allowed = made.batch_size / known.seconds(moved=bounds.count(ceiling, made).least)
    calls: dict[str, Callable[[], float]] = {}
    for way in WAYS:
        with _fitting(report, f"{made.batch_size} at {made.input_size}, {name}, {way}", where):
            learner = learner_of(where, made, material, images, precision=name, steps=way)
            learner.epoch(1)  # records or compiles
            numbers = itertools.count(2)
            calls[way] = lambda own=learner, n=numbers: _rate(where, own, n)  # type: ignore[misc]
            report.notes += [
                f"{made.batch_size} at {made.input_size}, {name}, {way}: {note}"
                for note in learner.notes
            ]
    steps = {"model": ceiling}
    try:
        steps["timm"] = TimmStep(made, material, where, kind)
    except ImportError:
        report.notes.append("timm is not installed: no step of it to compare with")
    for other, each in steps.items():
        calls[other] = lambda own=each: images / own.train_seconds(images)  # type: ignore[misc]
    interleave(calls, 1)
    return interleave(calls, where.rounds), allowed


def _rate(where: Setup, learner: Learner, numbers: Iterator[int]) -> float:
    """Images a second of the next epoch."""
    return learner.images_per_epoch / timed(lambda: learner.epoch(next(numbers)), where.device)


@contextlib.contextmanager
def _fitting(report: Report, what: str, where: Setup) -> Iterator[None]:
    """A block that may find no memory: then it is noted, and what it took is given back."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        report.notes.append(f"{what}: out of memory")
        release_memory(where.device)


def norms(report: Report, sizes: Mapping[str, int]) -> None:
    """The share of an eager step's time that batch normalisation takes, by precision.

    And how much faster the step is where dense blocks find their statistics once.
    """
    where = report.where
    table = report.table(
        "Share of batch normalisation in an eager step of DenseNet121",
        "input", "batch", "precision", "fused kernel", "share", "statistics found once, ratio",
    )  # fmt: skip
    kinds = {"float32": torch.float32, **HALF_TYPES}
    for (size, batch), (name, kind) in itertools.product(sizes.items(), kinds.items()):
        made = recipe("densenet121", size, batch_size=batch)
        material = load(where, 4 * batch, frame_of(size))
        step, knowing = (Scaled(made, material, where, kind) for _ in range(2))
        share_statistics(knowing.model)
        fused = "yes" if norm_is_fused(where.device, kind) else "no"
        found = [norm_share(step, where.device) for _ in range(where.rounds)]
        calls: dict[str, Callable[[], float]] = {
            "plain": lambda own=step: own.train_seconds(2 * len(own.batch)),  # type: ignore[misc]
            "knowing": lambda own=knowing: own.train_seconds(2 * len(own.batch)),  # type: ignore[misc]
        }
        interleave(calls, 1)
        took = interleave(calls, where.rounds)
        gain = ratios(took["plain"], took["knowing"])
        table.add(size, batch, name, fused, Spread.of(found), gain)


def norm_share(step: Ceiling, device: torch.device) -> float:
    """Share of the time of the device's kernels in one step, by torch's profiler."""
    step.model.train()
    step.step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    gpu = device.type == "cuda"
    if gpu:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    synchronize(device)
    with torch.profiler.profile(activities=activities) as profile:
        step.step()
        synchronize(device)
    norm = whole = 0.0
    for event in profile.key_averages():
        if event.device_type != torch.autograd.DeviceType.CPU:
            continue  # a kernel itself; it counts with the operator that launched it
        took = event.self_device_time_total if gpu else event.self_cpu_time_total
        whole += took
        norm += took if "batch_norm" in event.key else 0.0
    return norm / whole


def silent(report: Report, size: str, batch: int, images: int) -> None:
    """One epoch in which waiting for the device is an error, by precision, way, place of pixels."""
    where = report.where
    table = report.table(
        "Steps of an epoch under torch.cuda.set_sync_debug_mode('error')",
        "input", "batch", "precision", "way", "pixels", "waits",
    )  # fmt: skip
    material = load(where, 4 * batch, frame_of(size))
    made = recipe("densenet121", size, batch_size=batch, ema=0.998, horizontal_flip=True)
    for name, way, place in itertools.product(HALF_TYPES, ("eager", "graph"), ("device", "host")):
        learner = learner_of(where, made, material, images, precision=name, steps=way)
        if place == "host":
            learner.pixels = type(learner.pixels)(
                learner.pixels.data, learner.pixels.rows, made, where.device
            )
        learner.epoch(1)
        report.notes += [f"silent: {name}, {way}, {place}: {note}" for note in learner.notes]
        with _errors_of_waiting(where.device) as found:
            learner.steps(2, learner.draw(2))
        table.add(size, batch, name, way, place, found[0] if found else "none")
        report.target(f"{name}, {way}, pixels on the {place}: waits", len(found), 0, most=True)


@contextlib.contextmanager
def _errors_of_waiting(device: torch.device) -> Iterator[list[str]]:
    """Inside, on a CUDA device, whatever waits for it raises; what it said is kept."""
    found: list[str] = []
    gpu = device.type == "cuda"
    if gpu:
        torch.cuda.synchronize(device)
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield found
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        own = [f for f in traceback.extract_tb(error.__traceback__) if "torch" not in f.filename]
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}: " if own else ""
        found.append(place + str(error).splitlines()[0])
    finally:
        if gpu:
            torch.cuda.set_sync_debug_mode("default")
