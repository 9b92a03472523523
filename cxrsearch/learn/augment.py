"""Images for the network: the central window once, augmentation on every batch.

Geometry means what the ranges of Keras's ``ImageDataGenerator`` mean, so that recipes
written for it carry over. For an output pixel at (row, column) from the image's centre, the
input pixel that it shows is ``R T S Z (row, column)`` with

    R = [[cos a, -sin a], [sin a, cos a]]     rotation by a
    T = shift by (row shift, column shift) pixels
    S = [[1, -sin b], [0, cos b]]             shear by b
    Z = diag(row zoom, column zoom)           above 1 shows more of the image

all about the true centre ((H - 1) / 2, (W - 1) / 2), in pixels, so that a rotation is one
on images that are not square too. What comes from outside repeats the border (Keras's
``fill_mode='nearest'``); sampling is bilinear. Flips follow, then brightness and contrast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .recipe import AUGMENTATION, Recipe, size_of, without

FRAME = 1024
"""Side of the frame in whose units ``crop`` is given, whatever the images' real size."""

_CHUNK = 1 << 24  # pixels read and resized at once


def window(frame: int, crop: int | str) -> tuple[int, int, int, int]:
    """Top, left, height and width in pixels of the central window ``crop`` of a square frame.

    Args:
        frame: side of the images in pixels.
        crop: a side or ``"HxW"`` in units of a 1024 frame.
    """
    height, width = (min(frame, max(1, round(s * frame / FRAME))) for s in size_of(crop))
    return (frame - height) // 2, (frame - width) // 2, height, width


def prepare(
    images: NDArray[np.uint8],
    rows: NDArray[Any],
    crop: int | str,
    input_size: int | str,
) -> Tensor:
    """The central window of each image, resized with anti-aliasing to what the network sees.

    A window of another aspect than ``input_size`` is stretched to it. Where nothing has to
    be cut or resized, pixels are copied as they are.

    Args:
        images: (n, F, F) uint8, a memory map or an array.
        rows: (m,) which of them.
        crop: window in units of a 1024 frame.
        input_size: a side or ``"HxW"`` in pixels.

    Returns:
        (m, H, W) uint8 on the CPU.
    """
    return cut(images, rows, window(images.shape[1], crop), input_size)


