"""Augmented copies of single pictures: the online augmentation, kept as 8-bit pictures.

What happens to a copy depends on the seed, the image's name and the copy's number alone, so
copies can be made in any order, and some of them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import torch

from cxrsearch.learn.augment import Augment, Parameters, sample_parameters
from cxrsearch.learn.recipe import Recipe
from search.seeds import derive

REPORT_RANGES: Mapping[str, Any] = {
    "rotation": 10.0,
    "width_shift": 0.05,
    "height_shift": 0.05,
    "shear": 0.04,
    "zoom": 0.04,
    "brightness": 0.0,
    "contrast": 0.0,
    "horizontal_flip": True,
    "vertical_flip": False,
}
"""Every range by its gene, with what the team's report settled on."""

_CHUNK = 1 << 23  # pixels of copies made at once; each takes some 30 bytes on the way

_STILL = {"row_zoom": 1.0, "column_zoom": 1.0, "brightness": 1.0, "contrast": 1.0}
_FLAGS = ("flip_columns", "flip_rows")


def draw_parameters(recipe: Recipe, copies: int, seed: int, name: str) -> Parameters:
    """What happens to each copy of the image ``name``: fields of shape (copies,)."""
    draws = []
    for number in range(1, copies + 1):
        generator = torch.Generator().manual_seed(derive(seed, "copy", name, number))
        draws.append(sample_parameters(recipe, 1, generator))
    return Parameters(
        **{f.name: torch.cat([getattr(d, f.name) for d in draws]) for f in fields(Parameters)}
    )


def make_copies(picture: np.ndarray, recipe: Recipe, parameters: Parameters) -> np.ndarray:
    """The copies of one picture under given parameters.

    Args:
        picture: (h, w) uint8.
        recipe: its ranges say which steps there are.
        parameters: fields of shape (n,).

    Returns:
        (n, h, w) uint8.
    """
    augment, count = Augment(recipe), len(parameters.rotation)
    out = np.empty((count, *picture.shape), np.uint8)
    batch = torch.from_numpy(np.array(picture))[None]
    step = max(1, _CHUNK // picture.size)
    for start in range(0, count, step):
        some = slice(start, start + step)
        part = Parameters(**{f.name: getattr(parameters, f.name)[some] for f in fields(Parameters)})
        made = augment.apply(batch.expand(len(part.rotation), -1, -1), part)
        out[some] = made[:, 0].mul_(255).round_().clamp_(0, 255).to(torch.uint8).numpy()
    return out


def described(parameters: Parameters, copy: int) -> dict[str, float | int]:
    """One copy's parameters as plain numbers, flips as 0 and 1."""
    values = {f.name: getattr(parameters, f.name)[copy].item() for f in fields(Parameters)}
    return {k: int(v) if k in _FLAGS else float(f"{v:.7g}") for k, v in values.items()}


class Extreme(NamedTuple):
    """One end of a range: what it is called, and what happens to a picture there."""

    caption: str
    parameters: Parameters


def extremes(recipe: Recipe) -> dict[str, list[Extreme]]:
    """The ends of each range that is not 0, by gene; ``all together`` at last."""
    found: dict[str, list[Extreme]] = {}
    ends: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for gene, (unit, steps) in _ENDS.items():
        reach = float(getattr(recipe, gene))
        if not reach:
            continue
        pair = [{step: _STILL.get(step, 0.0) + sign * reach for step in steps} for sign in (-1, 1)]
        for end, values in zip(ends, pair, strict=True):
            end.update(values)
        found[gene] = [
            Extreme(f"{next(iter(values.values())) * (100 if unit == '%' else 1):g}{unit}",
                    _one(values))
            for values in pair
        ]  # fmt: skip
    for gene, flag in (("horizontal_flip", "flip_columns"), ("vertical_flip", "flip_rows")):
        if getattr(recipe, gene):
            found[gene] = [Extreme("flipped", _one({flag: True}))]
            ends[1][flag] = True
    if len(found) > 1:
        names = ("all at the lower end", "all at the upper end")
        pairs = zip(names, ends, strict=True)
        found["all together"] = [Extreme(name, _one(end)) for name, end in pairs]
    return found


_ENDS = {
    "rotation": ("°", ("rotation",)),
    "width_shift": ("%", ("column_shift",)),
    "height_shift": ("%", ("row_shift",)),
    "shear": ("°", ("shear",)),
    "zoom": ("%", ("row_zoom", "column_zoom")),
    "brightness": ("%", ("brightness",)),
    "contrast": ("%", ("contrast",)),
}
"""Gene -> unit, and the parameters that it spreads about their rest."""


def _one(values: Mapping[str, float | bool]) -> Parameters:
    """The parameters of a batch of one picture that is left alone but for ``values``."""
    still = {f.name: _STILL.get(f.name, False if f.name in _FLAGS else 0.0)
             for f in fields(Parameters)}  # fmt: skip
    return Parameters(**{name: torch.tensor([v]) for name, v in (still | dict(values)).items()})


def warnings(recipe: Recipe) -> list[str]:
    """What a doctor would object to: ranges that put the heart on the other side."""
    found = []
    if recipe.horizontal_flip:
        found.append(
            "horizontal_flip: half of the copies show the heart on the other side, as in situs "
            "inversus; what depends on the side cannot be learnt from them. The report flipped; "
            "--no-horizontal-flip does not"
        )
    if recipe.vertical_flip:
        found.append(
            "vertical_flip: half of the copies are upside down and, held upright, show the heart "
            "on the other side; no X-ray is read like that. --no-vertical-flip leaves it"
        )
    if recipe.rotation > 90:
        found.append(
            f"rotation {recipe.rotation:g}: copies turned by more than 90 degrees show the heart "
            "on the other side of the picture; give 90 or less"
        )
    return found
