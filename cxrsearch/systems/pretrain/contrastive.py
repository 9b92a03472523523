"""Pre-training by views: two augmentations of an image are to have the same embedding.

The loss is VICReg's (Bardes, Ponce & LeCun, ICLR 2022), which Garrido et al. (ICLR 2023) show to
be a contrastive one between dimensions instead of images: with Z, Z' (n, d) the embeddings of
two views,

    25 * mean (Z - Z')^2                                   the views agree         (eq. 5)
  + 25 * mean over dimensions of max(0, 1 - std(z_j))      none is constant        (eq. 1, 2)
  +  1 * sum over j != k of cov(Z)_jk^2 / d                none repeats another    (eq. 3, 4)

the last two for Z and Z', the second as their mean. It needs neither negatives (so no large
batch and no queue) nor a second, averaged network, and what it forbids is what is measured as
collapse.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrsearch.learn.compute.steps.compiled import ForwardPass as Called
from cxrsearch.learn.data import Pixels
from cxrsearch.learn.networks.models import Network
from cxrsearch.learn.saved.arrays import load_arrays

from .autoencoder import maps_of
from .judge import Judgement, judge_embeddings
from .method import Pretraining

AGREE_WEIGHT, SPREAD_WEIGHT, APART_WEIGHT = 25.0, 25.0, 1.0
"""Weights of the three terms, as in the paper."""

EMBEDDING_SIZE = 512
"""Dimensions of the embedding; the paper's 8192 are for a million images."""

VARIANCE_EPSILON = 1e-4
"""Added to variances, as in the paper."""


class Embedder(nn.Module):
    """(b, 1, H, W) grey in [0, 1] -> (b, `EMBEDDING_SIZE`) embeddings; only training needs them."""

    def __init__(self, encoder: Network) -> None:
        super().__init__()
        self.encoder, self.notes = encoder, encoder.notes
        channels, _ = maps_of(encoder)
        self.expander = nn.Sequential(
            nn.Linear(channels, EMBEDDING_SIZE, bias=False),
            nn.BatchNorm1d(EMBEDDING_SIZE),
            nn.ReLU(inplace=True),
            nn.Linear(EMBEDDING_SIZE, EMBEDDING_SIZE, bias=False),
            nn.BatchNorm1d(EMBEDDING_SIZE),
            nn.ReLU(inplace=True),
            nn.Linear(EMBEDDING_SIZE, EMBEDDING_SIZE),
        )

    def forward(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) -> (b, `EMBEDDING_SIZE`)."""
        embedded: Tensor = self.expander(self.encoder.features(grey).mean(dim=(2, 3)))
        return embedded


def vicreg(one: Tensor, other: Tensor) -> Tensor:
    """The loss of two (n, d) embeddings in float32; n above 1."""
    agree = F.mse_loss(one, other)
    spread = torch.stack([_spread(one), _spread(other)]).mean()
    apart = _apart(one) + _apart(other)
    return AGREE_WEIGHT * agree + SPREAD_WEIGHT * spread + APART_WEIGHT * apart


def _spread(embedded: Tensor) -> Tensor:
    return F.relu(1 - (embedded.var(dim=0) + VARIANCE_EPSILON).sqrt()).mean()


def _apart(embedded: Tensor) -> Tensor:
    n, d = embedded.shape
    centred = embedded - embedded.mean(dim=0)
    covariance = centred.T @ centred / (n - 1)
    total: Tensor = covariance.pow(2).sum() - covariance.diagonal().pow(2).sum()
    return total / d


class ContrastiveTraining(Pretraining):
    """Bring two views of an image together."""

    passes = 2
    # No flips: left and right mean something on a chest film.
    augmentation: ClassVar[Mapping[str, Any]] = {
        "rotation": 15.0, "width_shift": 0.1, "height_shift": 0.1, "zoom": 0.3,
        "brightness": 0.3, "contrast": 0.4,
    }  # fmt: skip

    fewest = 16  # the loss is about how the images of a batch differ
    meaning = "VICReg's loss of two views: agreement, spread and redundancy."
    sheet_title = "Nearest neighbours"
    sheet_caption = (
        "Left: an image of the validation part. Beside it the training images whose embeddings are "
        "the nearest to it (cosine), the nearest first."
    )

    @staticmethod
    def around(encoder: Network) -> nn.Module:
        """See `Pretraining.around`."""
        return Embedder(encoder)

    def batch(
        self, pixels: Tensor, index: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Two views, each with its own draw."""
        return self.augment(pixels, generator), self.augment(pixels, generator)

    def objective(self, network: Called, images: Tensor, targets: Tensor) -> Tensor:
        """`vicreg` of the embeddings of both views."""
        with self.precision():
            both = network(torch.cat([images, targets]))
        one, other = both.float().chunk(2)
        return vicreg(one, other)

    def judge(self, held: Pixels) -> Judgement:
        """See `judge_embeddings`."""
        return judge_embeddings(self, held)

    @staticmethod
    def facts(held: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Whether the embeddings have collapsed."""
        note = "0: all embeddings are one; 1: in all directions"
        directions = f"of {held['dimensions']} directions used"
        return [
            ("Spread", f"{held['spread']:.2f}", note), ("Rank", f"{held['rank']:.0f}", directions)
        ]  # fmt: skip

    @staticmethod
    def sheet(samples: Path) -> list[list[np.ndarray]]:
        """An image a row, and the nearest to it."""
        found = load_arrays(samples, ("originals", "nearest"))
        rows = zip(found["originals"], found["nearest"], strict=True)
        return [[image, *nearest] for image, nearest in rows]
