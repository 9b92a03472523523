"""A first convolution for grey images that equals the three-channel one, borders included.

ImageNet networks take RGB. A grey image g in [0, 1] reaches them as three equal channels,
each normalised with its own mean m_c and deviation s_c, and is padded with zeros *after*
that. The convolution with the filters W_c is therefore

    conv(g, U) - conv(1, V),    U = sum_c W_c / s_c,    V = sum_c W_c m_c / s_c,

where 1 is an image of ones. Inside, the second term is one number a filter; within reach
of the border the padding takes part of it away, so it is a map and not a bias. It depends
on the image's size alone and is computed once for the whole batch.

The module keeps the same two filters around the shared mean m and deviation s of the three
channels: ``weight`` = s U and ``offset`` = V - m U, so that

    out = conv((g - m) / s, weight) - conv(1, offset) (+ bias).

That is the identical function, but the weights keep the scale that optimisers, weight
decay and initialisers expect, and inputs are centred.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Red, green and blue of ImageNet, as torchvision's weights expect them."""


def fold(
    weight: Tensor,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> tuple[Tensor, Tensor]:
    """`GreyStem`'s ``weight`` and ``offset`` for three-channel filters.

    Args:
        weight: (out, 3, kh, kw) filters for normalised input.
        mean: of the three channels, by which it is normalised.
        std: likewise, their deviations.

    Returns:
        Two (out, 1, kh, kw) tensors of the same dtype.
    """
    wide = weight.detach().double()
    m = torch.tensor(mean, dtype=torch.float64, device=wide.device).view(1, 3, 1, 1)
    s = torch.tensor(std, dtype=torch.float64, device=wide.device).view(1, 3, 1, 1)
    grey = (wide / s).sum(1, keepdim=True)
    shift = (wide * m / s).sum(1, keepdim=True)
    level, spread = sum(mean) / 3, sum(std) / 3
    return (grey * spread).to(weight.dtype), (shift - grey * level).to(weight.dtype)


class GreyStem(nn.Module):
    """The one-channel equal of a three-channel convolution (see the module's text).

    Forward takes (b, 1, H, W) grey in [0, 1] and gives (b, out, H', W').

    Args:
        conv: the convolution to replace: 3 input channels, zero padding, one group.
        mean: of the three channels, by which its input is normalised.
        std: likewise, their deviations.
        same: it pads as TensorFlow does, by the size of the image, so that ceil(side / stride) come
            out; where the padding is odd, one more at the right and at the bottom.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        same: bool = False,
    ) -> None:
        super().__init__()
        if conv.in_channels != 3 or conv.groups != 1 or conv.padding_mode != "zeros":
            raise ValueError(f"a stem of 3 channels, one group and zero padding, not {conv}")
        self.mean, self.std, self.same = tuple(mean), tuple(std), same
        self.level, self.spread = sum(mean) / 3, sum(std) / 3
        weight, offset = fold(conv.weight, mean, std)
        self.weight = nn.Parameter(weight)
        self.offset = nn.Parameter(offset)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        self.stride, self.padding, self.dilation = conv.stride, conv.padding, conv.dilation

    def _convolve(self, image: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if self.same:
            image = F.pad(
                image, self._missing(image.shape[-1], 1) + self._missing(image.shape[-2], 0)
            )
        return F.conv2d(image, weight, bias, self.stride, self.padding, self.dilation)

    def _missing(self, side: int, axis: int) -> tuple[int, int]:
        """Zeros before and after a side of the image."""
        stride, reach = self.stride[axis], self.dilation[axis] * (self.weight.shape[2 + axis] - 1)
        count = max(0, (-(-side // stride) - 1) * stride + reach + 1 - side)
        return count // 2, count - count // 2

    def forward(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) grey in [0, 1] -> (b, out, H', W')."""
        border = self._convolve(torch.ones_like(grey[:1]), self.offset)
        out = self._convolve((grey - self.level) / self.spread, self.weight, self.bias)
        # One input channel says nothing about the layout, so it is asked for here.
        return (out - border).contiguous(memory_format=torch.channels_last)
