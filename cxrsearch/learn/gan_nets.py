"""The two networks of the GAN: small enough for a desktop, and free of batch statistics.

The generator is StyleGAN2's in outline (Karras et al., CVPR 2020: a picture is the sum of what
each resolution adds, the latent vector scales the channels of every layer), the discriminator
its residual one with strided convolutions. What an image is worth never depends on the others
of its batch: a batch may be cut into micro-batches, and a resumed training repeats its steps
bit for bit.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrsearch.learn.models import DropoutLinear

LATENT = 128
"""Numbers from which the generator makes an image."""
SMALLEST, LARGEST = 32, 256
"""Sides of the images that the networks are made for, powers of two."""
START = 4
"""Side of the generator's first features, and of the discriminator's last."""
_SLOPE = 0.2


def resolutions(size: int) -> list[int]:
    """``[4, 8, ..., size]``."""
    return [START << i for i in range((size // START).bit_length())]


def channels(side: int, width: int) -> int:
    """Channels at a resolution: ``width`` at 64 pixels, twice as many at half the side.

    Never more than sixteen times ``width``, and never fewer than half of it.
    """
    return min(16 * width, max(width // 2, width * 64 // side))


class _Layer(nn.Module):
    """3x3 convolution, channels normalised at each pixel, scaled and shifted by the latent."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.style = nn.Linear(LATENT, 2 * n_out)
        nn.init.kaiming_normal_(self.conv.weight, a=_SLOPE)
        nn.init.normal_(self.style.weight, std=1 / math.sqrt(LATENT))
        nn.init.zeros_(self.style.bias)

    def forward(self, features: Tensor, latent: Tensor) -> Tensor:
        hidden = self.conv(features)
        hidden = hidden * torch.rsqrt(hidden.square().mean(1, keepdim=True) + 1e-6)
        scale, shift = self.style(latent)[:, :, None, None].chunk(2, dim=1)
        return F.leaky_relu(hidden * (1 + scale) + shift, _SLOPE)


class Generator(nn.Module):
    """(b, `LATENT`) standard normal numbers -> (b, 1, size, size) grey in [0, 1].

    Args:
        size: side of the images, a power of two from `SMALLEST` to `LARGEST`.
        width: channels at 64 pixels.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        sides = resolutions(size)
        counts = [channels(side, width) for side in sides]
        self.mapping = nn.Sequential(
            nn.Linear(LATENT, LATENT),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(LATENT, LATENT),
            nn.LeakyReLU(_SLOPE),
        )
        for layer in self.mapping:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
                nn.init.zeros_(layer.bias)
        self.start = nn.Linear(LATENT, counts[0] * START * START)
        nn.init.normal_(self.start.weight, std=1 / math.sqrt(LATENT))
        pairs = [(counts[0], counts[0]), *pairwise(counts)]
        self.layers = nn.ModuleList(_Layer(a, b) for a, b in pairs)
        self.grey = nn.ModuleList(_grey(count) for count in counts)

    def forward(self, latent: Tensor) -> Tensor:
        """See the class."""
        latent = latent * torch.rsqrt(latent.square().mean(1, keepdim=True) + 1e-6)
        style = self.mapping(latent)
        features = self.start(style).view(len(latent), -1, START, START)
        picture: Tensor | None = None
        for layer, grey in zip(self.layers, self.grey, strict=True):
            if picture is not None:
                features, picture = _doubled(features), _doubled(picture)
            features = layer(features, style)
            added = grey(features)
            picture = added if picture is None else picture + added
        assert picture is not None
        return torch.sigmoid(2 * picture.float())


def _grey(count: int) -> nn.Conv2d:
    """What a resolution adds to the picture: little, at the start."""
    layer = nn.Conv2d(count, 1, 1)
    nn.init.normal_(layer.weight, std=0.1 / math.sqrt(count))
    return _unbiased(layer)


def _unbiased(conv: nn.Conv2d) -> nn.Conv2d:
    """``conv`` with a bias of zeros."""
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def _steep(conv: nn.Conv2d) -> nn.Conv2d:
    """``conv``, started as the leaky rectifier behind it wants it (He et al., ICCV 2015)."""
    nn.init.kaiming_normal_(conv.weight, a=_SLOPE)
    return _unbiased(conv)


def _doubled(images: Tensor) -> Tensor:
    return F.interpolate(images, scale_factor=2.0, mode="bilinear", align_corners=False)


class _Down(nn.Module):
    """Half the side by a 4x4 convolution of stride 2, beside a pooled short cut."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = _steep(nn.Conv2d(n_in, n_out, 4, stride=2, padding=1))
        self.short = nn.Conv2d(n_in, n_out, 1, bias=False)
        nn.init.kaiming_normal_(self.short.weight, a=1.0)

    def forward(self, features: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.conv(features), _SLOPE)
        short: Tensor = self.short(F.avg_pool2d(features, 2))
        return (hidden + short) * math.sqrt(0.5)


class Discriminator(nn.Module):
    """(b, 1, size, size) grey in [0, 1] -> (b,) scores, higher for what looks real.

    Args:
        size: as for `Generator`.
        width: as for `Generator`.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        counts = [channels(side, width) for side in reversed(resolutions(size))]
        self.stem = _steep(nn.Conv2d(1, counts[0], 3, padding=1))
        self.down = nn.Sequential(*(_Down(a, b) for a, b in pairwise(counts)))
        self.last = _steep(nn.Conv2d(counts[-1], counts[-1], 3, padding=1))
        # In float32 also under autocast: scores are compared.
        self.score = DropoutLinear(counts[-1] * START * START, 1, 0.0)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        hidden = F.leaky_relu(self.stem(2 * images - 1), _SLOPE)
        hidden = F.leaky_relu(self.last(self.down(hidden)), _SLOPE)
        score: Tensor = self.score(hidden.flatten(1))
        return score[:, 0]
