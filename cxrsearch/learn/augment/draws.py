"""What is drawn for each image of a batch, and from which stream of random numbers.

The ranges draw from the generator that an epoch has. Whatever came later has a stream of its own
beside it, so that recipes which differ in one gene otherwise see the same images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from cxrsearch.learn.recipe import Recipe
from search.seeds import derive

from .erasing import erased_rectangles
from .trivial import one_operation


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
        gamma: exponent of the grey levels.
        sharpness: factor on the details.
        noise: standard deviation of the noise.
        grain_row: where its noise begins in the tile, as a share of the tile's side.
        grain_column: the same, along the width.
        erased_top: where the rectangle that is erased begins, as a share of the height.
        erased_left: the same, of the width.
        erased_height: its height, as a share; 0: nothing is erased.
        erased_width: its width.
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
    gamma: Tensor
    sharpness: Tensor
    noise: Tensor
    grain_row: Tensor
    grain_column: Tensor
    erased_top: Tensor
    erased_left: Tensor
    erased_height: Tensor
    erased_width: Tensor


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
"""Every gene of the group that is a range, in the order in which they draw; a new one comes last.

``erasing`` and ``trivial`` are none: they have draws of their own."""

REST: dict[str, float | bool] = {
    **{name: effect.rest for effect in EFFECTS.values() for name in effect.fields},
    **dict.fromkeys(("gamma", "sharpness"), 1.0),
    **dict.fromkeys(("noise", "grain_row", "grain_column"), 0.0),
    **dict.fromkeys(("erased_top", "erased_left", "erased_height", "erased_width"), 0.0),
}
"""Every field of `Parameters` at its value where nothing happens."""

_beside: WeakKeyDictionary[torch.Generator, dict[str, tuple[int, torch.Generator]]]
_beside = WeakKeyDictionary()


def recording(device: torch.device) -> bool:
    """Whether what is computed on ``device`` now is being recorded as a CUDA graph."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def beside(generator: torch.Generator, name: str) -> torch.Generator:
    """The stream ``name`` beside that of ``generator``: on its device, and from its seed.

    It goes on where the last call with the same generator left it, and begins anew once that has
    been seeded anew.
    """
    of_it = _beside.setdefault(generator, {})
    if name in of_it and recording(generator.device):
        return of_it[name][1]  # while a CUDA graph is recorded, torch refuses to tell the seed
    seed = generator.initial_seed()  # known to the host: nothing waits for the device
    begun, own = of_it.get(name, (None, None))
    if own is None:
        own = torch.Generator(generator.device)
    if begun != seed:
        of_it[name] = (seed, own.manual_seed(derive(seed, name)))
    return own


def seed_streams(generator: torch.Generator, seed: int) -> None:
    """Begin anew from ``seed``, with all streams `beside` that there are."""
    generator.manual_seed(seed)
    of_it = _beside.get(generator, {})
    for name, (_, own) in list(of_it.items()):
        of_it[name] = (seed, own.manual_seed(derive(seed, name)))


def streams(generator: torch.Generator) -> list[torch.Generator]:
    """``generator`` and all streams `beside` it that there are."""
    return [generator, *(own for _, own in _beside.get(generator, {}).values())]


def sample_parameters(recipe: Recipe, n: int, generator: torch.Generator) -> Parameters:
    """Draw `Parameters` for ``n`` images, each gene uniform over its range.

    The same numbers are drawn whatever the ranges are, so two recipes that differ in one
    range see otherwise the same augmentation.

    Args:
        recipe: the genes of the group `AUGMENTATION`.
        n: images.
        generator: on the device where the parameters are wanted.
    """
    drawn = [(name, gene) for gene, effect in EFFECTS.items() for name in effect.fields]
    draws = torch.rand((len(drawn), n), generator=generator, device=generator.device)
    spread = 2 * draws - 1
    rest = {value: torch.full((n,), value, device=generator.device) for value in (0.0, 1.0)}
    found = {name: rest[value] for name, value in REST.items()}
    for row, (name, gene) in enumerate(drawn):
        reach, still = getattr(recipe, gene), EFFECTS[gene].rest
        flag = isinstance(still, bool)
        found[name] = (draws[row] < 0.5) & reach if flag else still + reach * spread[row]
    if recipe.trivial:
        found |= one_operation(recipe.trivial, found, beside(generator, "trivial"))
    if recipe.erasing:
        found |= erased_rectangles(recipe.erasing, n, beside(generator, "erasing"))
    return Parameters(**found)
