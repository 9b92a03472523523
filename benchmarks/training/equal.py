"""``equal``: loss curves of the fast loop and of the reference loop, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.learn.data import TrainData
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.train import train
from search.files import write_json
from search.reading import read_json

from . import reference
from .material import AUGMENTATION, Setup, load, recipe
from .report import Report

NOISE = 2.0
"""Standard errors that the curves' mean difference may be away from zero."""

PATHS: dict[str, dict[str, Any]] = {
    "densenet121, adamw, one cycle": {
        "optimizer": "adamw", "weight_decay": 0.01, "schedule": "onecycle", "warmup": 0.1,
    },
    "densenet121, 8 images a step": {"batch_size": 8, "lr": 3e-4},
    "densenet121, sgd, averaged weights": {"optimizer": "sgd", "lr": 0.05, "ema": 0.99},
    "densenet121, all augmentation, part of the images": {
        "vertical_flip": True, "brightness": 0.2, "contrast": 0.2, "shear": 5.0,
        "train_seed": 0.6, "balance": 0.5, "crop": 896,
    },
    "vgg16, adam": {"model": "vgg16", "lr": 3e-4},
    "vgg16, focal loss": {"model": "vgg16", "lr": 3e-4, "loss": "focal"},
}  # fmt: skip
"""Recipes that between them take every way through the loop that is on by default: both networks,
each optimiser, schedules, averaging, small batches (graphs on a GPU), each part of the
augmentation, the draw of some of the images, cut and resized pixels."""


@dataclass(frozen=True)
class Difference:
    """Curves of one recipe, fast and reference, with the same seeds.

    Args:
        fast: (seeds, epochs).
        slow: (seeds, epochs), the reference.
    """

    fast: np.ndarray
    slow: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(epochs,) fast minus reference, averaged over the seeds."""
        return np.asarray((self.fast - self.slow).mean(axis=0))

    @property
    def spread(self) -> np.ndarray:
        """(epochs,) standard deviation of the reference between seeds."""
        return np.asarray(self.slow.std(axis=0, ddof=1))

    @property
    def noise(self) -> np.ndarray:
        """(epochs,) the difference in units of its standard error, were all runs independent."""
        error = self.spread * np.sqrt(2 / len(self.slow))
        return np.asarray(np.abs(self.mean) / np.maximum(error, 1e-12))

    @property
    def typical(self) -> float:
        """Root mean square of `noise`; near 1 for two samples of the same curves."""
        return float(np.sqrt((self.noise**2).mean()))


def equal(
    where: Setup,
    paths: Sequence[str],
    size: int,
    images: int | None,
    epochs: int,
    seeds: int,
    same_draws: bool = True,
) -> Report:
    """Train each recipe both ways and compare.

    Args:
        where: device and so on.
        paths: names out of `PATHS`.
        size: input size.
        images: to train on and validate; None: all.
        epochs: of each training.
        seeds: trainings of each kind, at least two.
        same_draws: see `reference.train`.
    """
    report = Report("equal", where)
    data = load(where, images).data()
    table = report.table(
        f"Fast loop minus float32 reference, {seeds} seeds, {epochs} epochs of "
        f"{len(data.train)} images at {size}x{size}",
        "recipe", "curve", "first epoch, relative difference", "last epoch, reference",
        "difference", "deviation between seeds", "largest of an epoch, std. errors", "typical",
        digits=4,
    )  # fmt: skip
    for name in paths:
        made = path(name, size, epochs)
        pairs = [both(where, made, data, where.seed + s, same_draws) for s in range(seeds)]
        for curve in ("losses", "aurocs"):
            fast, slow = (
                np.array([getattr(pair[kind], curve) for pair in pairs]) for kind in (0, 1)
            )
            found = Difference(fast, slow)
            table.add(
                name, {"losses": "loss", "aurocs": "AUROC"}[curve],
                f"{abs(found.mean[0]) / slow[:, 0].mean():.1e}", float(slow[:, -1].mean()),
                float(found.mean[-1]), float(found.spread[-1]), float(found.noise.max()),
                found.typical,
            )  # fmt: skip
            report.target(f"{name}: {curve}, std. errors", found.typical, NOISE, most=True)
        folder = where.out / "curves"
        write_json(
            folder / f"{list(PATHS).index(name)}-{where.device.type}.json",
            {"recipe": name, "fast": [asdict(p[0]) for p in pairs],
             "reference": [asdict(p[1]) for p in pairs]},
        )  # fmt: skip
    report.notes = [
        "the standard error is that of two independent sets of as many seeds; runs that share "
        "weights, draws and augmentation, as these do, should differ by less",
    ]
    return report


def path(name: str, size: int, epochs: int) -> Recipe:
    """The recipe of one of `PATHS`."""
    made = recipe(size=size, **({"epochs": epochs} | AUGMENTATION | PATHS[name]))
    return reference.undropped(made)


def both(
    where: Setup, made: Recipe, data: TrainData, seed: int, same_draws: bool = True
) -> tuple[reference.Curves, reference.Curves]:
    """The curves of the fast loop and of the reference."""
    slow = reference.train(made, data, seed, where.device, same_draws)
    return fast(where, made, data, seed), slow


def fast(where: Setup, made: Recipe, data: TrainData, seed: int) -> reference.Curves:
    """The curves of the project's own loop."""
    with where.scratch() as folder:
        steps = train(
            replace(made, patience=0), data, seed=seed, folder=folder / "trial",
            compute=where.compute, resamples=1,
        )  # fmt: skip
        for _ in steps:
            pass
        return read_curves(folder / "trial")


def read_curves(folder: Path) -> reference.Curves:
    """Losses and scores that a trial wrote."""
    curve = read_json(folder / "curve.json")
    return reference.Curves([r["loss"] for r in curve], [r["value"] for r in curve])
