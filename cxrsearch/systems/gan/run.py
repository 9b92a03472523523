"""Training a GAN to its end, looked at on the way: distances, samples, the best generator.

Epochs are looked at from the untrained networks on, `LOOK_COUNT` times at even distances. At each
look the same latent vectors become images, whose distance from the training images is measured,
and the averaged generator with the smallest distance is kept: late in a training a GAN may get
worse. What is said of it at the end is measured on images that nothing was chosen by.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cxrsearch.data.generated import png
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.device import pick_device
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.recipe import Recipe, size_of
from cxrsearch.learn.saved.best_weights import BestWeights
from cxrsearch.learn.saved.checkpoint import CheckpointError
from cxrsearch.learn.saved.keep import BEST, CHECKPOINT, PREVIOUS
from cxrsearch.learn.session import Session
from search.files import write_bytes, write_json
from search.objective import TrialError

from .judge import Judge, to_dict
from .networks import Generator as Network
from .training import CHANNELS, TASK, GanTraining, latents_of

LOOK_COUNT = 12
"""Looks after the one at the untrained networks."""
JUDGED = 300
"""Images generated at a look."""
GRID = 8
"""Rows and columns of the pictures of samples."""
GAN_CURVE, GAN_SAMPLES = "curve.json", "samples"


def look_epochs(epochs: int) -> list[int]:
    """0, then at most `LOOK_COUNT` epochs at even distances, the last among them."""
    looks = min(LOOK_COUNT, epochs)
    return [round(i * epochs / looks) for i in range(looks + 1)]


class GanRun:
    """One GAN in training in ``folder``, new or resumed.

    Args:
        recipe: as for `GanTraining`.
        data: its part ``train`` is trained on.
        judge: measures distances.
        seed: everything random derives from it.
        folder: gets the checkpoint, ``best.safetensors``, ``curve.json`` and ``samples/``.
        compute: where and how fast.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: TrainData,
        judge: Judge,
        *,
        seed: int,
        folder: Path,
        compute: ComputeOptions,
    ) -> None:
        self.recipe, self.judge, self.seed, self.folder = recipe, judge, seed, folder
        self.device = pick_device(compute.device)
        self.best = BestWeights(folder)
        self.session = Session(
            GanTraining,
            recipe,
            data,
            seed=seed,
            folder=folder,
            compute=compute,
            usable=lambda state: self.best.recover(state["book"]["best_epoch"]),
            settings={"task": TASK},
        )
        self.book = self.session.book
        if not self.book:
            for name in (CHECKPOINT, BEST, PREVIOUS, GAN_CURVE):
                (folder / name).unlink(missing_ok=True)
            self.book.update(curve=[], best_epoch=0, best_kid=math.inf)
        self._saved = len(self.book["curve"])
        self._looks = set(look_epochs(recipe.epochs))

    def train(self) -> Generator[dict[str, Any], None, None]:
        """Train to the last epoch, or on to it. Closing the generator keeps what was done.

        Yields:
            after each epoch, from 0 on: ``epoch``, ``images`` (seen so far), ``discriminator``
            and ``generator`` (losses; None at 0), ``seconds``, ``kid`` and ``interval`` (at
            looks, else None).

        Raises:
            TrialError: where losses or images are not finite, or memory runs out.
            OSError: where nothing can be written.
        """
        try:
            for number in range(self.recipe.epochs + 1):
                while len(self.book["curve"]) <= number:
                    self._epoch()
                if self.session.due and number + 1 > self._saved:
                    self._save()
                yield self.book["curve"][number]
            self.session.settle()
            self.best.write()
            self.best.forget_previous()
        except GeneratorExit:
            with suppress(OSError):  # without it, the checkpoint before will do
                if len(self.book["curve"]) > self._saved:
                    self._save()
                self.session.settle()
            raise
        finally:
            self.session.close()

    def _save(self) -> None:
        self.session.save(first=self.best.writer(), then=self.best.forget_previous)
        self._saved = len(self.book["curve"])

    def _epoch(self) -> None:
        """Train for the next epoch, and look where it is time to."""
        start = time.perf_counter()
        number, losses, images = self.session.work(self._train)
        if losses is not None and not np.isfinite(losses).all():
            raise TrialError("nan", f"the losses of epoch {number} are {losses[0]}, {losses[1]}")
        discriminator, generator = losses or (None, None)
        record: dict[str, Any] = {
            "epoch": number,
            "images": number * len(self.session.data.train),
            "discriminator": discriminator,
            "generator": generator,
            **({"kid": None, "interval": None} if images is None else self._look(number, images)),
            "seconds": round(time.perf_counter() - start, 3),
        }
        self.book["curve"].append(record)
        write_json(self.folder / GAN_CURVE, self.book["curve"])

    def _train(self) -> tuple[int, tuple[float, float] | None, np.ndarray | None]:
        """The number of the next epoch, its losses, and images at a look.

        All in one, as an epoch is trained again where memory runs out on the way.
        """
        learner, number = self.session.learner, len(self.book["curve"])
        losses = (learner.epoch(number), learner.generator_loss) if number else None
        self.session.take_notes()
        if number not in self._looks:
            return number, losses, None
        return number, losses, learner.make(latents_of(JUDGED, self.seed, "looks"))

    def _look(self, number: int, images: np.ndarray) -> dict[str, Any]:
        """Measure the averaged generator, keep it if it is the best, and draw samples."""
        found = self.judge.distance(images)
        if found.value < self.book["best_kid"]:
            weights = {
                name.removeprefix("generator."): value
                for name, value in self.session.learner.weights().items()
                if name.startswith("generator.")
            }
            self.best.keep(weights, number, found.value)
            self.book.update(best_epoch=number, best_kid=found.value)
        write_bytes(self.folder / GAN_SAMPLES / f"{number:05d}.png", png(grid(images)))
        return to_dict(found)

    def generator(self) -> Network:
        """The best generator, on the session's device."""
        return load_generator(self.best.weights(), self.recipe, self.device)


def read_best(folder: Path) -> Mapping[str, Tensor]:
    """The weights of the best generator of a finished run.

    Raises:
        InputError: where they are missing or damaged.
    """
    try:
        return BestWeights(folder).weights()
    except (FileNotFoundError, CheckpointError) as error:
        raise InputError(f"{folder / BEST}: missing or damaged ({error}); restore it") from None


def load_generator(weights: Mapping[str, Tensor], recipe: Recipe, device: torch.device) -> Network:
    """A generator of ``recipe``'s size with ``weights``."""
    network = Network(size_of(recipe.input_size)[0], CHANNELS)
    network.load_state_dict(weights)
    # In training's layout, so that the same kernels round alike and make the same images.
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def grid(images: np.ndarray, columns: int = GRID, rows: int = GRID) -> np.ndarray:
    """The first of (n, S, S) images side by side, one grey picture; missing ones are black."""
    side = images.shape[1]
    cells = np.zeros((rows * columns, side, side), np.uint8)
    shown = images[: len(cells)]
    cells[: len(shown)] = shown
    return cells.reshape(rows, columns, side, side).swapaxes(1, 2).reshape(rows * side, -1)
