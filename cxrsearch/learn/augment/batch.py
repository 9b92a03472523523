"""Augmentation of a batch, on whatever device it is.

First the geometry, then flips, brightness and contrast, gamma, sharpness and noise; at last what is
erased.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cxrsearch.learn.mixes import inside
from cxrsearch.learn.recipe import AUGMENTATION, Recipe, without

from .draws import Parameters, sample_parameters
from .erasing import erase
from .frames import to_float
from .geometry import affine_matrices, flip, warp
from .trivial import noisy, sharpened

OFF = without(AUGMENTATION)
"""Every gene of the group at the value at which it does nothing."""


class Augment:
    """Augmentation of a recipe, on whatever device the batch is.

    Args:
        recipe: the genes of the group `AUGMENTATION`; what is 0 costs nothing.

    Attributes:
        active: whether anything is done at all.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        ranges = ("rotation", "width_shift", "height_shift", "shear", "zoom")
        self._trivial = recipe.trivial != 0
        self._warps = self._trivial or any(getattr(recipe, name) != 0 for name in ranges)
        self._tones = self._trivial or recipe.brightness != 0 or recipe.contrast != 0
        self.active = any(getattr(recipe, gene) != off for gene, off in OFF.items())

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Augment each image with its own draw.

        Args:
            batch: (b, H, W) uint8.
            generator: on the batch's device.

        Returns:
            (b, 1, H, W) float32 in [0, 1].
        """
        if not self.active:
            return to_float(batch)
        return self.apply(batch, sample_parameters(self.recipe, len(batch), generator))

    def apply(self, batch: Tensor, parameters: Parameters) -> Tensor:
        """(b, H, W) uint8 -> (b, 1, H, W) float32 in [0, 1] under given parameters."""
        images = to_float(batch)
        if self._warps:
            images = warp(images, affine_matrices(parameters, *images.shape[-2:]))
        if self.recipe.horizontal_flip:
            images = flip(images, parameters.flip_columns, 3)
        if self.recipe.vertical_flip:
            images = flip(images, parameters.flip_rows, 2)
        if self._tones:
            images = _tone(images, parameters)
        if self._trivial:
            images = _film(images, parameters)
        return _erased(images, parameters) if self.recipe.erasing else images


def _tone(images: Tensor, parameters: Parameters) -> Tensor:
    """Brightness times the image, then contrast about the image's own mean, kept in [0, 1]."""
    images = images * parameters.brightness[:, None, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (mean + (images - mean) * parameters.contrast[:, None, None, None]).clamp_(0, 1)


def _film(images: Tensor, parameters: Parameters) -> Tensor:
    """Gamma, sharpness and noise, kept in [0, 1]."""
    images = images.pow(parameters.gamma[:, None, None, None])
    images = sharpened(images, parameters.sharpness)
    grain = (parameters.noise, parameters.grain_row, parameters.grain_column)
    return noisy(images, *grain).clamp_(0, 1)


def _erased(images: Tensor, parameters: Parameters) -> Tensor:
    where = inside(
        parameters.erased_top, parameters.erased_left,
        parameters.erased_height, parameters.erased_width, list(images.shape[-2:]),
    )  # fmt: skip
    return erase(images, where)
