"""One model in training, whatever it is trained for: its steps, and all a checkpoint must hold.

What an objective adds is a class on top of `Training` with a few methods of its own: the model,
the rows and draws of an epoch, what a batch of pixels becomes, and the loss. Nothing here waits
for the device inside an epoch: losses add up where they are computed and are read once at the
end.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search.seeds import derive

from .augment.batch import Augment
from .augment.frames import to_float
from .compute import device as devices
from .compute.agreement import TrainingStep
from .compute.choose import faster_step
from .compute.compiled import ForwardPass
from .compute.micro_batch import choose_micro
from .compute.options import ComputeOptions
from .data import Pixels, TrainData, even_slices
from .optim import EMA, build_optimizer, build_schedule, load_optimizer
from .recipe import Recipe

SCORING = 2
"""Images scored at a time, in micro-batches of training, which keeps all activations."""


class Training(ABC):
    """A model, optimiser, schedule and average, at some epoch.

    A subclass that needs more (targets, teachers, options) sets it up before it calls this
    constructor, which calls `build`.

    Args:
        recipe: sizes, augmentation, optimiser and schedule.
        data: what to train on.
        rows: (n,) rows of ``data`` that epochs draw from.
        seed: of the initial weights, the draws, the augmentation and dropout.
        compute: where and how fast.

    Attributes:
        device: where it computes.
        model: what is trained: the weights of checkpoints and of the average.
        notes: for people, on what was done otherwise than asked for.
        smallest: images that have to go through the model together.
        micro: images that do.
        pieces: the batches of an epoch, as slices of what is drawn.
    """

    passes = 1
    """How often each image goes through the model in a step, for the estimate of memory."""
    faster = True
    """Whether `step` may be recorded or compiled: where it is gradients and one optimiser."""

    def __init__(
        self,
        recipe: Recipe,
        data: TrainData,
        rows: np.ndarray,
        *,
        seed: int,
        compute: ComputeOptions,
    ) -> None:
        self.recipe, self.seed, self.compute = recipe, seed, compute
        device = self.device = devices.pick_device(compute.device)
        self.kind = devices.amp_dtype(device, compute.precision)
        torch.manual_seed(derive(seed, "weights"))
        model = self.build()
        self.notes: tuple[str, ...] = tuple(getattr(model, "notes", ()))
        self.smallest = 2 if _normalises_batches(model) else 1
        a_pass = replace(compute, memory_share=compute.memory_share / self.passes)
        self.micro, said = choose_micro(model, recipe, a_pass, self.smallest)
        self.notes += said
        self.model: nn.Module = model.to(device)
        self.pixels = Pixels(data, rows, recipe, device)
        self.augment = Augment(recipe)
        self.optimizer = build_optimizer(self.model, recipe)
        self.pieces = even_slices(self.images_per_epoch, recipe.batch_size, self.smallest)
        self.schedule = build_schedule(self.optimizer, recipe, recipe.epochs * len(self.pieces))
        self.average = EMA(self.model, recipe.ema) if recipe.ema > 0 else None
        faster = self.faster and faster_step(
            self._by, self.model, recipe, device, self.pieces, self.micro
        )
        self._gradients: TrainingStep = faster or self._eager

    @abstractmethod
    def build(self) -> nn.Module:
        """The model, on the CPU; torch's global generator is seeded for its initial weights.

        It takes (b, 1, H, W) in [0, 1]: memory is estimated, and the compiler used, on that.
        """

    @property
    @abstractmethod
    def images_per_epoch(self) -> int:
        """How many positions `draw` gives."""

    @abstractmethod
    def draw(self, number: int) -> np.ndarray:
        """(k,) positions among the rows, in the order that epoch ``number`` takes them."""

    @abstractmethod
    def batch(
        self, pixels: Tensor, index: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """What a step takes of a batch.

        Args:
            pixels: (b, H, W) uint8.
            index: (b,) int64, their positions among the rows.
            generator: seeded for the epoch; all three on the device.

        Returns:
            (b, 1, H, W) float32 images, and (b, ...) whatever else the loss needs of each.
        """

    @abstractmethod
    def objective(self, network: ForwardPass, images: Tensor, targets: Tensor) -> Tensor:
        """The mean loss an image of a micro-batch, differentiable.

        Args:
            network: the model, or the compiled one; call it inside `precision`.
            images: (m, 1, H, W), channels_last, some of those that `batch` gave.
            targets: (m, ...), theirs.
        """

    def epoch(self, number: int) -> float:
        """Train for one epoch; everything random in it derives from the seed and ``number``.

        Returns:
            the mean loss an image.
        """
        positions = self.draw(number)
        generator = torch.Generator(self.device).manual_seed(derive(self.seed, "augment", number))
        torch.manual_seed(derive(self.seed, "dropout", number))
        self.model.train()
        total = torch.zeros((), device=self.device)
        for batch, index in self.pixels.batches(positions, self.pieces):
            total += self.step(*self.batch(batch, index, generator)) * len(index)
        self._say_problem()
        return float(total) / len(positions)

    def _say_problem(self) -> None:
        """Note, once, why a faster way to take steps is not used."""
        problem = getattr(self._gradients, "problem", None)
        if problem is not None:
            self.notes += (f"steps by torch's operators one by one, which is slower: {problem}",)
            self._gradients = self._eager

    def step(self, images: Tensor, targets: Tensor) -> Tensor:
        """One optimiser step on a whole batch; the mean loss an image."""
        total = self._gradients(images, targets)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update(self.model)
        return total

    def _eager(self, images: Tensor, targets: Tensor) -> Tensor:
        """Set the gradients of a whole batch."""
        return self._by(self.model, images, targets)

    def _by(self, network: ForwardPass, images: Tensor, targets: Tensor) -> Tensor:
        """Set the gradients by ``network``."""
        return self.gradients(
            lambda chunk, wanted: self.objective(network, chunk, wanted), images, targets
        )

    def gradients(
        self, objective: Callable[[Tensor, Tensor], Tensor], images: Tensor, targets: Tensor
    ) -> Tensor:
        """Set the model's gradients, from none at all, added up over micro-batches.

        Args:
            objective: ``(images, targets) -> mean loss`` of a micro-batch.
            images: (b, 1, H, W), a whole batch.
            targets: (b, ...).

        Returns:
            the mean loss an image, on the device.
        """
        self.model.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for piece in even_slices(len(images), self.micro, self.smallest):
            chunk = images[piece].contiguous(memory_format=torch.channels_last)
            loss = objective(chunk, targets[piece]) * (len(chunk) / len(images))
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """Inside, convolutions and matrix products are in the type of this training."""
        return torch.autocast(self.device.type, self.kind, enabled=self.kind is not None)

    @torch.inference_mode()
    def outputs(self, pixels: Pixels, network: ForwardPass | None = None) -> list[Tensor]:
        """What the model, by the weights that count, makes of ``pixels`` as they are.

        Args:
            pixels: (m, H, W) of them.
            network: a part of the model or a function of it; None: the model.

        Returns:
            the outputs on (b, 1, H, W) images in [0, 1], one tensor a batch, in order.
        """
        out = []
        with self.judged():
            self.model.eval()
            pieces = even_slices(len(pixels), SCORING * self.micro)
            for batch, _ in pixels.batches(np.arange(len(pixels)), pieces):
                images = to_float(batch).contiguous(memory_format=torch.channels_last)
                with self.precision():
                    out.append((network or self.model)(images))
        return out

    @contextlib.contextmanager
    def judged(self) -> Iterator[None]:
        """Inside, the model carries the weights that are scored and saved."""
        with self.counted.applied(self.model) if self.counted else contextlib.nullcontext():
            yield

    @property
    def counted(self) -> EMA | None:
        """The average whose weights are scored and saved; None: the model's own are."""
        return self.average

    def weights(self) -> dict[str, Tensor]:
        """A copy, on the CPU, of the weights that are scored: later steps don't change it."""
        with self.judged():
            state = self.model.state_dict()
            return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}

    def adopt_average(self) -> None:
        """Make the weights that are scored the model's own; training cannot go on from here."""
        if self.counted is not None:
            self.counted.swap(self.model)
            self.average = None

    def adopt(self, weights: Mapping[str, Tensor]) -> None:
        """Take over `weights` of some epoch; training cannot go on from here."""
        self.average = None  # they are the averaged ones already
        self.model.load_state_dict(weights)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def state(self) -> dict[str, Any]:
        """What `load_state` needs to go on as if nothing had happened, for a checkpoint.

        Random states are not among it: each epoch seeds its own from (seed, epoch).
        """
        return {
            "micro": self.micro,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.average.state_dict() if self.average else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, which may have been on another device."""
        self.model.load_state_dict(state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])


def _normalises_batches(model: nn.Module) -> bool:
    """Whether a batch of one image may be too small to train on."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
