"""What a user asked of a GAN: one flat record, checked as a whole and stored in gan.json.

Imports no torch: the command line reads its fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cxrsearch.errors import InputError
from cxrsearch.fields import option
from cxrsearch.learn.recipe import Recipe
from cxrsearch.study.settings import DataRequest, Device, UnlabelledRequest

if TYPE_CHECKING:
    from cxrsearch.systems.pretrain.run import PretrainPlan

WARMUP = 0.02
"""Share of the steps in which the learning rate rises."""
AVERAGE = 0.995
"""Decay of the generator's averaged weights."""
MAY_CHANGE = ("data", "labels", "images", "unlabelled", "test_list", "cache", "device")
"""Settings that a run may go on with other values of; that the images are the same is checked."""


@dataclass(frozen=True)
class GanSettings(Device, UnlabelledRequest, DataRequest):
    """A GAN as asked for. Every field is an option of ``cxrsearch pretrain gan``.

    What it shares with other commands lies in `DataRequest`, `UnlabelledRequest` and `Device`.

    Args:
        size: side of the images in pixels.
        epochs: times that every image is seen.
        batch_size: images a step.
        lr: learning rate of the generator; the discriminator has twice as much.
        features: model folder whose features distances are between; None: one trained first.
    """

    size: int = option(
        64, "Side of the images in pixels: 32, 64, 128 or 256.", group="gan"
    )  # fmt: skip
    epochs: int = option(
        12, "Times that each image is seen.", group="gan", low=1, high=100_000
    )  # fmt: skip
    batch_size: int = option(
        16, "Images a step (split by memory).", group="gan", low=2, high=4096
    )  # fmt: skip
    lr: float = option(
        4e-3, "Learning rate of the generator; the discriminator has twice as much.",
        group="gan", low=1e-7, high=1,
    )  # fmt: skip
    features: str | None = option(
        None,
        "Model whose features distances are between, as `cxrsearch train` makes one; default: a "
        "small DenseNet121, trained first on the labelled training part.",
        group="gan", metavar="MODEL_DIR", path=True,
    )  # fmt: skip

    def of_data(self) -> DataRequest:
        """Its data and split, cached at the size that the networks are made for."""
        return replace(self, frame=self.size)

    def plan(self) -> PretrainPlan:
        """Which part of the images is wanted, and at which size: the whole, at ``size``."""
        from cxrsearch.systems.pretrain.run import PretrainPlan

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

    def problems(self) -> list[str]:
        """See `Record.problems`."""
        from cxrsearch.learn.compute.device import pick_device

        from .networks import LARGEST_SIDE, SMALLEST_SIDE, resolutions

        problems = super().problems()
        try:
            pick_device(self.device)
        except InputError as error:
            problems += error.problems
        sides = [side for side in resolutions(LARGEST_SIDE) if side >= SMALLEST_SIDE]
        if self.size not in sides:
            problems.append(f"--size {self.size}: one of {', '.join(map(str, sides))}")
        if self.frame not in (None, self.size):
            problems.append(f"--frame {self.frame}: a GAN's images are as large as --size")
        return problems


def differences(stored: Mapping[str, Any], settings: GanSettings) -> list[str]:
    """What ``settings`` ask for that a run that was begun with ``stored`` cannot go on with."""
    asked = asdict(settings)
    return [
        f"--{name.replace('_', '-')} {asked[name]}: begun with {stored.get(name)}"
        for name in asked
        if name not in MAY_CHANGE and stored.get(name) != asked[name]
    ]
