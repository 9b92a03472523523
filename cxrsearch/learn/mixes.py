"""The mixes by name: how the images of a batch are laid into one another.

A mixture is made of an image and of those that follow it in its batch (the last are followed by the
first), whose order is random. A mix says how much of each part is in each pixel of the mixture. A
part's share of the target is its share of the picture.

To add one, write a function and enter it in `MIXES`. Its keyword-only arguments are the genes that
it takes: the gene ``mix`` gets its name as a choice, and its genes act with it. Torch is imported
where something is computed, so that a space is checked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MIX_DRAWS = 3
"""Uniform numbers that a mix may use of an image."""

CENTRE_LEAST = 0.25
"""The centre of a mosaic is at least that share of a side from each border."""

_NODES = 4097  # of the table of a Beta distribution's quantiles


def mixup(draws: Tensor, size: Sequence[int], *, mix_alpha: float) -> Tensor:
    """Two images, one over the other (Zhang et al., "mixup", ICLR 2018, eq. 1).

    The first has the weight l, drawn from Beta(mix_alpha, mix_alpha) for each image.

    Args:
        draws: (`MIX_DRAWS`, b) uniform in [0, 1), an image's own.
        size: height and width of the images.
        mix_alpha: the smaller, the more there is of one image alone.

    Returns:
        (p, b, 1, H, W), how much of the image itself (first) and of the p - 1 after it is in each
        pixel, or (p, b, 1, 1, 1) where all pixels have the same. All mixes take and return this.
    """
    return _and_the_rest(beta_quantiles(draws[0], mix_alpha)[:, None, None, None])


def cutmix(draws: Tensor, size: Sequence[int], *, mix_alpha: float) -> Tensor:
    """A rectangle of another image in its own place (Yun et al., "CutMix", ICCV 2019, eq. 1, 2).

    It has the image's shape and its centre anywhere. It takes 1 - l of the area, l from
    Beta(mix_alpha, mix_alpha), less what lies beyond the border: shares are those of the pixels.
    """
    sides = (1 - beta_quantiles(draws[0], mix_alpha)).sqrt()
    rectangle = inside(draws[1] - sides / 2, draws[2] - sides / 2, sides, sides, size)
    return _and_the_rest(1 - rectangle.float())


def mosaic(draws: Tensor, size: Sequence[int]) -> Tensor:
    """Four images in a grid whose centre is random, each part in its own place.

    The grid is that of Bochkovskiy et al. ("YOLOv4", 2020). Images are cut, as by Takahashi et al.
    ("RICAP", ACML 2018), and not shrunk, and the parts stay where they are: an apex stays one.
    """
    import torch

    row, column = (CENTRE_LEAST + (1 - 2 * CENTRE_LEAST) * draw for draw in draws[1:])
    zero, one = torch.zeros_like(row), torch.ones_like(row)
    parts = [
        inside(top, left, height, width, size).float()
        for top, height in ((zero, row), (row, one))
        for left, width in ((zero, column), (column, one))
    ]
    return torch.stack(parts)


MIXES: dict[str, Callable[..., Tensor]] = {"mixup": mixup, "cutmix": cutmix, "mosaic": mosaic}
"""Every mix by its name: ``(draws, size, *, genes) -> how much of each image in each pixel``."""


def beta_quantiles(uniform: Tensor, alpha: float) -> Tensor:
    """``uniform`` numbers in [0, 1) as numbers of Beta(alpha, alpha).

    One number each, whatever ``alpha``, and by multiplications alone: torch's own sampler rejects
    some of its draws, and how many depends on ``alpha``.
    """
    table = _quantiles(alpha, uniform.device)
    place = uniform * (_NODES - 1)
    below = place.long().clamp(max=_NODES - 2)
    low, high = table[below], table[below + 1]
    return low + (high - low) * (place - below)


@lru_cache(maxsize=64)
def _quantiles(alpha: float, device: torch.device) -> Tensor:
    """(`_NODES`,) of Beta(alpha, alpha), moved once: a copy would hold up every step."""
    import numpy as np
    import torch
    from scipy.special import betaincinv

    # One half by symmetry: near 1 the function is less exact than near 0.
    lower = betaincinv(alpha, alpha, np.linspace(0, 0.5, _NODES // 2 + 1))
    every = np.concatenate([lower, 1 - lower[-2::-1]])
    return torch.from_numpy(every.astype(np.float32)).to(device)


def inside(top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: Sequence[int]) -> Tensor:
    """Which pixels have their centre in a rectangle: (b, 1, H, W) bool.

    Args:
        top: (b,) where it begins, as a share of the image's height.
        left: (b,) of its width.
        height: (b,) how high it is, as a share of the image's height.
        width: (b,) how wide.
        size: H and W.
    """
    import torch

    rows, columns = (
        (torch.arange(side, device=top.device, dtype=top.dtype) + 0.5) / side for side in size
    )
    down = (rows >= top[:, None]) & (rows < (top + height)[:, None])
    across = (columns >= left[:, None]) & (columns < (left + width)[:, None])
    return (down[:, :, None] & across[:, None, :])[:, None]


def _and_the_rest(first: Tensor) -> Tensor:
    import torch

    return torch.stack([first, 1 - first])
