"""Pre-training by an auto-encoder: the classifier's network, and a decoder that draws its input.

The encoder is the network of a recipe without its head. The decoder (Masci et al., ICANN 2011,
for the idea; nearest-neighbour upsampling before each convolution after Odena et al., Distill
2016, which leaves no chequered pattern) doubles the maps until they have the image's size. Loss
is the mean squared error of grey levels in [0, 1].
"""

from __future__ import annotations

import math
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

from .judge import Judgement, judge_drawings
from .method import Pretraining

WIDEST, NARROWEST = 256, 16
"""Channels of the decoder's first stage, and of its last; each has half of the one before."""

PROBE = 64
"""Side of the image by which a network's maps are counted."""


def maps_of(network: Network) -> tuple[int, int]:
    """Channels of a network's maps, and by how much they are smaller than the image."""
    training = network.training
    with torch.no_grad():
        maps = network.eval().features(torch.zeros(1, 1, PROBE, PROBE))
    network.train(training)
    return maps.shape[1], PROBE // maps.shape[-1]


class Decoder(nn.Module):
    """(b, channels, h, w) maps -> (b, 1, H, W) grey levels, unbounded.

    Args:
        channels: of the maps.
        shrink: how much smaller they are than the image.
    """

    def __init__(self, channels: int, shrink: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for stage in range(max(1, round(math.log2(shrink)))):
            wide = max(NARROWEST, WIDEST >> stage)
            stages += [
                nn.Upsample(scale_factor=2.0),
                nn.Conv2d(channels, wide, 3, padding=1, bias=False),
                nn.BatchNorm2d(wide),
                nn.ReLU(inplace=True),
            ]
            channels = wide
        self.stages = nn.Sequential(*stages)
        self.last = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """The image of ``size``; stretched to it where the stages come out at another."""
        image: Tensor = self.last(self.stages(maps))
        if image.shape[-2:] == size:
            return image
        return F.interpolate(image, size, mode="bilinear", align_corners=False)


class Autoencoder(nn.Module):
    """(b, 1, H, W) grey in [0, 1] -> the same, as the decoder draws it."""

    def __init__(self, encoder: Network) -> None:
        super().__init__()
        self.encoder, self.notes = encoder, encoder.notes
        self.decoder = Decoder(*maps_of(encoder))

    def forward(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) -> (b, 1, H, W)."""
        height, width = grey.shape[-2:]
        drawn: Tensor = self.decoder(self.encoder.features(grey), (height, width))
        return drawn


class AutoencoderTraining(Pretraining):
    """Draw the augmented image that went in."""

    augmentation: ClassVar[Mapping[str, Any]] = {
        "rotation": 5.0,
        "width_shift": 0.05,
        "height_shift": 0.05,
        "zoom": 0.05,
    }

    meaning = "Mean squared error of a grey level in [0, 1]."
    sheet_title = "Images and their drawings"
    sheet_caption = (
        "Above: images of the validation part, as the network sees them. Below: what the decoder "
        "draws. The network was not trained on them."
    )

    @staticmethod
    def around(encoder: Network) -> nn.Module:
        """See `Pretraining.around`."""
        return Autoencoder(encoder)

    def batch(
        self, pixels: Tensor, index: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Augmented images, twice."""
        images = self.augment(pixels, generator)
        return images, images

    def objective(self, network: Called, images: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error of a grey level in [0, 1]."""
        with self.precision():
            drawn = network(images)
        return F.mse_loss(drawn.float(), targets)

    def judge(self, held: Pixels) -> Judgement:
        """See `judge_drawings`."""
        return judge_drawings(self, held)

    @staticmethod
    def facts(held: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """How much of the mean image's error is gone."""
        gone, of = held["explained"], f"{held['images']:,} images not trained on"
        if gone is None or gone <= 0:
            return [("Explained", "nothing", f"the mean image is as near to {of}")]
        return [("Explained", f"{gone:.1%}", f"of the mean image's error is gone, on {of}")]

    @staticmethod
    def sheet(samples: Path) -> list[list[np.ndarray]]:
        """Images above, drawings below."""
        found = load_arrays(samples, ("originals", "drawings"))
        return [list(found["originals"]), list(found["drawings"])]
