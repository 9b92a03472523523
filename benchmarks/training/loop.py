"""The project's own loop, timed by whole epochs of a real trial; and the ceiling above it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.measure import Spread, interleave, ratios, timed, timed_with_rest
from cxrsearch.learn.augment.frames import prepare, to_float
from cxrsearch.learn.compute.precision import amp_dtype
from cxrsearch.learn.criterion import build_loss
from cxrsearch.learn.data import even_slices
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.optim import build_optimizer
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.train import train

from .material import Material, Setup

EPOCHS = 1000
"""Of the trial that epochs are taken from: it never comes to its end."""


class Loop(contextlib.AbstractContextManager["Loop"]):
    """Epochs of a trial: draws, data, augmentation, steps, scoring, metrics, report, checkpoint.

    The first epoch, in which the network is made, pixels are prepared and kernels are chosen,
    has passed when this is made.

    Args:
        recipe: what to train.
        material: what on.
        where: device, threads, disk.
        repeat: how often each training image is in the data, so that a fast device has enough.
        steps: how they are taken; see `ComputeOptions`.

    Attributes:
        images: trained on in an epoch.
        scored: images validated on after it.
        first: seconds of the first epoch.
        notes: the trial's own, such as a batch that memory made smaller.
    """

    def __init__(
        self,
        recipe: Recipe,
        material: Material,
        where: Setup,
        repeat: int = 1,
        steps: str = "auto",
    ) -> None:
        self._closing = contextlib.ExitStack()
        folder = self._closing.enter_context(where.scratch())
        data = material.data()
        data = replace(data, train=np.tile(data.train, repeat))
        self.device = where.device
        self.images, self.scored = len(data.train), len(data.val_seed)
        start = time.perf_counter()
        self._steps = train(
            replace(recipe, epochs=EPOCHS, patience=0),
            data,
            seed=where.seed,
            folder=folder / "trial",
            compute=replace(where.compute, steps=steps),
        )
        self._closing.callback(self._steps.close)
        self.notes = tuple(next(self._steps).attrs.get("notes", ()))
        self.first = time.perf_counter() - start

    def seconds(self, epochs: int = 1) -> float:
        """Seconds of the next ``epochs``, and of what they leave to other threads."""
        return timed_with_rest(lambda: [next(self._steps) for _ in range(epochs)], self.device)

    def __exit__(self, *problem: object) -> None:
        self._closing.close()


class Ceiling:
    """The model alone, on one batch that lies on the device.

    A training step is forward, loss, backward and the optimiser's step of the recipe, in the
    precision that the loop has on this device, and nothing else. Validation is a forward pass
    in inference mode in batches of whatever size is fastest here.

    Args:
        recipe: network, loss and optimiser.
        material: gives the batch.
        where: the device.
        plain: float32 and the default memory layout instead.
    """

    def __init__(
        self, recipe: Recipe, material: Material, where: Setup, plain: bool = False
    ) -> None:
        self.device = where.device
        torch.manual_seed(where.seed)
        self.kind = torch.contiguous_format if plain else torch.channels_last
        self.model: nn.Module = build_model(recipe, n_classes=14).to(
            self.device, memory_format=self.kind
        )  # type: ignore[call-overload]
        self.optimizer = build_optimizer(self.model, recipe)
        self.amp = None if plain else amp_dtype(self.device)
        data = material.data()
        rows = np.resize(data.train, recipe.batch_size)
        pixels = prepare(data.images, rows, recipe.crop, recipe.input_size)
        self.batch = to_float(pixels).to(self.device).contiguous(memory_format=self.kind)
        self.targets = torch.from_numpy(data.labels[rows].astype(np.float32)).to(self.device)
        self.loss = build_loss(recipe, data.labels[data.train].mean(axis=0))
        self._large: torch.Tensor | None = None

    def step(self) -> None:
        """One training step."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.forward(self.batch).float(), self.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def forward(self, images: torch.Tensor) -> Any:
        """(b, 1, H, W) -> (b, 14) logits, under autocast where the loop uses it."""
        context = torch.autocast(self.device.type, self.amp) if self.amp else None
        with context or contextlib.nullcontext():
            return self.model(images)

    def train_seconds(self, images: int) -> float:
        """Seconds to train on ``images``, in whole batches, scaled to their number."""
        self.model.train()
        steps = len(even_slices(images, len(self.batch)))
        took = timed(lambda: [self.step() for _ in range(steps)], self.device)
        return took * images / (steps * len(self.batch))

    @torch.inference_mode()
    def score_seconds(self, images: int) -> float:
        """Seconds of the forward pass of ``images`` in inference mode, scaled likewise."""
        self.model.eval()
        if self._large is None:
            self._large = self._fastest_batch(images)
        size = len(self._large)
        passes = len(even_slices(images, size))
        large = self._large
        took = timed(lambda: [self.forward(large) for _ in range(passes)], self.device)
        return took * images / (passes * size)

    def _fastest_batch(self, images: int) -> torch.Tensor:
        """The batch, or several of it, whichever is scored fastest an image."""
        rate = {}
        for times in (1, 2, 4):
            large = self.batch.repeat(times, 1, 1, 1).contiguous(memory_format=self.kind)
            if times > 1 and len(large) > max(images, len(self.batch)):
                break
            self.forward(large)
            rate[timed(lambda x=large: self.forward(x), self.device) / len(large)] = large  # type: ignore[misc]
        return rate[min(rate)]

    def seconds(self, images: int, scored: int) -> float:
        """Seconds of an epoch that trains on ``images`` and scores ``scored``."""
        return self.train_seconds(images) + (self.score_seconds(scored) if scored else 0.0)


class Share:
    """The loop beside its ceiling, in rounds of an epoch each.

    Args:
        loop: in training.
        ceiling: of the same recipe.
        rounds: how many.
        epochs: of the loop a round.
    """

    def __init__(self, loop: Loop, ceiling: Ceiling, rounds: int, epochs: int = 1) -> None:
        ceiling.seconds(min(loop.images, 2 * len(ceiling.batch)), loop.scored)  # warm
        calls: dict[str, Callable[[], float]] = {
            "loop": lambda: loop.seconds(epochs) / epochs,
            "ceiling": lambda: ceiling.seconds(loop.images, loop.scored),
        }
        self.took = interleave(calls, rounds)
        self.images, self.scored = loop.images, loop.scored

    @property
    def share(self) -> Spread:
        """Speed of the loop as a share of the model's alone."""
        return ratios(self.took["ceiling"], self.took["loop"])

    def speed(self, who: str) -> Spread:
        """Images trained on a second of an epoch, its validation included."""
        return Spread.of([self.images / seconds for seconds in self.took[who]])
