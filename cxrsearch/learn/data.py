"""What a trial trains on: rows of the decoded cache, cut and resized once for its recipe.

A recipe's crop and input size are applied to a whole part before the first epoch. The
result is one uint8 tensor, on the device where it fits, so that an epoch is nothing but
gathers from memory. Workers share it: where the network sees whole frames it is the cache
itself, else a file beside it (`cxrsearch.learn.pixels`). Only where there is no room for
that file does a worker make a copy of its own, and where that fits no memory either, each
batch is cut when it is drawn. The pixels are the same in any case.
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

from cxrsearch.data.copy_names import same_images
from cxrsearch.data.marks import compact
from cxrsearch.data.pixels.cache import Cache
from cxrsearch.data.splits import Splits
from cxrsearch.data.unlabelled import patients_by_name
from cxrsearch.errors import InputError

from .augment.frames import prepare
from .compute.device import free_memory
from .compute.staging import Staging
from .pixels import SHELF_BYTES, Shelf, as_tensor, is_whole_frame
from .pseudo import Pseudo
from .recipe import DESCRIBED, Recipe, size_of
from .saved.arrays import Labels

HELD_BYTES = 1 << 30
"""Pixels of its own that a worker keeps for the next trial of the same crop and input size."""

MEMORY_SHARE = 0.25
"""A worker's own pixels may take this share of the CPU's memory that is free, and a part of them
this share of a training's room on a GPU."""

_PART = 1 << 26  # bytes that go to a device at once

SHELF = "prepared"
"""The folder of prepared pixels within a cache's."""

WORTH = {"ignore": np.nan, "positive": 1.0, "negative": 0.0, "soft": 0.5}
"""What an uncertain mark counts as in training, by policy."""

TRAINED_PARTS = ("train", "val", "val_seed")


