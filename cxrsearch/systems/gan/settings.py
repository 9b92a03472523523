"""What a user asked of a GAN: one flat record, checked as a whole and stored in gan.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from cxrsearch.errors import InputError
from cxrsearch.learn.compute.device import pick_device
from cxrsearch.learn.recipe import Recipe
from cxrsearch.study.settings import PHANTOM, Settings
from cxrsearch.systems.pretrain.run import PretrainPlan

from .networks import LARGEST_SIDE, SMALLEST_SIDE, resolutions

WARMUP = 0.02
"""Share of the steps in which the learning rate rises."""
AVERAGE = 0.995
"""Decay of the generator's averaged weights."""
MAY_CHANGE = ("data", "labels", "unlabelled", "test_list", "cache", "device")
"""Settings that a run may go on with other values of; that the images are the same is checked."""


@dataclass(frozen=True)
class GanSettings:
    """A GAN as asked for. Every field is an option of ``cxrsearch pretrain gan``.

    Args:
        data: a folder of chest X-rays, or ``phantom``.
        labels: label table, where it does not lie in ``data``.
        unlabelled: folder of further images; None: what lies in ``data`` and is not in the table.
        test_list: NIH's ``test_list.txt``; without it ``test_share`` of the patients.
        test_share: share of the patients kept for the test part.
        val_share: share of the other patients used for validation.
        val_seed: images at most in the fixed validation subset; part of what a split is.
        phantom_images: labelled phantom images to draw.
        phantom_difficulty: 0 (plain) to 1 (hard).
        seed: everything random derives from it.
        size: side of the images in pixels.
        epochs: times that every image is seen.
        batch_size: images a step.
        lr: learning rate of the generator; the discriminator has twice as much.
        features: model folder whose features distances are between; None: one trained first.
        cache: folder of the decoded cache.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32``, ``bf16``, or ``auto``.
    """

    data: str = "phantom"
    labels: str | None = None
    unlabelled: str | None = None
    test_list: str | None = None
    test_share: float = 0.2
    val_share: float = 0.2
    val_seed: int = 2000
    phantom_images: int = 600
    phantom_difficulty: float = 0.5
    seed: int = 0
    size: int = 64
    epochs: int = 12
    batch_size: int = 16
    lr: float = 4e-3
    features: str | None = None
    cache: str | None = None
    device: str = "auto"
    precision: str = "auto"

    def with_absolute_paths(self) -> GanSettings:
        """The same with its paths absolute, so that it can be gone on with from anywhere."""
        names = ("data", "labels", "unlabelled", "test_list", "features", "cache")
        given = {name: getattr(self, name) for name in names}
        paths: dict[str, Any] = {
            name: str(Path(value).expanduser().resolve())
            for name, value in given.items()
            if value and value != PHANTOM
        }
        return replace(self, **paths)

    def of_data(self) -> Settings:
        """What a search with the same data and split has among its settings."""
        shared = {f.name for f in fields(Settings)} & {f.name for f in fields(self)}
        given = {name: getattr(self, name) for name in shared}
        return Settings(**given, frame=self.size, trials=1)

    def plan(self) -> PretrainPlan:
        """Which part of the images is wanted, and at which size: the whole, at ``size``."""
        return PretrainPlan("gan", input_size=self.size)

    def recipe(self) -> Recipe:
        """What the loop needs to know of it."""
        return Recipe(
            input_size=self.size,
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            optimizer="adam",
            schedule="cosine",
            warmup=WARMUP,
            ema=AVERAGE,
        )

    def check(self) -> None:
        """Raise one `InputError` that names everything that cannot work."""
        problems: list[str] = []
        for check in (self.of_data().check, lambda: pick_device(self.device)):
            try:
                check()
            except InputError as error:
                problems += error.problems
        sides = [str(side) for side in resolutions(LARGEST_SIDE) if side >= SMALLEST_SIDE]
        if str(self.size) not in sides:
            problems.append(f"--size {self.size}: one of {', '.join(sides)}")
        limits = {"epochs": (1, 100_000), "batch_size": (2, 4096), "lr": (1e-7, 1.0)}
        problems += [
            f"--{name.replace('_', '-')} {getattr(self, name)}: must be from {low:g} to {high:,g}"
            for name, (low, high) in limits.items()
            if not low <= getattr(self, name) <= high
        ]
        if problems:
            raise InputError(problems)


def differences(stored: Mapping[str, Any], settings: GanSettings) -> list[str]:
    """What ``settings`` ask for that a run that was begun with ``stored`` cannot go on with."""
    asked = asdict(settings)
    return [
        f"--{name.replace('_', '-')} {asked[name]}: begun with {stored.get(name)}"
        for name in asked
        if name not in MAY_CHANGE and stored.get(name) != asked[name]
    ]
