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

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Red, green and blue of ImageNet, as torchvision's weights expect them."""

GREY_MEAN = sum(IMAGENET_MEAN) / 3
GREY_STD = sum(IMAGENET_STD) / 3


def fold(weight: Tensor) -> tuple[Tensor, Tensor]:
    """`GreyStem`'s ``weight`` and ``offset`` for three-channel filters.

    Args:
        weight: (out, 3, kh, kw) filters for input normalised with ImageNet's figures.

    Returns:
        Two (out, 1, kh, kw) tensors of the same dtype.
    """
    wide = weight.detach().double()
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64, device=wide.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, dtype=torch.float64, device=wide.device).view(1, 3, 1, 1)
    grey = (wide / std).sum(1, keepdim=True)
    shift = (wide * mean / std).sum(1, keepdim=True)
    return (grey * GREY_STD).to(weight.dtype), (shift - grey * GREY_MEAN).to(weight.dtype)


class GreyStem(nn.Module):
    """The one-channel equal of a three-channel convolution (see the module's text).

    Forward takes (b, 1, H, W) grey in [0, 1] and gives (b, out, H', W').

    Args:
        conv: the convolution to replace: 3 input channels, zero padding, one group.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if conv.in_channels != 3 or conv.groups != 1 or conv.padding_mode != "zeros":
            raise ValueError(f"a stem of 3 channels, one group and zero padding, not {conv}")
        weight, offset = fold(conv.weight)
        self.weight = nn.Parameter(weight)
        self.offset = nn.Parameter(offset)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        self.stride, self.padding, self.dilation = conv.stride, conv.padding, conv.dilation

    def _convolve(self, image: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.conv2d(image, weight, bias, self.stride, self.padding, self.dilation)

    def forward(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) grey in [0, 1] -> (b, out, H', W')."""
        border = self._convolve(torch.ones_like(grey[:1]), self.offset)
        out = self._convolve((grey - GREY_MEAN) / GREY_STD, self.weight, self.bias)
        # One input channel says nothing about the layout, so it is asked for here.
        return (out - border).contiguous(memory_format=torch.channels_last)