@dataclass(frozen=True)
class TrainData:
    """The images of a cache, what is known of them, and the rows of a study's parts.

    Args:
        images: (n, F, F) uint8, mapped from the cache.
        names: (n,) names, in the order of the rows.
        labels: (n, k), what is known of each label; see `cxrsearch.data.marks`.
        label_names: (k,) what the columns are.
        patients: (n,) texts.
        train: rows to train on, int64.
        val: rows of the whole validation part.
        val_seed: rows of its fixed subset on which epochs are scored.
        split: fingerprint of the split.
        columns: the labels that the objective averages over.
        learnt: the labels that the loss is over; the others' outputs mean nothing.
        uncertain: (n, k) bool, marks that nobody was sure of and that ``labels`` do not know; None
            where there are none.
        uncertain_as: (k,) what these count as in training, or empty; see `Dataset.uncertain_as`.
        notes: what was left out, and why.
        pseudo: what a teacher says of images without a label.
        pseudo_rows: (m,) where those images are.
        shelf: prepared pixels that workers share; None: each makes its own.
        held: a worker's own pixels kept between trials; see `HELD_BYTES`.
        together: rows whose prepared pixels share a file, of which a part takes its own, so that
            many splits of the same images need one file; None: each part has its own.
        about: (n, e) float32, age, sex and view where they are known; None where none is.
        about_names: (e,) what its columns are; see `cxrsearch.data.about`.
        epoch_images: images that an epoch draws, however many ``train`` has; None: as the recipe
            says. So trainings on parts of several sizes take as many steps.
    """

    images: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    label_names: tuple[str, ...]
    patients: np.ndarray
    train: np.ndarray
    val: np.ndarray
    val_seed: np.ndarray
    split: str
    columns: tuple[int, ...]
    learnt: tuple[int, ...]
    uncertain: np.ndarray | None = None
    uncertain_as: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pseudo: Pseudo | None = None
    pseudo_rows: np.ndarray | None = None
    shelf: Shelf | None = None
    held: OrderedDict[tuple[object, ...], torch.Tensor] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )
    together: np.ndarray | None = None
    about: np.ndarray | None = None
    about_names: tuple[str, ...] = ()
    epoch_images: int | None = None

    def policies(self, uncertain: str) -> tuple[str, ...]:
        """(k,) what uncertain marks count as in training, by the gene ``uncertain``."""
        every = len(self.label_names)
        if uncertain != DESCRIBED:
            return (uncertain,) * every
        return self.uncertain_as or ("ignore",) * every

    def targets(self, uncertain: str) -> np.ndarray:
        """(t, k) what the training part's images are taught as: marks, the uncertain settled.

        Args:
            uncertain: as the gene.
        """
        marks: np.ndarray = self.labels[self.train]
        doubts = None if self.uncertain is None else self.uncertain[self.train]
        if doubts is None or not doubts.any():
            return marks
        worth = np.array([WORTH[policy] for policy in self.policies(uncertain)], np.float32)
        return compact(np.where(doubts, worth, marks))

    def uncertain_counts(self, uncertain: str) -> dict[str, int]:
        """How many uncertain marks of the training part each policy touches, by its name."""
        counts: dict[str, int] = {}
        if self.uncertain is not None:
            found = self.uncertain[self.train].sum(axis=0)
            for policy, count in zip(self.policies(uncertain), found.tolist(), strict=True):
                if count:
                    counts[policy] = counts.get(policy, 0) + count
        return counts

    def with_validation_for_training(self) -> TrainData:
        """The same images with the validation part moved into training; none is left."""
        nothing = np.zeros(0, np.int64)
        rows = np.sort(np.concatenate([self.train, self.val]))
        return replace(self, train=rows, val=nothing, val_seed=nothing)

    def parted(self, splits: Splits) -> TrainData:
        """The same images with the training and validation part dealt anew.

        No image comes in that was in neither. Images without a label go where their names say that
        they show somebody of the new validation part, or are copies of an image there.

        Args:
            splits: of this data's two parts, as from `fresh_splits`.

        Raises:
            InputError: where a part ends up empty.
        """
        pool = np.sort(np.concatenate([self.train, self.val]))
        row_of = dict(zip(self.names[pool].tolist(), pool.tolist(), strict=True))
        parts: dict[str, np.ndarray] = {}
        for part in TRAINED_PARTS:
            rows = [row_of[name] for name in getattr(splits, part) if name in row_of]
            parts[part] = np.array(rows, np.int64)
        empty = [part for part, rows in parts.items() if not len(rows)]
        if empty:
            raise InputError(f"{', '.join(empty)}: none of its images can be read; check them")
        pseudo, rows_left = self.pseudo, self.pseudo_rows
        if pseudo is not None and rows_left is not None:
            left = self._unrelated(pseudo, parts["val"])
            pseudo, rows_left = pseudo.taking(left), rows_left[left]
        others = () if self.pseudo_rows is None else (self.pseudo_rows,)
        return replace(
            self,
            train=parts["train"],
            val=parts["val"],
            val_seed=parts["val_seed"],
            split=splits.fingerprint,
            pseudo=pseudo,
            pseudo_rows=rows_left,
            together=np.unique(np.concatenate([pool, *others])),
        )

    def _unrelated(self, pseudo: Pseudo, val: np.ndarray) -> np.ndarray:
        """Positions in ``pseudo`` of the images of nobody in the rows ``val``, by their names."""
        names = pseudo.names.tolist()
        known = np.concatenate([self.train, self.val])
        people = set(map(str, self.patients[val].tolist()))
        shown = patients_by_name(names, self.names[known].tolist(), self.patients[known].tolist())
        copies = set(same_images(names, self.names[val].tolist()))
        kept = [n not in copies and who not in people for n, who in zip(names, shown, strict=True)]
        return np.flatnonzero(kept)


