"""``together``: what several trials on one device, or on the cores, get done side by side."""

from __future__ import annotations

import itertools
import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from multiprocessing.connection import Connection

import torch

from benchmarks.measure import Spread, interleave, ratios
from cxrsearch.learn.recipe import Recipe
from cxrsearch.study.cost.multi_process import CONTROL, service, service_runs

from .loop import Loop
from .material import Material, Setup, load, recipe
from .report import Report

PATIENCE = 600.0
"""Seconds to wait for a process that has to start or to finish an epoch."""


def together(
    where: Setup,
    size: str,
    models: Sequence[str],
    counts: Sequence[int],
    seconds: float,
    images: int | None,
    batch: int | None = None,
) -> Report:
    """The aggregate speed of 1 and more trials at once.

    Args:
        where: device; ``threads`` are the machine's cores, which trials on a CPU share.
        size: of the input.
        models: networks.
        counts: trials at once.
        seconds: of a window in which they all run, at least an epoch each.
        images: to train on and validate; None: all.
        batch: images a step.
    """
    report = Report("together", where)
    material = load(where, images)
    for model, (how, sharing) in itertools.product(models, ways_to_share(where).items()):
        made = recipe(model, size, **({} if batch is None else {"batch_size": batch}))
        table = report.table(
            f"{model} at {size}, {made.batch_size} images a step, {material.text()}{how}",
            "trials at once", "threads each", "images/s, all", "ratio to one", "trial's own speed",
        )  # fmt: skip
        with sharing():
            found = _measure(where, material, made, counts, seconds)
        one = found[str(counts[0])]
        for name, values in found.items():
            gain = ratios(values, one)
            own = Spread.of([a / b / int(name) for a, b in zip(values, one, strict=True)])
            table.add(name, share_of_threads(where, int(name)), Spread.of(values), gain, own)
    report.notes = [
        "whole epochs of each trial, in windows in which all of them run; images trained on, "
        "added up over the trials",
        f"ratio to {counts[0]} at once, in the same round",
    ]
    return report


def ways_to_share(where: Setup) -> dict[str, Callable[[], AbstractContextManager[None]]]:
    """In words, how processes share the device: as they do, and by NVIDIA's service where it is."""
    ways: dict[str, Callable[[], AbstractContextManager[None]]] = {"": nullcontext}
    if where.device.type == "cuda" and shutil.which(CONTROL) and not service_runs():
        ways = {", taking turns": nullcontext, ", NVIDIA's multi-process service": service}
    return ways


def share_of_threads(where: Setup, count: int) -> int:
    """CPU threads of each of ``count`` trials."""
    return max(1, where.threads // count)


def _measure(
    where: Setup, material: Material, made: Recipe, counts: Sequence[int], seconds: float
) -> dict[str, list[float]]:
    with _trials(where, material, made, max(counts)) as lines:

        def window(count: int, length: float) -> float:
            return _window(lines[:count], share_of_threads(where, count), length)

        for count in counts:
            window(count, 0.0)  # networks are made, kernels chosen
        calls = {str(count): (lambda n=count: window(n, seconds)) for count in counts}  # type: ignore[misc]
        return interleave(calls, where.rounds)


def _window(lines: Sequence[Connection], threads: int, length: float) -> float:
    """Images a second of all trials together."""
    for line in lines:
        line.send((length, threads))
    rate = 0.0
    for line in lines:
        images, took = _answer(line)
        rate += images / took
    return rate


def _answer(line: Connection) -> tuple[int, float]:
    if not line.poll(PATIENCE):
        raise RuntimeError(f"a trial has not answered for {PATIENCE:g} seconds")
    found = line.recv()
    if isinstance(found, str):
        raise RuntimeError(found)
    images, took = found
    return int(images), float(took)


@contextmanager
def _trials(
    where: Setup, material: Material, made: Recipe, count: int
) -> Iterator[list[Connection]]:
    """Processes that wait to train, and the lines to them."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        lines = []
        for number in range(count):
            line, theirs = context.Pipe()
            setup = replace(where, seed=where.seed + number)
            process = context.Process(target=serve, args=(theirs, setup, material, made))
            process.start()
            theirs.close()
            stack.callback(process.join, PATIENCE)
            stack.callback(_hang_up, line)
            lines.append(line)
        yield lines


def _hang_up(line: Connection) -> None:
    try:
        line.send(None)
    except OSError:  # the process has gone
        line.close()


def serve(line: Connection, where: Setup, material: Material, made: Recipe) -> None:
    """Train for as long as it is asked to, in a process of its own; answer images and seconds."""
    loops: dict[int, Loop] = {}
    with ExitStack() as stack:
        while (asked := line.recv()) is not None:
            length, threads = asked
            try:
                if threads not in loops:
                    torch.set_num_threads(threads)
                    loop = Loop(made, material, replace(where, threads=threads))
                    loops[threads] = stack.enter_context(loop)
                line.send(run(loops[threads], length))
            except Exception as error:
                line.send(f"{type(error).__name__}: {error}")
                return


def run(loop: Loop, length: float) -> tuple[int, float]:
    """Whole epochs until ``length`` seconds have passed, one at least: images, seconds."""
    start, images = time.perf_counter(), 0
    while not images or time.perf_counter() - start < length:
        loop.seconds()
        images += loop.images
    return images, time.perf_counter() - start
