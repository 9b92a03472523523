"""``quality``: whether the fast loop's networks are as good as the plain script's, over seeds."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.stats import ttest_ind

from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.train import train

from .against import plain_run
from .material import Material, Setup, load, recipe
from .report import Report
from .tuned import Knobs


@dataclass(frozen=True)
class Compared:
    """Scores of two ways to train.

    Args:
        difference: of the means, ours minus theirs.
        low: lower end of its 95% interval (Welch's t).
        high: upper end.
    """

    difference: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: np.ndarray, theirs: np.ndarray) -> Compared:
        """Compare (seeds,) scores, at least two of each."""
        ends = ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
        return cls(float(ours.mean() - theirs.mean()), float(ends.low), float(ends.high))


def quality(
    where: Setup, size: int, images: int | None, epochs: int, seeds: int, batch: int, model: str
) -> Report:
    """Validation AUROC of the best epoch, both ways, with as many seeds each.

    Args:
        where: device and so on; on a CPU as many trainings run at once as there are threads.
        size: side of the input.
        images: to train on and to validate; None: all.
        epochs: of each training.
        seeds: at least two.
        batch: images a step.
        model: the network.
    """
    report = Report("quality", where)
    material = load(where, images)
    made = recipe(model, size, epochs=epochs, batch_size=batch)
    jobs = where.threads if where.device.type == "cpu" else 1
    one = replace(where, threads=max(1, where.threads // jobs))
    scores: dict[str, list[float]] = {"cxrsearch": [], "plain script": []}
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [
            (name, pool.submit(work, replace(one, seed=where.seed + s), material, made))
            for s in range(seeds)
            for name, work in (("cxrsearch", ours), ("plain script", theirs))
        ]
        for name, job in waiting:
            scores[name].append(job.result())
    table = report.table(
        f"Validation AUROC of the best epoch: {model} at {size}x{size}, {epochs} epochs of "
        f"{material.text()}, {seeds} seeds",
        "who", "mean", "deviation", "smallest", "largest",
        digits=4,
    )  # fmt: skip
    for name, values in scores.items():
        column = np.array(values)
        table.add(name, float(column.mean()), float(column.std(ddof=1)), float(column.min()),
                  float(column.max()))  # fmt: skip
    found = Compared.of(*(np.array(values) for values in scores.values()))
    table.add("difference, with its 95% interval", found.difference, None, found.low, found.high)
    report.target("AUROC, upper end of ours minus theirs", found.high, 0.0)
    report.notes = [
        "both take the best of their epochs by the same images; equal within noise where the "
        "interval holds 0",
        "the same images, recipe, epochs and augmentation ranges; initial weights, draws and the "
        "first layer (one channel against three) differ as the programs do",
    ]
    return report


def ours(where: Setup, material: Material, made: Recipe) -> float:
    """The value of a trial of the project's."""
    torch.set_num_threads(where.threads)
    with where.scratch() as folder:
        steps = train(
            made, material.data(), seed=where.seed, folder=folder / "trial",
            compute=where.compute, resamples=1,
        )  # fmt: skip
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return float(end.value.value)


def theirs(where: Setup, material: Material, made: Recipe) -> float:
    """The best epoch's AUROC of the plain script."""
    knobs = Knobs(0, where.threads, channels_last=True)
    with where.scratch() as folder:
        return max(plain_run(where, material, made, knobs, folder / "best.pt").aurocs)