def make_data(
    cache: Cache,
    labels: Labels,
    splits: Splits,
    objective: Sequence[str] | None = None,
    spare: int = 0,
    pseudo: Pseudo | None = None,
) -> TrainData:
    """Join cache, labels and splits by image name. Rows are those of the cache.

    Images that could not be decoded are left out of every part, with a note.

    Args:
        cache: the decoded images; prepared pixels are kept in its folder.
        labels: what is known of the images.
        splits: which image is in which part.
        objective: the labels that it averages over; None: all.
        spare: bytes of the cache's disk that prepared pixels leave to others.
        pseudo: what a teacher says of further images of the cache.

    Raises:
        InputError: where a part or ``pseudo`` names an image that is not there, ``objective`` a
            label, ``pseudo`` is of other labels, or a part ends up empty.
    """
    row_of = {str(name): row for row, name in enumerate(cache.names)}
    known = [i for i, name in enumerate(labels.names.tolist()) if name in row_of]
    rows = np.array([row_of[str(labels.names[i])] for i in known], np.int64)
    if pseudo is not None and pseudo.label_names != labels.label_names:
        raise InputError(
            f"pseudo-labels: of {_listed(pseudo.label_names)}, but the data have "
            f"{_listed(labels.label_names)}; run `cxrsearch self-train` on a study of these data"
        )
    columns = _columns(labels.label_names, objective)
    shape = (len(cache.names), len(labels.label_names))
    # Rows of images without a label are in no part.
    marks = np.full(shape, np.nan if labels.labels.dtype.kind == "f" else 0, labels.labels.dtype)
    marks[rows] = labels.labels[known]
    uncertain = None
    if labels.uncertain is not None:
        uncertain = np.zeros(shape, bool)
        uncertain[rows] = labels.uncertain[known]
    beside = None
    if labels.about is not None:
        beside = np.full((len(cache.names), len(labels.about_names)), np.nan, np.float32)
        beside[rows] = labels.about[known]
    patients = np.zeros(len(cache.names), labels.patients.dtype)
    patients[rows] = labels.patients[known]
    usable = np.zeros(len(cache.names), bool)
    usable[rows] = np.asarray(cache.ok, bool)[rows]
    parts = _parts(splits, row_of, usable)
    left_out = sum(len(getattr(splits, part)) - len(parts[part]) for part in ("train", "val"))
    note = f"{left_out} unreadable images are left out of training and validation"
    return TrainData(
        images=cache.images,
        names=np.asarray(cache.names, dtype=np.str_),
        labels=marks,
        label_names=labels.label_names,
        patients=patients,
        split=splits.fingerprint,
        columns=columns,
        learnt=tuple(range(len(labels.label_names))),
        uncertain=uncertain,
        uncertain_as=labels.uncertain_as,
        notes=(note,) if left_out else (),
        pseudo=pseudo,
        pseudo_rows=None if pseudo is None else _pseudo_rows(pseudo, row_of),
        shelf=Shelf(cache.path / SHELF, max(SHELF_BYTES, cache.images.nbytes), spare),
        train=parts["train"],
        val=parts["val"],
        val_seed=parts["val_seed"],
        about=beside,
        about_names=labels.about_names,
    )


def _columns(label_names: Sequence[str], objective: Sequence[str] | None) -> tuple[int, ...]:
    """Where the labels of ``objective`` are among ``label_names``."""
    if objective is None:
        return tuple(range(len(label_names)))
    missing = [name for name in objective if name not in label_names]
    if missing:
        raise InputError(
            f"objective: the data have no label {', '.join(map(repr, missing))}; they have "
            f"{_listed(label_names)}"
        )
    return tuple(list(label_names).index(name) for name in objective)


