"""The classifier that also learns from images without a label.

Beside the labelled images that a recipe draws, each epoch sees as large a share of those without.
With pseudo-labels their targets are a teacher's, at a weight of their own. A *mean teacher*
(Tarvainen & Valpola, NeurIPS 2017) needs none: every image, labelled or not, is augmented twice;
the student sees one view, the average of its own weights the other, and disagreeing costs more
and more while the average becomes worth agreeing with. The average is judged as it is used, with
the statistics of batch normalisation and without dropout. Where the recipe mixes images, only the
student's are: what its teacher makes of each part is mixed as the parts are, and so are the labels
(Verma et al., "Interpolation Consistency Training", IJCAI 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.seeds import derive

from .classifier import Learner
from .compute.options import ComputeOptions
from .criterion import known_weight, with_weights
from .data import TrainData, even_slices
from .networks.weights.asked import start_of
from .probe.learner import Probe
from .pseudo import Extra, extra
from .recipe import Recipe, as_trained, averaged
from .session import Session
from .training import SCORING

RAMP_UP = 0.3
"""Share of the steps in which the cost of disagreeing with a mean teacher rises to its weight."""


def ramp(progress: float) -> float:
    """exp(-5 (1 - t)^2) of the way ``t`` through the ramp-up, as in the paper's experiments."""
    return math.exp(-5 * (1 - min(1.0, max(0.0, progress))) ** 2)


class Student(Learner):
    """A `Learner` whose recipe has the gene ``pseudo``. Its data know images without a label."""

    def __init__(
        self,
        recipe: Recipe,
        data: TrainData,
        *,
        seed: int,
        compute: ComputeOptions,
    ) -> None:
        recipe = replace(recipe, ema=averaged(recipe))
        nobody = Extra(np.zeros(0, np.int64), np.zeros((0, len(data.label_names)), np.float32))
        added = extra(data.pseudo, data.pseudo_rows, recipe) or nobody  # where none is sure
        self._labelled, self._added = len(data.train), added
        self._others = round(recipe.epoch_share * len(added.rows))
        super().__init__(recipe, data, seed=seed, compute=compute)
        others = torch.from_numpy(added.targets[:, list(data.learnt)])
        weights = torch.full((self._labelled + len(others),), known_weight(self.marks))
        weights[self._labelled :] *= recipe.pseudo_weight
        targets = with_weights(torch.cat([self.marks, others]), weights)
        self.targets = self.with_auxiliary(targets).to(self.device)
        self._disagreeing = torch.zeros((), device=self.device)
        self.before_step()
        self._teacher: nn.Module | None = None
        if recipe.pseudo == "mean_teacher" and self.average is not None:
            self._teacher = self.average.network(self.model)

    def rows(self, data: TrainData) -> np.ndarray:
        """The training part, then the images without a label."""
        return np.concatenate([data.train, self._added.rows])

    @property
    def images_per_epoch(self) -> int:
        """The recipe's share of the labelled images, and as large a share of the others."""
        return self.sampler.images_per_epoch + self._others

    def draw(self, number: int) -> np.ndarray:
        """Labelled images in designed proportions, others as they come, in random order."""
        rng = np.random.default_rng(derive(self.seed, "others", number))
        others = rng.choice(len(self._added.rows), self._others, replace=False)
        return rng.permutation(
            np.concatenate([self.sampler.draw(number), self._labelled + others])
        )  # fmt: skip

    def labelled(
        self, pixels: Tensor, index: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Augmented images and (b, 2, k) targets, (b, 4, k) with a mean teacher.

        Of the labels to learn, where those are fewer. The teacher sees images that are not mixed.
        """
        images, targets = super().labelled(pixels, index, generator)
        if self._teacher is None:
            return images, targets
        agreed = self._agreed(self._teacher, self.augment(pixels, generator))
        cost = self._disagreeing.expand_as(agreed)
        # Of what auxiliary heads say no agreement is asked.
        rows = F.pad(torch.stack([agreed, cost], 1), (0, targets.shape[2] - agreed.shape[1]))
        return images, torch.cat([targets, rows], dim=1)

    def before_step(self) -> None:
        """What disagreeing with the teacher costs in the next step."""
        progress = self.schedule.last_epoch / (RAMP_UP * self.recipe.epochs * len(self.pieces))
        self._disagreeing.fill_(self.recipe.pseudo_weight * ramp(progress))

    @torch.no_grad()
    def _agreed(self, teacher: nn.Module, images: Tensor) -> Tensor:
        """(b, k) the teacher's probabilities, or those of the labels to learn."""
        found = []
        for piece in even_slices(len(images), SCORING * self.micro):
            chunk = images[piece].contiguous(memory_format=torch.channels_last)
            with self.precision():
                outputs = teacher(chunk)
            found.append(torch.sigmoid(self.label_logits(outputs).float()))
        return torch.cat(found)


def classifier_session(
    recipe: Recipe,
    data: TrainData,
    *,
    seed: int,
    folder: Path,
    compute: ComputeOptions,
    usable: Callable[[dict[str, Any]], str | None] = lambda state: None,
) -> Session[Learner]:
    """The training of a recipe's classifier in ``folder``: a `Learner`, a `Student` of it, or a
    `Probe` of frozen features.

    Args:
        recipe: what to train; its genes ``init`` and ``pseudo`` say which.
        data: what to train on.
        seed: everything random derives from it.
        folder: holds the checkpoint.
        compute: where and how fast.
        usable: as for `Session`.
    """
    recipe = as_trained(recipe)
    make: type[Learner] = Probe if start_of(recipe.init).frozen else Learner
    settings = dict[str, str]()
    if recipe.pseudo != "none":
        make = Student
    if data.pseudo is not None and (recipe.pseudo != "none" or recipe.distill):
        settings["pseudo"] = data.pseudo.fingerprint  # a checkpoint belongs to what was taught
    if data.uncertain is not None:  # and to what these marks were taken for
        settings["uncertain_as"] = ", ".join(data.policies(recipe.uncertain))
    return Session(
        make, recipe, data, seed=seed, folder=folder, compute=compute, usable=usable,
        settings=settings,
    )  # fmt: skip
