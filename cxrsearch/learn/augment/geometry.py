"""Where each pixel of an augmented image comes from.

Geometry means what the ranges of Keras's ``ImageDataGenerator`` mean, so that recipes
written for it carry over. For an output pixel at (row, column) from the image's centre, the
input pixel that it shows is ``R T S Z (row, column)`` with

    R = [[cos a, -sin a], [sin a, cos a]]     rotation by a
    T = shift by (row shift, column shift) pixels
    S = [[1, -sin b], [0, cos b]]             shear by b
    Z = diag(row zoom, column zoom)           above 1 shows more of the image

all about the true centre ((H - 1) / 2, (W - 1) / 2), in pixels, so that a rotation is one
on images that are not square too. What comes from outside repeats the border (Keras's
``fill_mode='nearest'``); sampling is bilinear.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .draws import Parameters


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
    halves = [side / 2 for side in images.shape[-2:]]  # numbers: a tensor would be a copy
    # From pixels to grid_sample's units, in which each axis runs from -1 to 1 over its own
    # length, x before y.
    rows = []
    for i in (1, 0):
        linear = [matrices[:, i, j] * halves[j] / halves[i] for j in (1, 0)]
        rows.append(torch.stack([*linear, matrices[:, i, 2] / halves[i]], dim=1))
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, "bilinear", "border", align_corners=False)


def flip(images: Tensor, flags: Tensor, dim: int) -> Tensor:
    """(b, 1, H, W) images, those of (b,) ``flags`` turned over along ``dim``."""
    return torch.where(flags[:, None, None, None], images.flip(dim), images)
