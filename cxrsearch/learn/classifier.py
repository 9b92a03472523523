"""The classifier in training: what `Training` needs to know of labels, and its scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search.seeds import derive

from .augment.frames import shrunk, to_float
from .augment.mixing import Mixing
from .augment.sizes import size_at, smallest_size
from .compute.device import pick_device
from .compute.options import ComputeOptions
from .compute.steps.compiled import ForwardPass
from .criterion import (
    best_constant,
    build_loss,
    known_weight,
    prevalence_of,
    safe_prevalence,
    with_weights,
)
from .data import Pixels, TrainData, even_slices
from .fitting.auxiliary import AuxiliaryHeads, resized, widen
from .fitting.norms import TYPICAL_IMAGES, measure_norms
from .fitting.sharpness import SharpnessAware
from .networks import models
from .optim import EMA, EqualAverage
from .pseudo import distilled
from .recipe import DESCRIBED, Recipe, size_of, tail_epochs
from .seeding import SeedProportional
from .training import SCORING, Training

COUNTED_AS = {
    "ignore": "ignored", "positive": "count as 1", "negative": "count as 0",
    "soft": "count as one half",
}  # fmt: skip
"""What becomes of uncertain marks, by policy, in words."""


class Learner(Training):
    """A recipe's network, optimiser, schedule and average, at some epoch.

    Args:
        recipe: what to train.
        data: what to train on; the part ``train``.
        seed: of the initial weights, the draws, the augmentation and dropout.
        compute: where and how fast.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: TrainData,
        *,
        seed: int,
        compute: ComputeOptions,
    ) -> None:
        self.faster = not recipe.sharpness  # a step is more than gradients and an optimiser then
        marks, device = data.targets(recipe.uncertain), pick_device(compute.device)
        self.sampler = SeedProportional(
            marks, data.label_names, recipe, derive(seed, "draw"), data.epoch_images
        )
        names = data.names[data.train]
        taught = distilled(marks.astype(np.float32), names, data.pseudo, recipe)
        learnt = marks[:, list(data.learnt)]
        self.marks = torch.from_numpy(taught[:, list(data.learnt)])
        self.auxiliary = AuxiliaryHeads(data, device) if recipe.auxiliary else None
        self.targets = self.marks.to(device)
        if self.auxiliary is not None or self.marks.isnan().any():
            weight = torch.full((len(learnt),), known_weight(self.marks))
            self.targets = self.with_auxiliary(with_weights(self.marks, weight)).to(device)
        self.loss = build_loss(recipe, prevalence_of(learnt))
        self.labels = data.label_names
        self._columns = list(data.learnt)
        self.mixing = Mixing(recipe)
        self._size = self._full = size_of(recipe.input_size)
        some = len(data.learnt) < len(self.labels)
        self._learnt = torch.tensor(data.learnt, device=device) if some else None
        super().__init__(recipe, data, self.rows(data), seed=seed, compute=compute)
        if recipe.sharpness:
            self._gradients = SharpnessAware(self.model, self._gradients, recipe.sharpness)
        self._tail = EqualAverage(self.model) if tail_epochs(recipe) else None
        chosen = np.random.default_rng(derive(seed, "norms")).permutation(len(learnt))
        self._typical = np.sort(chosen[:TYPICAL_IMAGES])
        self.notes += _said(data, recipe, self.sampler.unknown_ratios)
        if smallest_size(recipe) != self._full and not self._grows:
            self.notes += (
                f"start_size: {recipe.start_size:g} does nothing: {recipe.model} takes images of "
                "one size alone",
            )

    def rows(self, data: TrainData) -> np.ndarray:
        """(n,) rows that epochs draw from: those that ``targets`` are of."""
        return data.train

    def build(self) -> nn.Module:
        """The recipe's network."""
        network = models.build_model(
            self.recipe, self.compute.weights_dir, n_classes=len(self.labels), labels=self.labels
        )
        if self.recipe.head_bias == "prevalence":
            known = safe_prevalence(self.marks.numpy(), self.sampler.chances)
            logits = torch.zeros(len(self.labels))
            logits[self._columns] = best_constant(self.loss, known)
            network.start_at(logits)
        if self.auxiliary is not None:
            widen(network, len(self.auxiliary.names))
        first = smallest_size(self.recipe)
        self._grows = first != self._full and takes(network, first)
        return network

    @property
    def network(self) -> models.Network:
        """The model, as what it is."""
        assert isinstance(self.model, models.Network)
        return self.model

    def with_auxiliary(self, targets: Tensor) -> Tensor:
        """(n, 2, k) targets, of labelled images first, with columns for the auxiliary heads."""
        return targets if self.auxiliary is None else self.auxiliary.beside(targets)

    def label_logits(self, outputs: Tensor) -> Tensor:
        """(b, k) of the labels to learn, out of all that the network in training gives."""
        own = outputs if self.auxiliary is None else outputs[:, : len(self.labels)]
        return own if self._learnt is None else own.index_select(1, self._learnt)

    @property
    def images_per_epoch(self) -> int:
        """The recipe's share of the training images."""
        return self.sampler.images_per_epoch

    def draw(self, number: int) -> np.ndarray:
        """In designed proportions; see `SeedProportional`."""
        return self.sampler.draw(number)

    def batch(
        self, pixels: Tensor, index: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Images and targets of `labelled`, mixed where the recipe says so."""
        pixels = shrunk(pixels, self._size)
        return self.mixing(*self.labelled(pixels, index, generator), generator)

    def labelled(
        self, pixels: Tensor, index: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Augmented images, and their (b, k) targets, (b, 2, k) where some are unknown.

        Of the labels to learn, where those are fewer.
        """
        return self.augment(pixels, generator), self.targets[index]

    def objective(self, network: ForwardPass, images: Tensor, targets: Tensor) -> Tensor:
        """The recipe's loss of the logits, and of what auxiliary heads say."""
        with self.precision():
            outputs = network(images)
        logits = self.label_logits(outputs).float()
        if self.auxiliary is None:
            return self.loss(logits, targets)
        k, heads = logits.shape[1], self.auxiliary
        beside = heads.loss(outputs[:, len(self.labels) :], targets[:, :2, k:])
        return self.loss(logits, targets[:, :, :k]) + self.recipe.auxiliary * beside

    def epoch(self, number: int) -> float:
        """`Training.epoch`; what is averaged over epochs, and measured for averages, follows."""
        self.phase = self._size = size_at(self.recipe, number) if self._grows else self._full
        loss = super().epoch(number)
        if self._tail is not None and number > self.recipe.epochs - tail_epochs(self.recipe):
            self._tail.update(self.model)
        counted = self.counted
        if counted is not None and (counted is self._tail or self.recipe.ema_norms == "measured"):
            with self.judged(), self.precision():
                measure_norms(self.model, self.typical_images())
        return loss

    @property
    def counted(self) -> EMA | None:
        """The mean over the last epochs, once there is one; else as ever."""
        if self._tail is not None and self._tail.updates:
            return self._tail
        return super().counted

    def typical_images(self) -> Iterator[Tensor]:
        """(b, 1, H, W) in [0, 1]: some labelled images as they are, the same each time."""
        for batch, _ in self.pixels.batches(
            self._typical, even_slices(len(self._typical), SCORING * self.micro, self.smallest)
        ):
            yield to_float(batch)

    def adopt_average(self) -> None:
        """Make the weights that are scored the model's own; training cannot go on from here."""
        super().adopt_average()
        self._tail = None

    def adopt(self, weights: Mapping[str, Tensor]) -> None:
        """Take over `weights` of some epoch; training cannot go on from here."""
        if self.auxiliary is not None:
            weights = resized(weights, self.network, len(self.labels) + len(self.auxiliary.names))
        super().adopt(weights)
        self._tail = None

    def state(self) -> dict[str, Any]:
        """As ever, and the mean over the last epochs where there is one."""
        tail = {} if self._tail is None else {"tail": self._tail.state_dict()}
        return {**super().state(), **tail}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, which may have been on another device."""
        super().load_state(state)
        if self._tail is not None:
            self._tail.load_state_dict(state["tail"])

    def scores(self, pixels: Pixels) -> np.ndarray:
        """(m, k) float32 probabilities by the weights that count: the average, if there is one."""
        k = len(self.labels)  # without what auxiliary heads say
        found = [torch.sigmoid(each[:, :k].float()) for each in self.outputs(pixels)]
        return torch.cat(found).cpu().numpy()

    def weights(self) -> dict[str, Tensor]:
        """A copy, on the CPU, of the weights that are scored, without auxiliary heads."""
        found = super().weights()
        return found if self.auxiliary is None else resized(found, self.network, len(self.labels))


def takes(network: nn.Module, size: tuple[int, int]) -> bool:
    """Whether ``network``, on the CPU, computes anything of an image of ``size``.

    Transformers with an embedding a place take the size that they were made for and no other.
    """
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 1, *size))
    except (AssertionError, RuntimeError, ValueError):
        return False
    finally:
        network.train(training)
    return True


def _said(data: TrainData, recipe: Recipe, unknown_ratios: Sequence[str]) -> tuple[str, ...]:
    """What became of the uncertain marks, and which genes do nothing with these data."""
    notes = []
    counts = data.uncertain_counts(recipe.uncertain)
    if counts:
        each = ", ".join(f"{count:,} {COUNTED_AS[policy]}" for policy, count in counts.items())
        notes.append(f"uncertain marks of the training part: {each}")
    elif recipe.uncertain != DESCRIBED:
        notes.append(
            f"uncertain: {recipe.uncertain} does nothing: no mark in training is uncertain"
        )
    if unknown_ratios:
        notes.append(
            f"draw weights of no label of the data do nothing: {', '.join(unknown_ratios)}"
        )
    return tuple(notes)