def _listed(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _parts(splits: Splits, row_of: dict[str, int], usable: np.ndarray) -> dict[str, np.ndarray]:
    """The usable rows of each part, in the split's order."""
    parts: dict[str, np.ndarray] = {}
    problems: list[str] = []
    for part in TRAINED_PARTS:
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


def _pseudo_rows(pseudo: Pseudo, row_of: dict[str, int]) -> np.ndarray:
    """(m,) rows of the images that ``pseudo`` is about."""
    names = pseudo.names.tolist()
    missing = [name for name in names if name not in row_of]
    if missing:
        raise InputError(
            f"pseudo-labels: {len(missing)} of their {len(names)} images are not in the data, such "
            f"as {missing[0]!r}; restore them, or run `cxrsearch self-train` again"
        )
    return np.array([row_of[name] for name in names], np.int64)


class Pixels:
    """Some rows of the images as a recipe's network sees them, before augmentation.

    Args:
        data: where they come from.
        rows: (m,) rows of ``data``.
        recipe: gives crop and input size.
        device: where batches are wanted.
        room: bytes of a GPU that they may be in; see `resident_bytes`.
    """

    def __init__(
        self,
        data: TrainData,
        rows: np.ndarray,
        recipe: Recipe,
        device: torch.device,
        room: float = 0,
    ) -> None:
        self.data, self.rows, self.device = data, rows, device
        self._staging: Staging | None = None
        self.crop, self.input_size = recipe.crop, recipe.input_size
        self._at: torch.Tensor | None = None  # where each row is in the store, if not in order
        self.store = self._stored()
        if self.store is not None and resident_bytes(len(rows), recipe, device, room):
            self._to_device(self.store)

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
        pieces = list(pieces)
        on_device = self._moved(index)
        near = self.store is not None and self.store.device.type == self.device.type
        places = index if self._at is None else self._at[index]
        places = self._moved(places) if near else places
        largest = max((piece.stop - piece.start for piece in pieces), default=0)
        for piece in pieces:
            here = places[piece]
            yield self._gather(here) if near else self._sent(here, largest), on_device[piece]

    def _moved(self, index: torch.Tensor) -> torch.Tensor:
        """On the device, without waiting for it."""
        gpu = self.device.type == "cuda"
        return (index.pin_memory() if gpu else index).to(self.device, non_blocking=gpu)

    def _gather(self, places: torch.Tensor, into: torch.Tensor | None = None) -> torch.Tensor:
        if self.store is not None:
            return torch.index_select(self.store, 0, places, out=into)
        cut = prepare(self.data.images, self.rows[places.numpy()], self.crop, self.input_size)
        return cut if into is None else into.copy_(cut)

    def _sent(self, places: torch.Tensor, largest: int) -> torch.Tensor:
        """A batch from the CPU, of which none has more than ``largest`` images."""
        if self.device.type != "cuda":
            return self._gather(places).to(self.device)
        if self._staging is None or self._staging.most < largest:  # scoring takes larger batches
            self._staging = Staging(self.device, (largest, *size_of(self.input_size)))
        return self._staging.send(len(places), lambda part: self._gather(places, part))

    def _stored(self) -> torch.Tensor | None:
        """All pixels on the CPU: the cache's own, shared ones, or as far as memory goes our own."""
        data, size = self.data, size_of(self.input_size)
        if is_whole_frame(data.images.shape[1], self.crop, self.input_size):
            self._at = torch.from_numpy(np.ascontiguousarray(self.rows, np.int64))
            return as_tensor(data.images)
        if data.shelf is not None:
            shared = self._shared(data.shelf)
            if shared is not None:
                return shared
        room = psutil.virtual_memory().available * MEMORY_SHARE
        return self._own() if len(self.rows) * math.prod(size) <= room else None

    def _shared(self, shelf: Shelf) -> torch.Tensor | None:
        """The rows out of a file of many, where they have one together, or a file of their own."""
        data, many = self.data, self.data.together
        if many is not None and np.isin(self.rows, many).all():
            shared = shelf.find(data.images, many, self.crop, self.input_size)
            if shared is not None:
                self._at = torch.from_numpy(np.searchsorted(many, self.rows))
                return shared
        return shelf.find(data.images, self.rows, self.crop, self.input_size)

    def _own(self) -> torch.Tensor:
        """A copy in this process: that held from the last trial where sizes are the same."""
        held = self.data.held
        key = (self.rows.tobytes(), size_of(self.crop), size_of(self.input_size))
        if key not in held:
            held[key] = prepare(self.data.images, self.rows, self.crop, self.input_size)
        held.move_to_end(key)
        found = held[key]
        while held and sum(pixels.numel() for pixels in held.values()) > HELD_BYTES:
            held.popitem(last=False)
        return found

    def _to_device(self, store: torch.Tensor) -> None:
        """Move the rows from the CPU's ``store`` to the device, unless others left no room."""
        shape = (len(self.rows), *store.shape[1:])
        if math.prod(shape) > free_memory(self.device):
            return
        moved = torch.empty(shape, dtype=torch.uint8, device=self.device)
        step = max(1, _PART // math.prod(shape[1:]))
        for start in range(0, len(moved), step):
            part = slice(start, start + step)
            moved[part] = store[part] if self._at is None else store[self._at[part]]
        self.store, self._at = moved, None


def resident_bytes(rows: int, recipe: Recipe, device: torch.device, room: float) -> int:
    """Bytes of ``device`` that the pixels of so many ``rows`` take; 0 where they stay on the CPU.

    Args:
        rows: images.
        recipe: gives the input size.
        device: where batches are wanted.
        room: bytes of it that a training may use; pixels may be in `MEMORY_SHARE` of them.
    """
    needed = rows * math.prod(size_of(recipe.input_size))
    return needed if device.type != "cpu" and needed <= room * MEMORY_SHARE else 0


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
