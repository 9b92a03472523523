"""Class activation maps of a model or an ensemble, laid over the whole picture.

A network sees a window of the picture at a size of its own, and members of an ensemble each see
another. So every map is laid onto one grid over the picture. What a network doesn't see has 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cxrsearch.errors import InputError
from cxrsearch.learn.augment.frames import cut, to_float, window
from cxrsearch.learn.compute.device import is_out_of_memory, release_memory
from cxrsearch.learn.ensemble import Ensemble
from cxrsearch.learn.networks.linearised import Placed, is_plain, placed
from cxrsearch.learn.networks.models import Network
from cxrsearch.model.ensemble_folder import LoadedEnsemble
from cxrsearch.model.folder import LoadedModel
from cxrsearch.model.predictor import Predictor

CELLS = 128
"""Places a side of the grid over the picture: 8 pixels of NIH's 1024."""

MAPS_AT_ONCE = 16
"""Images at a time, fewer where their maps would take more than `MAP_BYTES`."""

MAP_BYTES = 64 << 20

FEW_PLACES = 4
"""Places a side below which a map is said to be very coarse."""

Floats = NDArray[np.float32]

CAM_IS_EXACT = (
    "class activation maps (Zhou et al. 2016): after global average pooling a map's mean and the "
    "bias are the logit"
)
HEAD_IS_LINEARISED = (
    "gradient times activation of the head, made linear at each image: a map's mean and what comes "
    "from no place (biases, tokens of the whole image) are the logit"
)
WEIGHTED = "the members' maps, weighted as their logits are: they add up to the ensemble's logit"
ONLY_WEIGHTED = (
    "the members' maps, weighted as their scores are; the ensemble averages no logits, so that "
    "they do not add up to one"
)


class MapMember(NamedTuple):
    """A network whose maps are taken.

    Args:
        model: the network's model folder.
        share: (its labels, k), how much of each of its logits goes into each label wanted.
        place: top, left, height and width of its window as shares of the picture.
    """

    model: LoadedModel
    share: NDArray[np.float64]
    place: tuple[float, float, float, float]

    @property
    def wanted(self) -> list[int]:
        """Those of its labels that go into any."""
        return [int(column) for column in np.flatnonzero(self.share.any(axis=1))]