def cut(
    images: NDArray[np.uint8],
    rows: NDArray[Any],
    place: tuple[int, int, int, int],
    input_size: int | str,
) -> Tensor:
    """What `prepare` does, of any window: ``place`` is its top, left, height and width."""
    height, width = size_of(input_size)
    top, left, tall, wide = place
    rows = np.asarray(rows, dtype=np.int64)
    out = torch.empty((len(rows), height, width), dtype=torch.uint8)
    step = max(1, _CHUNK // max(tall * wide, height * width))
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        part = torch.from_numpy(images[chosen, top : top + tall, left : left + wide])
        out[start : start + step] = part if (tall, wide) == (height, width) else _resize(
            part, height, width
        )  # fmt: skip
    return out


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    resized = F.interpolate(
        images[:, None].float(), (height, width), mode="bilinear", antialias=True
    )
    return resized[:, 0].round_().clamp_(0, 255).to(torch.uint8)


def to_float(batch: Tensor) -> Tensor:
    """(b, H, W) uint8 -> (b, 1, H, W) float32 in [0, 1]."""
    return batch[:, None].float().div_(255)


@dataclass(frozen=True)
class Parameters:
    """What happens to each image of a batch; every field is a (b,) tensor.

    Args:
        rotation: degrees.
        row_shift: share of the height.
        column_shift: share of the width.
        shear: degrees.
        row_zoom: factor along the height.
        column_zoom: factor along the width.
        flip_columns: bool, left and right change places.
        flip_rows: bool, top and bottom change places.
        brightness: factor.
        contrast: factor on the distance to the image's mean.
    """

    rotation: Tensor
    row_shift: Tensor
    column_shift: Tensor
    shear: Tensor
    row_zoom: Tensor
    column_zoom: Tensor
    flip_columns: Tensor
    flip_rows: Tensor
    brightness: Tensor
    contrast: Tensor


class Effect(NamedTuple):
    """What a gene of the group `AUGMENTATION` sets of an image's `Parameters`.

    Args:
        fields: one draw each. A number spreads them about their rest, a flag sets them for half
            of the images.
        rest: their value where nothing happens.
        unit: how people read it: ``°``, or ``%`` of a share.
    """

    fields: tuple[str, ...]
    rest: float | bool = 0.0
    unit: str = ""


EFFECTS: dict[str, Effect] = {
    "rotation": Effect(("rotation",), unit="°"),
    "height_shift": Effect(("row_shift",), unit="%"),
    "width_shift": Effect(("column_shift",), unit="%"),
    "shear": Effect(("shear",), unit="°"),
    "zoom": Effect(("row_zoom", "column_zoom"), rest=1.0, unit="%"),
    "horizontal_flip": Effect(("flip_columns",), rest=False),
    "vertical_flip": Effect(("flip_rows",), rest=False),
    "brightness": Effect(("brightness",), rest=1.0, unit="%"),
    "contrast": Effect(("contrast",), rest=1.0, unit="%"),
}
"""Every gene of the group, in the order in which they draw; a new one comes last."""


def sample_parameters(recipe: Recipe, n: int, generator: torch.Generator) -> Parameters:
    """Draw `Parameters` for ``n`` images, each gene uniform over its range.

    The same numbers are drawn whatever the ranges are, so two recipes that differ in one
    range see otherwise the same augmentation.

    Args:
        recipe: the genes of `EFFECTS`.
        n: images.
        generator: on the device where the parameters are wanted.
    """
    drawn = [(name, gene) for gene, effect in EFFECTS.items() for name in effect.fields]
    draws = torch.rand((len(drawn), n), generator=generator, device=generator.device)
    spread = 2 * draws - 1
    found = {}
    for row, (name, gene) in enumerate(drawn):
        reach, rest = getattr(recipe, gene), EFFECTS[gene].rest
        flag = isinstance(rest, bool)
        found[name] = (draws[row] < 0.5) & reach if flag else rest + reach * spread[row]
    return Parameters(**found)


def affine_matrices(parameters: Parameters, height: int, width: int) -> Tensor:
    """(b, 2, 3) matrices from output to input (row, column), in pixels from the centre."""
    angle, shear = torch.deg2rad(parameters.rotation), torch.deg2rad(parameters.shear)
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rotate = _matrix([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
    slant = _matrix([[one, -shear.sin()], [zero, shear.cos()]])
    zoom = torch.stack([parameters.row_zoom, parameters.column_zoom], dim=1)
    shift = torch.stack([parameters.row_shift * height, parameters.column_shift * width], dim=1)
    linear = rotate @ slant * zoom[:, None, :]
    return torch.cat([linear, rotate @ shift[:, :, None]], dim=2)


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Resample (b, 1, H, W) images with `affine_matrices`; bilinear, border repeated."""
    height, width = images.shape[-2:]
    half = torch.tensor([height / 2, width / 2], dtype=images.dtype, device=images.device)
    # From pixels to grid_sample's units, in which each axis runs from -1 to 1 over its own
    # length, x before y.
    linear = matrices[:, :, :2] * half[None, None, :] / half[None, :, None]
    theta = torch.cat([linear, matrices[:, :, 2:] / half[None, :, None]], dim=2)
    theta = torch.cat([theta[:, :, :2].flip(1, 2), theta[:, :, 2:].flip(1)], dim=2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, "bilinear", "border", align_corners=False)


def _flip(images: Tensor, flags: Tensor, dim: int) -> Tensor:
    return torch.where(flags[:, None, None, None], images.flip(dim), images)


OFF = without(AUGMENTATION)
"""Every gene of the group at the value at which it does nothing."""


class Augment:
    """Augmentation of a recipe, on whatever device the batch is.

    Args:
        recipe: the genes of `EFFECTS`; what is 0 costs nothing.

    Attributes:
        active: whether anything is done at all.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        ranges = ("rotation", "width_shift", "height_shift", "shear", "zoom")
        self._warps = any(getattr(recipe, name) != 0 for name in ranges)
        self._tones = recipe.brightness != 0 or recipe.contrast != 0
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
            images = _flip(images, parameters.flip_columns, 3)
        if self.recipe.vertical_flip:
            images = _flip(images, parameters.flip_rows, 2)
        return _tone(images, parameters) if self._tones else images


def _tone(images: Tensor, parameters: Parameters) -> Tensor:
    """Brightness times the image, then contrast about the image's own mean, kept in [0, 1]."""
    images = images * parameters.brightness[:, None, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (mean + (images - mean) * parameters.contrast[:, None, None, None]).clamp_(0, 1)
