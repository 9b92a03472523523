"""Test-time augmentation: the views of an image whose logits are averaged.

``flip``: the recipe's window and its mirror image.

``shift``: the window as it is, and moved up, down, left and right by 1/32 of its side, about as far
as augmentation moves it in training; what comes from outside repeats the border, as there.
``shift-flip``: these and their mirror images.

``ten-crop``: five windows and their mirror images, as in Krizhevsky, Sutskever and Hinton
(NeurIPS 2012), who cut 224 pixels out of 256 at the corners and the centre. Here the windows
have the size of the recipe's own and lie at the corners and the centre of an area 8/7 as wide
and high about the image's centre, so that nothing is magnified. Where the image ends before
(a recipe that takes the whole frame) the area is all there is, and the windows are 7/8 of it:
what they show is then magnified by up to 8/7.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cxrsearch.learn.augment.frames import window

NONE, FLIP, SHIFTED, SHIFTED_FLIP, TEN_CROP = "none", "flip", "shift", "shift-flip", "ten-crop"
TTA = (NONE, FLIP, SHIFTED, SHIFTED_FLIP, TEN_CROP)
MIRRORED = (FLIP, SHIFTED_FLIP, TEN_CROP)
"""Those that show mirror images."""

AREA = 8 / 7
"""Side of the area that ten-crop looks at, over the side of its windows."""

SHIFT_SHARE = 1 / 32
"""How far a shift moves what is seen, of its side."""


class View(NamedTuple):
    """One way to look at an image.

    Args:
        place: top, left, height and width of its window, in pixels of the frame.
        flipped: whether left and right change places.
        shift: how far it is moved down and to the right, of its height and width.
    """

    place: tuple[int, int, int, int]
    flipped: bool
    shift: tuple[float, float] = (0.0, 0.0)

    def of(self, batch: Tensor) -> Tensor:
        """(b, H, W) of its window as it is seen: moved, then mirrored."""
        for axis, share in zip((1, 2), self.shift, strict=True):
            if share:
                side = batch.shape[axis]
                by = max(1, round(abs(share) * side)) * (1 if share > 0 else -1)
                rows = (torch.arange(side, device=batch.device) - by).clamp(0, side - 1)
                batch = batch.index_select(axis, rows)
        return batch.flip(-1) if self.flipped else batch


def views(tta: str, frame: int, crop: int | str) -> list[View]:
    """The views of ``tta``, the plain one first.

    Args:
        tta: one of `TTA`.
        frame: side of the square images in pixels.
        crop: the recipe's window, in units of a 1024 frame.

    Raises:
        ValueError: for another ``tta``.
    """
    if tta not in TTA:
        raise ValueError(f"test-time augmentation {tta!r}: one of {', '.join(TTA)}")
    plain = window(frame, crop)
    mirrored = (False, True) if tta in MIRRORED else (False,)
    if tta == TEN_CROP:
        return [View(place, flip) for place in _ten_crop(frame, plain) for flip in mirrored]
    moves = [(0.0, 0.0)]
    if tta in (SHIFTED, SHIFTED_FLIP):
        moves += [(SHIFT_SHARE, 0.0), (-SHIFT_SHARE, 0.0), (0.0, SHIFT_SHARE), (0.0, -SHIFT_SHARE)]
    return [View(plain, flip, move) for move in moves for flip in mirrored]


def _ten_crop(frame: int, plain: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """The centre and the four corners."""
    rows, columns = (_starts(frame, side) for side in plain[2:])
    tall, wide = rows[3], columns[3]
    corners = [(top, left, tall, wide) for top in rows[:2] for left in columns[:2]]
    return [(rows[2], columns[2], tall, wide), *corners]


def _starts(frame: int, side: int) -> tuple[int, int, int, int]:
    """First, last and central start of the windows along one axis, and their length."""
    area = min(frame, round(side * AREA))
    length = min(side, max(1, round(area / AREA)))
    first = (frame - area) // 2
    return first, first + area - length, (frame - length) // 2, length