class FrameMaps:
    """Takes maps of some labels of a model, on the grid over the picture.

    Args:
        model: a model or an ensemble.
        columns: (k,) the labels, by their places among the model's.

    Attributes:
        members: the networks that have a part in it.
        seen: (CELLS, CELLS) bool, what some network sees of the picture.
        methods: network -> how its maps are made, once some are.
        sizes: network -> height and width of its maps, in places, once some are made.
        added: how members' maps are put together; None where there is one network.

    Raises:
        InputError: where the model is neither a model folder nor an ensemble.
    """

    def __init__(self, model: Predictor, columns: Sequence[int]) -> None:
        self.columns = tuple(columns)
        self.added: str | None = None
        if isinstance(model, LoadedModel):
            share = np.zeros((len(model.labels), len(self.columns)))
            share[list(self.columns), np.arange(len(self.columns))] = 1.0
            shares = [(model, share)]
        elif isinstance(model, LoadedEnsemble):
            every = logit_shares(model.ensemble)[:, :, list(self.columns)]
            shares = list(zip(model.members, every, strict=True))
            adds_up = model.ensemble.scale.kind in ("logit", "z")
            self.added = WEIGHTED if adds_up else ONLY_WEIGHTED
        else:
            raise InputError(f"{model.folder}: no maps can be taken of a {type(model).__name__}")
        self.members = tuple(
            MapMember(part, share, _place(part)) for part, share in shares if share.any()
        )
        if not self.members:
            raise InputError(f"{model.folder}: no network has a part in these labels")
        self.seen = np.zeros((CELLS, CELLS), bool)
        for member in self.members:
            down, across = _ways(member.place, (1, 1))
            self.seen |= (down.sum(axis=1)[:, None] * across.sum(axis=1)[None, :]) > 0
        self.methods: dict[str, str] = {}
        self.sizes: dict[str, tuple[int, int]] = {}

    @property
    def without_place(self) -> str | None:
        """Why maps say nothing of where, once some are made; None where they do."""
        if not self.sizes or any(height * width > 1 for height, width in self.sizes.values()):
            return None
        sides = sorted({member.model.recipe.input_size for member in self.members})
        whose = "this network's map has" if len(self.members) == 1 else "each network's map has"
        return (
            f"{whose} one place at {' and '.join(map(str, sides))} pixels, the whole of what it "
            "sees, and says nothing of where; a larger input has more places"
        )

    @property
    def coarse(self) -> str | None:
        """How coarse maps of very few places are, once some are made; None where none are."""
        few = [
            f"{name} {height} x {width}"
            for name, (height, width) in self.sizes.items()
            if min(height, width) < FEW_PLACES and height * width > 1
        ]
        if not few or self.without_place:
            return None
        return (
            f"Maps are very coarse, in places over all that is seen: {', '.join(few)}. They tell "
            "such parts of the picture apart, and nothing finer."
        )

    def of(
        self,
        images: np.ndarray,
        rows: Sequence[int] | np.ndarray,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[tuple[slice, Floats]]:
        """Maps of some pictures, a batch at a time.

        Args:
            images: (n, F, F) uint8, F the model's frame.
            rows: (m,) which of them.
            on_progress: called with how many are done, of how many.

        Yields:
            which of ``rows``, and (b, k, CELLS, CELLS) float32 whose mean over what is seen is what
            places add to the logit.

        Raises:
            InputError: where memory ends with a single image, or a network gives no maps.
        """
        rows = np.asarray(rows, np.int64)
        size = max(
            1, min(MAPS_AT_ONCE, MAP_BYTES // (4 * CELLS * CELLS * max(1, len(self.columns))))
        )
        done = 0
        while done < len(rows):
            part = rows[done : done + size]
            try:
                found = self._batch(images, part)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise InputError("out of memory with the map of one image") from error
                release_memory(self.members[0].model.device)
                size //= 2
                continue
            yield slice(done, done + len(part)), found
            done += len(part)
            if on_progress is not None:
                on_progress(done, len(rows))

    def _batch(self, images: np.ndarray, rows: np.ndarray) -> Floats:
        total = np.zeros((len(rows), len(self.columns), CELLS, CELLS), np.float32)
        for member in self.members:
            found, name = _maps(member, images, rows), _name(member)
            network = member.model.network
            if name not in self.methods and isinstance(network, Network):
                plain = is_plain(network, found, member.wanted)
                self.methods[name] = CAM_IS_EXACT if plain else HEAD_IS_LINEARISED
            maps = found.maps.cpu().numpy()
            self.sizes[name] = (int(maps.shape[2]), int(maps.shape[3]))
            down, across = (way.astype(np.float32) for way in _ways(member.place, maps.shape[2:]))
            share = member.share[member.wanted].astype(np.float32)
            mixed = np.einsum("bjhw,jk->bkhw", maps, share)
            # A map over a part of what is seen weighs more there, so that its mean stays.
            own = float(down.any(axis=1).sum() * across.any(axis=1).sum())
            total += (down @ mixed @ across.T) * np.float32(self.seen.sum() / own)
        return total


def by_height(found: Floats, seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The places of a map that are seen, flat, the highest first.

    Of equal places those nearest to the middle of what is seen come first: between its outermost
    places and the border a map is as high as there, and the place itself is meant.

    Args:
        found: (CELLS, CELLS).
        seen: (CELLS, CELLS) bool.
    """
    rows, columns = np.nonzero(seen)
    away = np.hypot(rows - rows.mean(), columns - columns.mean())
    order = np.lexsort((away, -found[rows, columns].astype(np.float64)))
    return np.asarray((rows * CELLS + columns)[order], np.int64)


def logit_shares(ensemble: Ensemble) -> NDArray[np.float64]:
    """(members, labels, labels): how much of a member's logit i goes into the total of label j.

    Of a mean of probabilities or ranks, which is no sum of logits, these are its weights.
    """
    k, d = ensemble.weights.shape
    found = np.zeros((k, d, d))
    found[:, np.arange(d), np.arange(d)] = ensemble.weights
    used = list(ensemble.used)
    if used:
        found[used] += ensemble.cross / len(used)
    if ensemble.scale.kind == "z":
        found /= ensemble.scale.table[1][:, :, None]
    return found


def _name(member: MapMember) -> str:
    return f"{member.model.folder.name} ({member.model.recipe.model})"


def _place(model: LoadedModel) -> tuple[float, float, float, float]:
    top, left, tall, wide = window(model.frame, model.recipe.crop)
    return top / model.frame, left / model.frame, tall / model.frame, wide / model.frame


def _maps(member: MapMember, images: np.ndarray, rows: np.ndarray) -> Placed:
    grey = seen_by(member.model, images, rows)
    network = member.model.network
    if not isinstance(network, Network):
        raise InputError(f"{member.model.folder}: its network gives no maps")
    try:
        return placed(network, grey, member.wanted)
    except ValueError as error:
        raise InputError(f"{member.model.folder}: no maps of it: {error}") from error


def seen_by(model: LoadedModel, images: np.ndarray, rows: np.ndarray) -> Tensor:
    """(b, 1, H, W) of pictures as a network takes them, in the plain view, on its device."""
    place = window(images.shape[1], model.recipe.crop)
    grey = to_float(cut(images, rows, place, model.recipe.input_size).to(model.device))
    return grey.contiguous(memory_format=torch.channels_last)


def _ways(
    place: tuple[float, float, float, float], size: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(CELLS, h) and (CELLS, w): bilinear weights from a map's places to the grid; 0 outside."""
    top, left, tall, wide = place
    return _way(top, tall, size[0]), _way(left, wide, size[1])


def _way(start: float, length: float, count: int) -> NDArray[np.float64]:
    inside = ((np.arange(CELLS) + 0.5) / CELLS - start) / length
    at = np.clip(inside * count - 0.5, 0, count - 1)
    low = np.minimum(at.astype(int), max(0, count - 2))
    way = np.zeros((CELLS, count))
    rows = np.arange(CELLS)
    way[rows, low] = 1 - (at - low)
    way[rows, np.minimum(low + 1, count - 1)] += at - low
    way[(inside < 0) | (inside > 1)] = 0
    return way
