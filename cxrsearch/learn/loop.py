"""One network in training: its steps, its scores, and all that a checkpoint must hold.

Nothing here waits for the device inside an epoch: losses add up where they are computed
and are read once at the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn import device as devices
from cxrsearch.learn import models
from cxrsearch.learn.augment import Augment, to_float
from cxrsearch.learn.checked import Step
from cxrsearch.learn.compiled import Compiled, repays
from cxrsearch.learn.data import Pixels, TrainData, even_slices
from cxrsearch.learn.graphs import Graphed, worthwhile
from cxrsearch.learn.losses import build_loss
from cxrsearch.learn.optim import EMA, build_optimizer, build_schedule
from cxrsearch.learn.recipe import Recipe, size_of
from cxrsearch.learn.recompute import recompute, recomputes
from cxrsearch.learn.seeding import SeedProportional
from search.seeds import derive

SCORING = 2
"""Images scored at a time, in micro-batches of training, which keeps all activations."""


class Learner:
    """A recipe's network, optimiser, schedule and average, at some epoch.

    Args:
        recipe: what to train.
        data: what to train on; the part ``train``.
        seed: of the initial weights, the draws, the augmentation and dropout.
        device: where to compute.
        weights_dir: folder with pretrained weights; None: torchvision's own place.
        micro: images taken through the network at once; None: found from memory.
        memory_share: share of the free memory that may be used to find it.
        precision: as for `cxrsearch.learn.device.amp_dtype`.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: TrainData,
        *,
        seed: int,
        device: torch.device,
        weights_dir: Path | None = None,
        micro: int | None = None,
        memory_share: float = 0.8,
        precision: str = "auto",
    ) -> None:
        self.recipe, self.seed, self.device = recipe, seed, device
        self.kind = devices.amp_dtype(device, precision)
        self.sampler = SeedProportional(data.labels[data.train], recipe, derive(seed, "draw"))
        torch.manual_seed(derive(seed, "weights"))
        model = models.build_model(recipe, weights_dir)
        self.notes: tuple[str, ...] = tuple(model.notes)
        self.smallest = 2 if _normalises_batches(model) else 1
        self.micro = self._micro(model, micro, memory_share)
        self.model: nn.Module = model.to(device)
        self.pixels = Pixels(data, data.train, recipe, device)
        labels = data.labels[data.train][:, list(data.learnt)]
        self.targets = torch.from_numpy(labels.astype(np.float32)).to(device)
        some = data.learnt != tuple(range(len(DISEASES)))
        self._learnt = torch.tensor(data.learnt, device=device) if some else None
        self.loss = build_loss(recipe, labels.mean(axis=0))
        self.augment = Augment(recipe)
        self.optimizer = build_optimizer(self.model, recipe)
        self.pieces = even_slices(
            self.sampler.images_per_epoch, recipe.batch_size, self.smallest
        )  # fmt: skip
        total = recipe.epochs * len(self.pieces)
        self.schedule = build_schedule(self.optimizer, recipe, total)
        self.average = EMA(self.model, recipe.ema) if recipe.ema > 0 else None
        faster = self._compiled() or self._graphed(total)
        self._gradients: Step = faster or self._eager

    def _micro(self, model: nn.Module, given: int | None, share: float) -> int:
        """Images that go through ``model`` at once, ``given`` or as memory allows.

        Where that is less than wanted, layers that can compute again what they would keep.
        """

        def fit() -> int:
            return devices.micro_batch(
                model, self.recipe.input_size, self.recipe.batch_size, self.device, share
            )

        wanted, found = given or self.recipe.batch_size, fit()
        if found < wanted and recompute(model):
            self.notes += ("memory is short: dense blocks are computed again for the gradients",)
            found = fit()
        chosen = max(self.smallest, given or found)
        if given is None and self.smallest > 1 and chosen < wanted:
            self.notes += (
                f"memory allows {chosen} of {wanted} images at once: batch "
                "normalisation is over those",
            )
        return chosen

    def epoch(self, number: int) -> float:
        """Train for one epoch; everything random in it derives from the seed and ``number``.

        Returns:
            the mean loss an image.
        """
        positions = self.sampler.draw(number)
        generator = torch.Generator(self.device).manual_seed(derive(self.seed, "augment", number))
        torch.manual_seed(derive(self.seed, "dropout", number))
        self.model.train()
        total = torch.zeros((), device=self.device)
        for batch, index in self.pixels.batches(positions, self.pieces):
            images = self.augment(batch, generator)
            total += self._step(images, self.targets[index]) * len(index)
        self._say_problem()
        return float(total) / len(positions)

    def _say_problem(self) -> None:
        """Note, once, why a faster way to take steps is not used."""
        problem = getattr(self._gradients, "problem", None)
        if problem is not None:
            self.notes += (f"steps by torch's operators one by one, which is slower: {problem}",)
            self._gradients = self._eager

    def _step(self, images: Tensor, targets: Tensor) -> Tensor:
        """One optimiser step on a whole batch; the mean loss an image."""
        total = self._gradients(images, targets)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update(self.model)
        return total

    def _graphed(self, steps: int) -> Graphed | None:
        """The step as a CUDA graph, where that is faster and a batch goes through at once."""
        largest = max(piece.stop - piece.start for piece in self.pieces)
        side = size_of(self.recipe.input_size)
        whole = largest <= self.micro and not self._recomputes
        fits = whole and worthwhile(self.device, largest, side, steps)
        return Graphed(self._eager, self.model) if fits else None

    def _compiled(self) -> Compiled | None:
        """The step by the compiled network, where the training is long enough."""
        height, width = size_of(self.recipe.input_size)
        pixels = self.recipe.epochs * self.sampler.images_per_epoch * height * width
        fits = not self._recomputes and repays(self.device, self.model, pixels)
        return Compiled(self._by, self.model) if fits else None

    @property
    def _recomputes(self) -> bool:
        return any(recomputes(module) for module in self.model.modules())

    def _eager(self, images: Tensor, targets: Tensor) -> Tensor:
        """Set the gradients of a whole batch."""
        return self._by(self.model, images, targets)

    def _by(self, network: Callable[[Tensor], Any], images: Tensor, targets: Tensor) -> Tensor:
        """Set the gradients by ``network``, added up over micro-batches."""
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for piece in even_slices(len(images), self.micro, self.smallest):
            chunk = images[piece].contiguous(memory_format=torch.channels_last)
            with self._precision():
                logits = network(chunk)
            if self._learnt is not None:
                logits = logits.index_select(1, self._learnt)
            share = len(chunk) / len(images)
            loss = self.loss(logits.float(), targets[piece]) * share
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device.type, self.kind, enabled=self.kind is not None)

    @torch.inference_mode()
    def scores(self, pixels: Pixels) -> np.ndarray:
        """(m, 14) float32 probabilities by the weights that count: the average, if there is one."""
        out = []
        with self.judged():
            self.model.eval()
            pieces = even_slices(len(pixels), SCORING * self.micro)
            for batch, _ in pixels.batches(np.arange(len(pixels)), pieces):
                images = to_float(batch).contiguous(memory_format=torch.channels_last)
                with self._precision():
                    logits = self.model(images)
                out.append(torch.sigmoid(logits.float()))
        return torch.cat(out).cpu().numpy()

    @contextlib.contextmanager
    def judged(self) -> Iterator[None]:
        """Inside, the model carries the weights that are scored and saved."""
        with self.average.applied(self.model) if self.average else contextlib.nullcontext():
            yield

    def weights(self) -> dict[str, Tensor]:
        """A copy, on the CPU, of the weights that are scored: later steps don't change it."""
        with self.judged():
            state = self.model.state_dict()
            return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}

    def adopt_average(self) -> None:
        """Make the weights that are scored the model's own; training cannot go on from here."""
        if self.average is not None:
            self.average.swap(self.model)
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
        self.optimizer.load_state_dict(state["optimizer"])
        for parameter, kept in self.optimizer.state.items():
            for name, value in kept.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    # In the layout of a fresh start (channels_last), so that the same
                    # vector instructions, and with them the same roundings, follow.
                    kept[name] = torch.empty_like(parameter).copy_(value)
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])


def _normalises_batches(model: nn.Module) -> bool:
    """Whether a batch of one image may be too small to train on."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
