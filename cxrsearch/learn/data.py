"""What a trial trains on: rows of the decoded cache, cut and resized once for its recipe.

A recipe's crop and input size are applied to a whole part before the first epoch. The
result is one uint8 tensor, on the device where it fits, so that an epoch is nothing but
gathers from memory. Where it fits neither the device nor the memory, each batch is cut
when it is drawn; the pixels are the same.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import psutil
import torch

from cxrsearch.data.cache import Cache
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.splits import Splits
from cxrsearch.errors import InputError
from cxrsearch.learn.arrays import Labels
from cxrsearch.learn.augment import prepare
from cxrsearch.learn.recipe import Recipe, size_of

HELD_BYTES = 1 << 30
"""Prepared pixels that a worker keeps for the next trial of the same crop and input size."""

MEMORY_SHARE = 0.25
"""Prepared pixels may take this share of the memory that is free, on the device or off it."""

PARTS = ("train", "val", "val_seed")


@dataclass(frozen=True)
class TrainData:
    """The images of a cache, what is known of them, and the rows of a study's parts.

    Args:
        images: (n, F, F) uint8, mapped from the cache.
        names: (n,) names, in the order of the rows.
        labels: (n, 14) uint8, 1 where the image carries the disease.
        patients: (n,) texts.
        train: rows to train on, int64.
        val: rows of the whole validation part.
        val_seed: rows of its fixed subset on which epochs are scored.
        split: fingerprint of the split.
        columns: the diseases that the objective averages over.
        notes: what was left out, and why.
        held: prepared pixels kept between trials; see `HELD_BYTES`.
    """

    images: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    patients: np.ndarray
    train: np.ndarray
    val: np.ndarray
    val_seed: np.ndarray
    split: str
    columns: tuple[int, ...] = tuple(range(len(DISEASES)))
    notes: tuple[str, ...] = ()
    held: OrderedDict[tuple[object, ...], torch.Tensor] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )

    def with_validation_for_training(self) -> TrainData:
        """The same images with the validation part moved into training; none is left."""
        nothing = np.zeros(0, np.int64)
        rows = np.sort(np.concatenate([self.train, self.val]))
        return replace(self, train=rows, val=nothing, val_seed=nothing)


def make_data(
    cache: Cache, labels: Labels, splits: Splits, diseases: Sequence[str] = DISEASES
) -> TrainData:
    """Join cache, labels and splits by image name. Rows are those of the cache.

    Images that could not be decoded are left out of every part, with a note.

    Raises:
        InputError: where a part names an image that is not there, or ends up empty.
    """
    row_of = {str(name): row for row, name in enumerate(cache.names)}
    known = [i for i, name in enumerate(labels[0].tolist()) if name in row_of]
    rows = np.array([row_of[str(labels[0][i])] for i in known], np.int64)
    marks = np.zeros((len(cache.names), len(DISEASES)), np.uint8)
    marks[rows] = labels[1][known]
    patients = np.zeros(len(cache.names), labels[2].dtype)
    patients[rows] = labels[2][known]
    usable = np.zeros(len(cache.names), bool)
    usable[rows] = np.asarray(cache.ok, bool)[rows]
    parts = _parts(splits, row_of, usable)
    left_out = sum(len(getattr(splits, part)) - len(parts[part]) for part in ("train", "val"))
    note = f"{left_out} unreadable images are left out of training and validation"
    return TrainData(
        images=cache.images,
        names=np.asarray(cache.names, dtype=np.str_),
        labels=marks,
        patients=patients,
        split=splits.fingerprint,
        columns=tuple(DISEASES.index(name) for name in diseases),
        notes=(note,) if left_out else (),
        train=parts["train"],
        val=parts["val"],
        val_seed=parts["val_seed"],
    )


def _parts(splits: Splits, row_of: dict[str, int], usable: np.ndarray) -> dict[str, np.ndarray]:
    """The usable rows of each part, in the split's order."""
    parts: dict[str, np.ndarray] = {}
    problems: list[str] = []
    for part in PARTS:
        wanted: tuple[str, ...] = getattr(splits, part)
        unknown = [name for name in wanted if name not in row_of]
        if unknown:
            problems.append(
                f"{part}: {len(unknown)} of its {len(wanted)} images are not in the data, such as "
                f"{unknown[0]!r}; use the data that the split was made for, or start a new study"
            )
            continue
        rows = np.array([row_of[name] for name in wanted], np.int64)
        parts[part] = rows[usable[rows]]
        if not len(parts[part]):
            problems.append(f"{part}: none of its {len(wanted)} images can be read; check them")
    if problems:
        raise InputError(problems)
    return parts


class Pixels:
    """Some rows of the images as a recipe's network sees them, before augmentation.

    Args:
        data: where they come from.
        rows: (m,) rows of ``data``.
        recipe: gives crop and input size.
        device: where batches are wanted.
    """

    def __init__(
        self, data: TrainData, rows: np.ndarray, recipe: Recipe, device: torch.device
    ) -> None:
        self.data, self.rows, self.device = data, rows, device
        self.crop, self.input_size = recipe.crop, recipe.input_size
        self.store: torch.Tensor | None = None
        needed = len(rows) * math.prod(size_of(recipe.input_size))
        if needed <= psutil.virtual_memory().available * MEMORY_SHARE:
            self.store = self._prepared()
            if device.type == "cuda":
                free, _ = torch.cuda.mem_get_info(device)
                fits = needed <= free * MEMORY_SHARE
                self.store = self.store.to(device) if fits else self.store.pin_memory()

    def __len__(self) -> int:
        return len(self.rows)

    def batches(
        self, positions: np.ndarray, pieces: Iterable[slice]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of (b, H, W) uint8 pixels and (b,) int64 positions, both on the device.

        Args:
            positions: (k,) positions among the rows, in the order wanted.
            pieces: which of them make a batch, as slices of ``positions``.
        """
        index = torch.from_numpy(np.ascontiguousarray(positions, np.int64))
        on_device = index.to(self.device)
        for piece in pieces:
            yield self._gather(index[piece], on_device[piece]), on_device[piece]

    def _gather(self, index: torch.Tensor, on_device: torch.Tensor) -> torch.Tensor:
        if self.store is None:
            batch = prepare(self.data.images, self.rows[index.numpy()], self.crop, self.input_size)
        elif self.store.device.type == self.device.type:
            return self.store.index_select(0, on_device)
        else:
            batch = self.store.index_select(0, index).pin_memory()
        return batch.to(self.device, non_blocking=True)

    def _prepared(self) -> torch.Tensor:
        """All pixels on the CPU: those held from the last trial where sizes are the same."""
        held = self.data.held
        key = (self.rows.tobytes(), size_of(self.crop), size_of(self.input_size))
        if key not in held:
            held[key] = prepare(self.data.images, self.rows, self.crop, self.input_size)
        held.move_to_end(key)
        found = held[key]
        while held and sum(pixels.numel() for pixels in held.values()) > HELD_BYTES:
            held.popitem(last=False)
        return found


def even_slices(count: int, size: int, smallest: int = 1) -> list[slice]:
    """Cut ``count`` items into batches of at most ``size``, all within one of equal length.

    So no image is dropped and no small last batch weighs as much as a full one, or is too
    small for batch normalisation: with fewer than ``smallest`` in a batch, there are fewer
    batches instead, if need be larger than ``size``.
    """
    if count <= 0:
        return []
    pieces = max(1, min(math.ceil(count / max(1, size)), count // max(1, smallest)))
    edges = [count * i // pieces for i in range(pieces + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]
