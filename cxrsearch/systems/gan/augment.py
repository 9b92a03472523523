"""Augmentation that gradients pass through, of real and of generated images alike.

Differentiable augmentation (Zhao et al., NeurIPS 2020): the discriminator sees every image
changed at random, so that with few images it cannot learn them by heart, and the generator is
taught through the same changes, so that it does not learn to make them. But for shift and cutout,
ranges are narrower than the paper's: at those, a discriminator learns to tell sharp X-rays from
blurred ones much more slowly.
"""

from __future__ import annotations

import torch
from torch import Tensor

DRAWS = 6
"""Uniform numbers that the changes of one image take."""
BRIGHTNESS = 0.1
"""Added to grey in [0, 1], to either side."""
CONTRAST = 0.2
"""Factor on the distance to the image's mean: 1 - c to 1 + c."""
SHIFT = 0.125
"""Of the side, in either direction; what comes in is black."""
CUTOUT = 0.5
"""Side of the square that becomes black, as a share of the image's; parts may lie outside."""


def diff_augment(images: Tensor, draws: Tensor) -> Tensor:
    """Brightness, contrast, translation and cutout, an own draw for each image.

    Args:
        images: (b, 1, S, S) grey in [0, 1]; gradients pass through to them.
        draws: (b, `DRAWS`) uniform in [0, 1).

    Returns:
        (b, 1, S, S), not cut off at 0 and 1.
    """
    tone = draws[:, :2, None, None, None]
    changed = images + BRIGHTNESS * (2 * tone[:, 0] - 1)
    mean = changed.mean(dim=(1, 2, 3), keepdim=True)
    changed = mean + (changed - mean) * (1 + CONTRAST * (2 * tone[:, 1] - 1))
    return _cut_out(_moved(changed, draws[:, 2:4]), draws[:, 4:6])


def _moved(images: Tensor, draws: Tensor) -> Tensor:
    """Moved by whole pixels; outside is black."""
    side = images.shape[-1]
    most = round(SHIFT * side)
    by = torch.floor(draws * (2 * most + 1)).long() - most
    wanted = torch.arange(side, device=images.device) + by[:, :, None]
    inside = ((wanted >= 0) & (wanted < side)).to(images.dtype)
    wanted = wanted.clamp(0, side - 1)
    rows = wanted[:, 0, None, :, None].expand_as(images)
    columns = wanted[:, 1, None, None, :].expand_as(images)
    moved = images.gather(2, rows).gather(3, columns)
    return moved * inside[:, 0, None, :, None] * inside[:, 1, None, None, :]


def _cut_out(images: Tensor, draws: Tensor) -> Tensor:
    """A square of each image black."""
    side = images.shape[-1]
    half = CUTOUT * side / 2
    places = torch.arange(side, device=images.device) + 0.5
    near = (places - draws[:, :, None] * side).abs() <= half
    hole = near[:, 0, None, :, None] & near[:, 1, None, None, :]
    return images.masked_fill(hole, 0.0)
