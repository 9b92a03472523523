"""Augmented copies of single pictures: the online augmentation, kept as 8-bit pictures.

What happens to a copy depends on the seed, the image's name and the copy's number alone, so
copies can be made in any order, and some of them again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import torch

from cxrsearch.learn.augment.batch import Augment
from cxrsearch.learn.augment.draws import EFFECTS, REST, Effect, Parameters, sample_parameters
from cxrsearch.learn.augment.erasing import LEAST_AREA, MOST_AREA
from cxrsearch.learn.augment.trivial import OPERATIONS, Operation
from cxrsearch.learn.recipe import AUGMENTATION, Recipe, group_of
from search.seeds import derive

REPORT_RANGES: Mapping[str, Any] = {
    gene: limits.get("report", limits["default"]) for gene, limits in group_of(AUGMENTATION).items()
}
"""Every range by its gene, with what the team's report settled on."""

_CHUNK = 1 << 23  # pixels of copies made at once; each takes some 30 bytes on the way


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
    return {k: int(v) if isinstance(v, bool) else float(f"{v:.7g}") for k, v in values.items()}


class Extreme(NamedTuple):
    """One end of a range: what it is called, and what happens to a picture there."""

    caption: str
    parameters: Parameters


def extremes(recipe: Recipe) -> dict[str, list[Extreme]]:
    """The ends of each range that is not 0, by gene, of all together, and of what is drawn."""
    found: dict[str, list[Extreme]] = {}
    lower: dict[str, Any] = {}
    upper: dict[str, Any] = {}
    for gene in sorted(EFFECTS, key=_is_flag):
        reach, effect = getattr(recipe, gene), EFFECTS[gene]
        if not reach:
            continue
        if _is_flag(gene):
            flags = dict.fromkeys(effect.fields, True)
            upper |= flags
            found[gene] = [Extreme("flipped", _one(flags))]
            continue
        pair = [dict.fromkeys(effect.fields, effect.rest + sign * reach) for sign in (-1, 1)]
        lower |= pair[0]
        upper |= pair[1]
        found[gene] = [Extreme(_caption(effect, values), _one(values)) for values in pair]
    if len(found) > 1:
        names = ("all at the lower end", "all at the upper end")
        pairs = zip(names, (lower, upper), strict=True)
        found["all together"] = [Extreme(name, _one(end)) for name, end in pairs]
    if recipe.trivial:
        found |= {f"trivial: {name}": _operated(each, recipe.trivial)
                  for name, each in OPERATIONS.items() if each.fields}  # fmt: skip
    if recipe.erasing:
        found["erasing"] = [_erased(area) for area in (LEAST_AREA, MOST_AREA)]
    return found


def _operated(operation: Operation, strength: float) -> list[Extreme]:
    """Both ends of an operation of ``trivial``; of noise the one."""
    ends = []
    for sign in (-1, 1):
        moved = sign * strength * operation.reach
        values = {name: REST[name] + moved for name in operation.fields}
        if min(values.values()) >= 0 or "noise" not in values:
            ends.append(Extreme(_caption(operation, values), _one(values)))
    return ends


def _erased(area: float) -> Extreme:
    """A square in the middle that takes ``area`` of the picture."""
    side = math.sqrt(area)
    place = dict.fromkeys(("erased_top", "erased_left"), (1 - side) / 2)
    size = dict.fromkeys(("erased_height", "erased_width"), side)
    return Extreme(f"{area:.0%} of the area", _one(place | size))


def _is_flag(gene: str) -> bool:
    return isinstance(EFFECTS[gene].rest, bool)


def _caption(effect: Effect | Operation, values: Mapping[str, float]) -> str:
    value = values[effect.fields[0]] * (100 if effect.unit == "%" else 1)
    return f"{value:g}{effect.unit}"


def _one(values: Mapping[str, float | bool]) -> Parameters:
    """The parameters of a batch of one picture that is left alone but for ``values``."""
    return Parameters(**{name: torch.tensor([v]) for name, v in (REST | dict(values)).items()})


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
