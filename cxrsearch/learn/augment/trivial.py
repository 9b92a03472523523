"""TrivialAugment (Müller & Hutter, ICCV 2021), of what a chest film allows.

Each image gets one operation out of `OPERATIONS`, all as likely, at a strength that is uniform up
to the gene ``trivial``, to either side. The paper's list has colours, solarise, posterise and
equalise too, which make a film that no machine takes; and no mirror images are among these: the
heart would change sides. At the gene's 1 each operation goes as far as `OPERATIONS` says, to where
lungs and heart still are where they were and can be told apart.

An operation changes what the ranges have drawn: angles and shifts are added, factors multiplied.
So an image is sampled once, whatever happens to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

GRAIN_SIDE = 251
"""Side of the tile of noise; a prime, and more than few inputs repeat."""
_GRAIN_SEED = 0


class Operation(NamedTuple):
    """What happens to an image at full strength.

    Args:
        fields: of `Parameters`.
        reach: what is added to them at the strength 1, and taken off at -1; to a factor a share of
            itself. Of noise the strength's size is what counts.
        unit: how people read it, as an `Effect`'s.
    """

    fields: tuple[str, ...] = ()
    reach: float = 0.0
    unit: str = "%"


OPERATIONS: dict[str, Operation] = {
    "identity": Operation(),
    "rotation": Operation(("rotation",), 25.0, "°"),
    "height_shift": Operation(("row_shift",), 0.15),
    "width_shift": Operation(("column_shift",), 0.15),
    "shear": Operation(("shear",), 15.0, "°"),
    "zoom": Operation(("row_zoom", "column_zoom"), 0.25),
    "brightness": Operation(("brightness",), 0.25),
    "contrast": Operation(("contrast",), 0.4),
    "gamma": Operation(("gamma",), 0.5),
    "sharpness": Operation(("sharpness",), 1.0),
    "noise": Operation(("noise",), 0.04),
}
"""Every operation by its name."""

FACTORS = ("row_zoom", "column_zoom", "brightness", "contrast", "gamma", "sharpness")
"""Fields that are multiplied: 1 where nothing happens."""

_MOVED = tuple(dict.fromkeys(name for each in OPERATIONS.values() for name in each.fields))


def one_operation(
    strength: float, found: Mapping[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Draw an operation for each image, on top of what was ``found`` for it.

    The same numbers are drawn whatever the strength.

    Args:
        strength: the gene ``trivial``.
        found: fields of `Parameters`, (n,) each.
        generator: on their device.

    Returns:
        the fields that operations change, and where in the tile of noise each image is.
    """
    n = len(found["rotation"])
    draws = torch.rand((4, n), generator=generator, device=generator.device)
    which = (draws[0] * len(OPERATIONS)).long().clamp(max=len(OPERATIONS) - 1)
    signed = strength * (2 * draws[1] - 1)
    moved = _reaches(generator.device)[:, which] * signed
    fields = dict(zip(_MOVED, moved, strict=True))
    fields["noise"] = fields["noise"].abs()
    after = {
        name: found[name] * (1 + move) if name in FACTORS else found[name] + move
        for name, move in fields.items()
    }
    return {**after, "grain_row": draws[2], "grain_column": draws[3]}


@lru_cache(maxsize=8)
def _reaches(device: torch.device) -> Tensor:
    """(fields, operations), moved once: a copy would hold up every step."""
    rows = [
        [each.reach if name in each.fields else 0.0 for each in OPERATIONS.values()]
        for name in _MOVED
    ]
    return torch.tensor(rows, device=device)


def sharpened(images: Tensor, factor: Tensor) -> Tensor:
    """(b, 1, H, W) images, details times (b,) ``factor``: 0 smooths, 2 sharpens, 1 leaves them.

    Details are what a mean over 3 x 3 pixels takes away; the border is repeated.
    """
    smooth = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return torch.lerp(smooth, images, factor[:, None, None, None])


def noisy(images: Tensor, level: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """(b, 1, H, W) images with Gaussian noise of the standard deviation (b,) ``level``.

    It is cut from one tile, so that what happens to an image is all in its parameters.

    Args:
        images: any.
        level: of each image.
        row: (b,) in [0, 1), where its noise begins in the tile.
        column: (b,) likewise.
    """
    rows, columns = (
        ((begin * GRAIN_SIDE).long()[:, None] + torch.arange(side, device=begin.device))
        % GRAIN_SIDE
        for begin, side in zip((row, column), images.shape[-2:], strict=True)
    )
    tile = _grain(images.device)[rows[:, :, None], columns[:, None, :]]
    return images + level[:, None, None, None] * tile[:, None]


@lru_cache(maxsize=8)
def _grain(device: torch.device) -> Tensor:
    """(`GRAIN_SIDE`, `GRAIN_SIDE`) of the normal distribution, the same on every device."""
    made = torch.Generator().manual_seed(_GRAIN_SEED)
    return torch.randn((GRAIN_SIDE, GRAIN_SIDE), generator=made).to(device)
