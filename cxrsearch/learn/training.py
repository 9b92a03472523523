"""One model in training, whatever it is trained for: its steps, and all a checkpoint must hold.

What an objective adds is a class on top of `Training` with a few methods of its own: the model,
the rows and draws of an epoch, what a batch of pixels becomes, and the loss. Nothing here waits
for the device inside an epoch: losses add up where they are computed and are read once at the
end.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search.seeds import derive

from .augment.batch import Augment
from .augment.draws import seed_streams
from .augment.frames import to_float
from .compute import device as devices
from .compute.micro_batch import choose_micro
from .compute.options import ComputeOptions
from .compute.precision import amp_dtype
from .compute.steps.agreement import TrainingStep
from .compute.steps.choose import faster_way
from .compute.steps.compiled import Compiled, ForwardPass
from .compute.steps.cuda_graphs import Graphed
from .compute.steps.loss_scale import LossScale, ready
from .compute.steps.step_state import StepState
from .data import Pixels, TrainData, even_slices, resident_bytes
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
        room: bytes of a GPU that it may use, its pixels included.
        scale: of the loss, where convolutions are in float16; else None.
        generator: what `batch` draws from, seeded for each epoch.
        phase: what else than the shape of a batch decides over the operations of its step, such as
            the size that its images get in this epoch: steps are recorded for each.
        pieces: the batches of an epoch, as slices of what is drawn.
    """

    passes = 1
    """How often each image goes through the model in a step, for the estimate of memory."""
    faster = True
    """Whether steps may be recorded or compiled: where `step` is what it is here."""

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
        self.kind = amp_dtype(device, compute.precision)
        self.scale = LossScale(device) if self.kind == torch.float16 else None
        torch.manual_seed(derive(seed, "weights"))
        model = self.build()
        self.notes: tuple[str, ...] = tuple(getattr(model, "notes", ()))
        self.smallest = 2 if _normalises_batches(model) else 1
        a_pass = replace(compute, memory_share=compute.memory_share / self.passes)
        self.room = 0.0
        if device.type != "cpu":
            self.room = compute.memory_share * devices.planned_memory(device)
        held = sum(
            resident_bytes(len(part), recipe, device, self.room) for part in (rows, data.val_seed)
        )
        self.micro, said = choose_micro(model, recipe, a_pass, self.smallest, held)
        self.notes += said
        self.model: nn.Module = model.to(device)
        self.pixels = Pixels(data, rows, recipe, device, self.room)
        self.augment = Augment(recipe)
        self.optimizer = build_optimizer(self.model, recipe, self.scale is not None)
        if self.scale is not None:
            ready(self.optimizer)
        self.generator = torch.Generator(device)
        self.pieces = even_slices(self.images_per_epoch, recipe.batch_size, self.smallest)
        self.schedule = build_schedule(self.optimizer, recipe, recipe.epochs * len(self.pieces))
        self.average = EMA(self.model, recipe.ema) if recipe.ema > 0 else None
        self.phase: Hashable = None
        self._gradients: TrainingStep = self._eager
        self._graphed: Graphed | None = None
        way = self._way() if self.faster else "eager"
        if way == "compiled":
            self._gradients = Compiled(self._by, self.model)
        elif way == "graph":
            self._graphed = Graphed(self._changed, self._step_state())

    def _way(self) -> str:
        largest = max(piece.stop - piece.start for piece in self.pieces)
        return faster_way(self.model, self.recipe, self.compute, largest, len(self.pieces))

    def _step_state(self) -> StepState:
        averages = [] if self.average is None else [self.average]
        return StepState(self.model, self.optimizer, averages, self.scale, self.generator)

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
        total = self.steps(number, positions)
        self._say_problem()
        self._say_skipped(number)
        return float(total) / len(positions)

    def steps(self, number: int, positions: np.ndarray) -> Tensor:
        """All steps of epoch ``number``; nothing in them waits for the device.

        Args:
            number: seeds what is random.
            positions: what `draw` gave.

        Returns:
            the sum of the images' losses, on the device.
        """
        seed_streams(self.generator, derive(self.seed, "augment", number))
        torch.manual_seed(derive(self.seed, "dropout", number))
        self.model.train()
        total = torch.zeros((), device=self.device)
        for batch, index in self.pixels.batches(positions, self.pieces):
            self.before_step()
            if self._graphed is None:
                loss = self.step(*self.batch(batch, index, self.generator))
            else:
                loss = self._graphed(batch, index, self.phase)
                self.schedule.step()
            total += loss * len(index)
        return total

    def _say_skipped(self, number: int) -> None:
        """Note how many steps of epoch ``number`` were left out, where some were."""
        if self.scale is None:
            return
        skipped, scale = torch.stack([self.scale.skipped, self.scale.now()]).tolist()
        self.scale.forget()
        if skipped:
            self.notes += (
                f"fp16: {skipped:.0f} of the steps of epoch {number} were left out, as gradients "
                f"overflowed; the loss is scaled by {scale:g} from there on",
            )

    def _say_problem(self) -> None:
        """Note, once, why a faster way to take steps is not used."""
        problem = getattr(self._graphed or self._gradients, "problem", None)
        if problem is not None:
            self.notes += (f"steps by torch's operators one by one, which is slower: {problem}",)
            self._gradients, self._graphed = self._eager, None

    def before_step(self) -> None:  # noqa: B027
        """Write to the device what `batch` and `objective` take that changes from step to step.

        They may be recorded once for all steps: a number of the host's would stay what it was.
        """

    def step(self, images: Tensor, targets: Tensor) -> Tensor:
        """One optimiser step on a whole batch; the mean loss an image."""
        total = self.change(images, targets)
        self.schedule.step()
        return total

    def change(self, images: Tensor, targets: Tensor) -> Tensor:
        """What a step does on the device, where it may be recorded; the mean loss an image."""
        total = self._gradients(images, targets)
        self.optimise()
        if self.average is not None:
            self.average.update(self.model)
        return total

    def _changed(self, pixels: Tensor, index: Tensor) -> Tensor:
        """The same of a batch as it comes from the pixels."""
        return self.change(*self.batch(pixels, index, self.generator))

    def optimise(self) -> None:
        """Change the weights by the gradients at hand; not where these overflowed in float16."""
        if self.scale is None:
            self.optimizer.step()
        else:
            self.scale.step(self.optimizer)

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

        In float16 they are those of the loss times `scale`, as `optimise` takes them.

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
            scaled = loss if self.scale is None else self.scale(loss)
            scaled.backward()  # type: ignore[no-untyped-call]
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
            "scale": self.scale.state_dict() if self.scale else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, which may have been on another device."""
        self.model.load_state_dict(state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.scale is not None and state.get("scale"):  # it began without, or long ago
            self.scale.load_state_dict(state["scale"])


def _normalises_batches(model: nn.Module) -> bool:
    """Whether a batch of one image may be too small to train on."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
