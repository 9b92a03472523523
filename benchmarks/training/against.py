"""``plain``: trials an hour beside the plain script's, (b) and (b+), and torchxrayvision's (c)."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Spread, interleave, ratios, timed_with_rest
from cxrsearch.learn.recipe import Recipe, size_of
from cxrsearch.learn.train import train
from search.seeds import derive

from . import plain as plain_script
from . import tuned, xrv
from .material import Material, Setup, load, recipe
from .report import Report

FASTER = 2.0
OURS, ALONE, PLAIN, BEST = "cxrsearch, side by side", "cxrsearch, alone", "(b)", "(b+)"
COPIES, XRV = "(b+), copies side by side", "(c) torchxrayvision"


def plain(
    where: Setup, size: int, images: int | None, epochs: int, batch: int, model: str
) -> Report:
    """Whole trials of the same recipe, each contender's in turn.

    Args:
        where: device and so on; ``threads`` are the machine's cores.
        size: side of the input.
        images: to train on and to validate; None: all.
        epochs: of a trial.
        batch: images a step.
        model: the network.
    """
    report = Report("plain", where)
    material = load(where, images)
    made = recipe(model, size, epochs=epochs, batch_size=batch)
    short = replace(made, epochs=1 if where.fast else 2)  # workers that stay pay from the second on
    knobs, tried = tuned.best(
        lambda k: _plain(where, _short(material, batch), short, k),
        tuned.candidates(where.threads, where.fast),
        1 if where.fast else 2,
    )
    side = max(1, where.threads) if where.device.type == "cpu" else 1
    reason = xrv.missing() if model == "densenet121" else f"it has no {model}"
    with ExitStack() as stack:
        calls = _contenders(where, material, made, knobs, side, stack)
        if reason is None:
            calls[XRV] = lambda: 3600 / _xrv(where, material, made, knobs)
        found = interleave(calls, where.rounds)
    _table(report, found, knobs, material, made, side, reason)
    knob_table = report.table("Plain script, seconds of a short run", "knobs", "seconds")
    for each, took in sorted(tried.items(), key=lambda item: item[1]):
        knob_table.add(each.text(), took)
    return report


def _table(
    report: Report,
    found: dict[str, list[float]],
    knobs: tuned.Knobs,
    material: Material,
    made: Recipe,
    side: int,
    reason: str | None,
) -> None:
    table = report.table(
        f"Trials an hour: {made.model} at {made.input_size}x{made.input_size}, {made.epochs} "
        f"epochs of {material.text()}, {made.batch_size} images a step, augmentation on",
        "who", "how", "trials/hour", "ratio to (b+)", "ratio to (b)",
    )  # fmt: skip
    how = {
        PLAIN: "2 workers, torch's own threads",
        BEST: knobs.text(),
        COPIES: f"{side} at once, 1 thread each",
        ALONE: f"one trial, {report.where.threads} threads",
        OURS: f"{side} trials at once, {max(1, report.where.threads // side)} thread each",
        XRV: knobs.text(),
    }
    for name, values in found.items():
        to_best, to_plain = ratios(values, found[BEST]), ratios(values, found[PLAIN])
        table.add(name, how[name], Spread.of(values), to_best, to_plain)
    if reason is not None:
        table.add(XRV, f"not run: {reason}", None, None, None)
    report.target(
        "trials an hour, ratio to the tuned plain script (b+)",
        ratios(found[OURS], found[BEST]).median,
        FASTER,
    )
    report.notes = [
        "a trial is whole: cutting and resizing, epochs, scores, bootstrap, files; its process "
        "and the decoded cache are there already, as for every trial of a search but the first",
        "side by side is how a search runs trials; copies of (b+) side by side are what a user "
        "gets who starts several scripts by hand",
    ]


def _contenders(
    where: Setup,
    material: Material,
    made: Recipe,
    knobs: tuned.Knobs,
    side: int,
    stack: ExitStack,
) -> dict[str, Callable[[], float]]:
    """Name -> a function that runs trials and returns how many an hour would hold."""
    threads = max(1, where.threads // side)
    context = multiprocessing.get_context("spawn")
    pool = stack.enter_context(ProcessPoolExecutor(side, mp_context=context))
    list(pool.map(warm, range(side)))
    few = replace(where, threads=threads)
    one = tuned.Knobs(0, threads, knobs.channels_last)
    plain_knobs = tuned.Knobs(2, where.threads, False)

    def at_once(work: Callable[..., float], *arguments: Any) -> float:
        def run() -> None:
            for job in [pool.submit(work, few, material, *arguments) for _ in range(side)]:
                job.result()

        return 3600 * side / timed_with_rest(run, where.device)

    return {
        PLAIN: lambda: 3600 / _plain(where, material, made, plain_knobs, persistent=False),
        BEST: lambda: 3600 / _plain(where, material, made, knobs),
        COPIES: lambda: at_once(_plain, made, one),
        ALONE: lambda: 3600 / ours(where, material, made),
        OURS: lambda: at_once(ours, made),
    }


def warm(_: int) -> int:
    """Nothing, in a process that has imported all there is to import."""
    return os.getpid()


def ours(where: Setup, material: Material, made: Recipe) -> float:
    """Seconds of a whole trial of the project's."""
    torch.set_num_threads(where.threads)
    with where.scratch() as folder:

        def run() -> None:
            for _ in train(
                made, material.data(), seed=derive(where.seed, "trial"), folder=folder / "trial",
                compute=where.compute,
            ):  # fmt: skip
                pass

        return timed_with_rest(run, where.device)


def _plain(
    where: Setup,
    material: Material,
    made: Recipe,
    knobs: tuned.Knobs,
    persistent: bool | None = None,
) -> float:
    """Seconds of a whole training by the plain script."""
    with where.scratch() as folder:
        trained = plain_run(where, material, made, knobs, folder / "best.pt", persistent)
    torch.set_num_threads(where.threads)
    return trained.total


def plain_run(
    where: Setup,
    material: Material,
    made: Recipe,
    knobs: tuned.Knobs,
    out: Path,
    persistent: bool | None = None,
) -> plain_script.Trained:
    """Run `plain.py` on the same images with the same recipe."""
    return plain_script.run(
        material.folder, material.labelled("train"), material.labelled("val"), out,
        model=made.model, size=size_of(made.input_size), epochs=made.epochs,
        batch_size=made.batch_size, lr=made.lr, seed=where.seed, device=str(where.device),
        workers=knobs.workers, persistent=knobs.persistent if persistent is None else persistent,
        threads=knobs.threads, channels_last=knobs.channels_last,
    )  # fmt: skip


def _xrv(where: Setup, material: Material, made: Recipe, knobs: tuned.Knobs) -> float:
    with where.scratch() as folder:
        took = xrv.seconds(
            material.folder, material.table, material.labelled("train"), material.labelled("val"),
            folder / "best.pt", size=size_of(made.input_size)[0], epochs=made.epochs,
            batch_size=made.batch_size, workers=knobs.workers, threads=knobs.threads,
            device=str(where.device),
        )  # fmt: skip
    torch.set_num_threads(where.threads)
    return took


def _short(material: Material, batch: int) -> Material:
    """A few batches of the same images."""
    splits = material.splits
    few = replace(splits, train=splits.train[: 3 * batch], val=splits.val[:batch], val_seed=())
    return replace(material, splits=few)
