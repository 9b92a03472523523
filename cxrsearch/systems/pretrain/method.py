"""Training of a network's weights on images alone, without labels.

What comes out are the weights of the encoder under the network's own names, without its head:
``init`` of a recipe takes them over.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import Pixels, TrainData
from cxrsearch.learn.networks import models
from cxrsearch.learn.networks.models import Network
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.training import Training
from search.seeds import derive

ENCODER_PREFIX = "encoder.net."


class Pretraining(Training):
    """A recipe's network inside a model that needs no labels; every image once an epoch.

    Args:
        recipe: what to train.
        data: what to train on: the part ``train``, whatever its labels.
        seed: of the initial weights, the order and the augmentation.
        compute: where and how fast.
    """

    augmentation: ClassVar[Mapping[str, Any]]
    """Genes of the recipe that this method wants."""

    fewest: ClassVar[int] = 1
    """Images of a batch at least."""

    meaning: ClassVar[str]
    """What the loss is, in a sentence for the page."""

    sheet_title: ClassVar[str]
    sheet_caption: ClassVar[str]
    """Of the pictures that `judge` gives."""

    def __init__(
        self,
        recipe: Recipe,
        data: TrainData,
        *,
        seed: int,
        compute: ComputeOptions,
    ) -> None:
        self._count, self._outputs = len(data.train), len(data.label_names)
        super().__init__(recipe, data, data.train, seed=seed, compute=compute)

    @staticmethod
    @abstractmethod
    def around(encoder: Network) -> nn.Module:
        """The model that is trained; it holds ``encoder`` as its attribute of that name."""

    @abstractmethod
    def judge(self, held: Pixels) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Numbers for the record, and pictures (uint8) by name, of images not trained on."""

    @staticmethod
    @abstractmethod
    def facts(held: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Label, value and note of what the numbers of `judge` come to."""

    @staticmethod
    @abstractmethod
    def sheet(samples: Path) -> list[list[np.ndarray]]:
        """The rows of the sheet, from the file with the pictures of `judge`."""

    def build(self) -> nn.Module:
        """The recipe's network, its head left as it is, inside the method's model."""
        encoder = models.build_model(self.recipe, self.compute.weights_dir, n_classes=self._outputs)
        encoder.net.get_submodule(encoder.head).requires_grad_(False)
        model = self.around(encoder)
        return models.in_channels_last(model).train()

    @property
    def images_per_epoch(self) -> int:
        """All of them."""
        return self._count

    def draw(self, number: int) -> np.ndarray:
        """All images in random order."""
        rng = np.random.default_rng([derive(self.seed, "draw"), number])
        return rng.permutation(self._count)

    def encoder_weights(self) -> dict[str, Tensor]:
        """The weights that count of the encoder, by the network's own names, without its head."""
        own = {
            name.removeprefix(ENCODER_PREFIX): value
            for name, value in self.weights().items()
            if name.startswith(ENCODER_PREFIX)
        }
        encoder: Any = self.model.encoder
        return {name: value for name, value in own.items() if not encoder.in_head(name)}

    def embed(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) -> (b, channels): the encoder's maps, pooled as the head pools them."""
        encoder: Any = self.model.encoder
        pooled: Tensor = encoder.features(grey).float().mean(dim=(2, 3))
        return pooled
