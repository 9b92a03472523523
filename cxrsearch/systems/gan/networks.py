"""The two networks of the GAN: small enough for a desktop, and free of batch statistics.

A few thousand images on two cores are too little to learn from nothing what a chest looks like.
So the generator begins as a linear one, a normal distribution along the principal components
of the training images (but for a little noise of the random weights), and what is learnt is a
correction of its blurred pictures:
what each resolution adds is summed up, as in StyleGAN2 (Karras et al., CVPR 2020). Layers are
not normalised, which with few channels draws contour lines where features change their sign;
their weights have StyleGAN's equalised learning rate instead. The discriminator is StyleGAN2's
residual one with strided convolutions.

What an image is worth never depends on the others of its batch: a batch may be cut into
micro-batches, and a resumed training repeats its steps bit for bit.
"""

from __future__ import annotations

import contextlib
import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .baselines import principal_axes

LATENT = 128
"""Numbers from which the generator makes an image: as many principal components."""
SMALLEST_SIDE, LARGEST_SIDE = 32, 256
"""Sides of the images that the networks are made for, powers of two."""
START = 4
"""Side of the generator's first features, and of the discriminator's last."""
LINEAR = 32
"""Side of the linear pictures; what is finer is the correction's."""
_CORRECTION = 0.03
"""Gain of what each resolution adds: at the start some seven grey levels at 64 pixels in all."""
_FURTHEST = 8.0
"""Codes end there: X-rays' come to six, and an image of another kind must not decide."""
_EMPTY = 1e-6
"""Share of the longest axis below which another one is left out: rounding, not images."""
_SLOPE = 0.2


