"""Random erasing (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020).

Some images lose a rectangle of 2 to 20% of their area, between 0.3 and 3.3 times as high as wide
(in shares of the image's sides), wholly inside the image. The paper's rectangles take up to 40%
and are filled with noise; on a chest film that covers a lung, and its texture is one that a
network could tell from X-rays, so they are smaller and filled with the image's own mean.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEAST_AREA, MOST_AREA = 0.02, 0.2
"""Area of a rectangle, as a share of the image's; uniform between them."""
TALLEST = 10 / 3
"""Height over width of a rectangle at most, and width over height; its logarithm is uniform."""


def erased_rectangles(share: float, n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw which of ``n`` images lose a rectangle, and where.

    The same numbers are drawn whatever the share, and the images of a smaller share are among
    those of a larger one.

    Args:
        share: of the images that lose one.
        n: images.
        generator: on the device where they are wanted.

    Returns:
        (n,) ``erased_top``, ``erased_left``, ``erased_height``, ``erased_width`` in shares of the
        image's sides; a height and width of 0 erase nothing.
    """
    draws = torch.rand((5, n), generator=generator, device=generator.device)
    area = LEAST_AREA + (MOST_AREA - LEAST_AREA) * draws[1]
    longer = torch.exp(math.log(TALLEST) * (draws[2] - 0.5))  # the root of height over width
    some = draws[0] < share
    height, width = area.sqrt() * longer * some, area.sqrt() / longer * some
    return {
        "erased_top": (1 - height) * draws[3] * some,
        "erased_left": (1 - width) * draws[4] * some,
        "erased_height": height,
        "erased_width": width,
    }


def erase(images: Tensor, where: Tensor) -> Tensor:
    """(b, 1, H, W) images with the mean of each in the place of what is ``where``."""
    return torch.where(where, images.mean(dim=(1, 2, 3), keepdim=True), images)
