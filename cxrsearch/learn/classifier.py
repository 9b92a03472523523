"""The classifier in training: what `Training` needs to know of labels, and its scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from search.seeds import derive

from .compute.compiled import ForwardPass
from .compute.device import pick_device
from .compute.options import ComputeOptions
from .criterion import build_loss, known_weight, prevalence_of, with_weights
from .data import Pixels, TrainData
from .networks import models
from .recipe import DESCRIBED, Recipe
from .seeding import SeedProportional
from .training import Training

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
        marks, device = data.targets(recipe.uncertain), pick_device(compute.device)
        self.sampler = SeedProportional(marks, data.label_names, recipe, derive(seed, "draw"))
        learnt = marks[:, list(data.learnt)]
        self.marks = torch.from_numpy(learnt.astype(np.float32))
        self.targets = self.marks.to(device)
        if self.marks.isnan().any():
            weight = torch.full((len(learnt),), known_weight(self.marks))
            self.targets = with_weights(self.marks, weight).to(device)
        self.loss = build_loss(recipe, prevalence_of(learnt))
        self.labels = data.label_names
        some = len(data.learnt) < len(self.labels)
        self._learnt = torch.tensor(data.learnt, device=device) if some else None
        super().__init__(recipe, data, self.rows(data), seed=seed, compute=compute)
        self.notes += _said(data, recipe, self.sampler.unknown_ratios)

    def rows(self, data: TrainData) -> np.ndarray:
        """(n,) rows that epochs draw from: those that ``targets`` are of."""
        return data.train

    def build(self) -> nn.Module:
        """The recipe's network."""
        return models.build_model(
            self.recipe, self.compute.weights_dir, n_classes=len(self.labels), labels=self.labels
        )

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
        """Augmented images, and their (b, k) targets, (b, 2, k) where some are unknown.

        Of the labels to learn, where those are fewer.
        """
        return self.augment(pixels, generator), self.targets[index]

    def objective(self, network: ForwardPass, images: Tensor, targets: Tensor) -> Tensor:
        """The recipe's loss of the logits."""
        with self.precision():
            logits = network(images)
        if self._learnt is not None:
            logits = logits.index_select(1, self._learnt)
        return self.loss(logits.float(), targets)

    def scores(self, pixels: Pixels) -> np.ndarray:
        """(m, k) float32 probabilities by the weights that count: the average, if there is one."""
        logits = self.outputs(pixels)
        return torch.cat([torch.sigmoid(each.float()) for each in logits]).cpu().numpy()


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