def resolutions(size: int) -> list[int]:
    """``[4, 8, ..., size]``."""
    return [START << i for i in range((size // START).bit_length())]


def channels(side: int, width: int) -> int:
    """Channels at a resolution: ``width`` at 64 pixels, twice as many at half the side.

    Never more than sixteen times ``width``, and never fewer than half of it.
    """
    return min(16 * width, max(width // 2, width * 64 // side))


def reduced(images: Tensor, side: int) -> Tensor:
    """(b, 1, S, S) -> (b, 1, side, side) means over blocks; S a multiple of ``side``."""
    return F.avg_pool2d(images, images.shape[-1] // side)


class _Conv(nn.Conv2d):
    """A convolution with an equalised learning rate (Karras et al., ICLR 2018, section 4.1).

    Weights are standard normal and divided by the root of their inputs' number when they are
    used, so that a step of Adam changes each layer by the same share.
    """

    def __init__(
        self, n_in: int, n_out: int, side: int, stride: int = 1, *, bias: bool = True
    ) -> None:
        padding = (side - 1) // 2
        super().__init__(n_in, n_out, side, stride, padding, bias=bias)
        self._gain = 1 / math.sqrt(n_in * side * side)
        _standard(self)

    def forward(self, input: Tensor) -> Tensor:
        """As `torch.nn.Conv2d`."""
        out: Tensor = self._conv_forward(input, self.weight * self._gain, self.bias)
        return out


class _Linear(nn.Linear):
    """A linear layer with an equalised learning rate, in float32 also under autocast."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out)
        self._gain = 1 / math.sqrt(n_in)
        _standard(self)

    def forward(self, input: Tensor) -> Tensor:
        """As `torch.nn.Linear`."""
        with _float32(input):
            return F.linear(input.float(), self.weight * self._gain, self.bias)


def _float32(given: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Inside, what is computed on the device of ``given`` is in float32 also under autocast."""
    where = given.device.type  # "meta", where memory is estimated, knows no autocast
    return torch.autocast(where, enabled=False) if where != "meta" else contextlib.nullcontext()


def _standard(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _bent(features: Tensor) -> Tensor:
    """The leaky rectifier, with as large a result as its input."""
    return F.leaky_relu(features, _SLOPE) * math.sqrt(2)


class Generator(nn.Module):
    """(b, `LATENT`) standard normal numbers -> (b, 1, size, size) grey.

    Args:
        size: side of the images, a power of two from `SMALLEST_SIDE` to `LARGEST_SIDE`.
        width: channels at 64 pixels.

    Attributes:
        mean: (LINEAR * LINEAR,) the mean image, in [0, 1]; see `learn_axes`.
        axes: (LATENT, LINEAR * LINEAR) principal components, as long as the standard deviation
            along them.
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((LINEAR * LINEAR,), 0.5))
        self.register_buffer("axes", torch.zeros(LATENT, LINEAR * LINEAR))
        self._sides = resolutions(size)
        counts = [channels(side, width) for side in self._sides]
        self.start = _Linear(LATENT, counts[0] * START * START)
        pairs = [(counts[0], counts[0]), *pairwise(counts)]
        self.layers = nn.ModuleList(_Conv(a + 1, b, 3) for a, b in pairs)
        self.grey = nn.ModuleList(_Conv(count, 1, 1) for count in counts)

    def learn_axes(self, pictures: np.ndarray) -> None:
        """Take over the mean and the principal components of training images.

        Args:
            pictures: (n, LINEAR * LINEAR) grey in [0, 1], n at least 2.
        """
        mean, axes = principal_axes(pictures, LATENT)
        self.mean.copy_(torch.from_numpy(mean))
        self.axes.zero_()[: len(axes)].copy_(torch.from_numpy(axes))

    def encode(self, images: Tensor) -> Tensor:
        """The numbers whose linear pictures, at `LINEAR` pixels, come nearest to ``images``.

        Args:
            images: (b, 1, S, S) grey in [0, 1].

        Returns:
            (b, `LATENT`), over the training images of mean 0 and variance 1.
        """
        small = reduced(images, LINEAR).flatten(1)
        squares = self.axes.square().sum(1)
        known = squares > _EMPTY**2 * squares.max()
        codes: Tensor = (small - self.mean) @ self.axes.T / squares.where(known, torch.inf)
        return codes.clamp(-_FURTHEST, _FURTHEST)

    def forward(self, latent: Tensor) -> Tensor:
        """See the class. Outside [0, 1] as far as a linear picture or its correction is."""
        with _float32(latent):
            linear = (self.mean + latent.float() @ self.axes).view(-1, 1, LINEAR, LINEAR)
        features = self.start(latent).view(len(latent), -1, START, START)
        added = torch.zeros_like(linear[:, :, :START, :START])
        for side, layer, grey in zip(self._sides, self.layers, self.grey, strict=True):
            if side > START:
                features, added = _doubled(features), _doubled(added)
            shown = _at(linear, side)
            features = _bent(layer(torch.cat([features, 4 * shown - 2], dim=1)))
            added = added + _CORRECTION * grey(features).float()
        return shown + added


def _at(images: Tensor, side: int) -> Tensor:
    """Images of `LINEAR` pixels at another resolution; somewhat softer at a higher one."""
    if side <= LINEAR:
        return reduced(images, side)
    return F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


def _doubled(images: Tensor) -> Tensor:
    return F.interpolate(images, scale_factor=2.0, mode="bilinear", align_corners=False)


class _Down(nn.Module):
    """Half the side by a 4x4 convolution of stride 2, beside a pooled short cut."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = _Conv(n_in, n_out, 4, stride=2)
        self.short = _Conv(n_in, n_out, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        short: Tensor = self.short(F.avg_pool2d(features, 2))
        return (_bent(self.conv(features)) + short) * math.sqrt(0.5)


class Discriminator(nn.Module):
    """(b, 1, size, size) grey in [0, 1] -> (b,) scores, higher for what looks real.

    Args:
        size: as for `Generator`.
        width: as for `Generator`.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        counts = [channels(side, width) for side in reversed(resolutions(size))]
        self.stem = _Conv(1, counts[0], 1)
        self.down = nn.Sequential(*(_Down(a, b) for a, b in pairwise(counts)))
        self.last = _Conv(counts[-1], counts[-1], 3)
        self.hidden = _Linear(counts[-1] * START * START, counts[-1])
        self.score = _Linear(counts[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        features = _bent(self.last(self.down(_bent(self.stem(2 * images - 1)))))
        score: Tensor = self.score(_bent(self.hidden(features.flatten(1))))
        return score[:, 0]
