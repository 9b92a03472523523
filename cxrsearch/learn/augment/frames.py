"""From the cache's frames to what a network sees, once: the central window, cut and resized."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cxrsearch.learn.recipe import size_of

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


def shrunk(batch: Tensor, size: tuple[int, int]) -> Tensor:
    """(b, H, W) uint8 -> (b, height, width) uint8 with anti-aliasing, on the batch's device."""
    return batch if batch.shape[1:] == size else _resize(batch, *size)


def to_float(batch: Tensor) -> Tensor:
    """(b, H, W) uint8 -> (b, 1, H, W) float32 in [0, 1]."""
    return batch[:, None].float().div_(255)
