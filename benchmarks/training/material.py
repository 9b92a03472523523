"""Images to train on: real ones where they are, drawn ones otherwise, as files and as a cache."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cxrsearch.data.labels.recognise import find_table
from cxrsearch.data.pixels.cache import Cache, default_cache_root, open_cache
from cxrsearch.data.read import Dataset, FolderSource, read_dataset
from cxrsearch.data.splits import Splits, make_splits
from cxrsearch.learn.compute.device import pick_device
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData, make_data
from cxrsearch.learn.recipe import Recipe, size_of
from cxrsearch.learn.saved.arrays import Labels
from cxrsearch.phantom.dataset import phantom_dataset, write_phantom

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("NIH_SMALL", ROOT.parent / "shared" / "nih-small")).resolve()
"""Real X-rays with a label table."""
LOGITS = Path(
    os.environ.get("NIH_LOGITS", ROOT.parent / "shared" / "nih-logits" / "fit_half.npz")
).resolve()
"""Logits of real test cases."""
PHANTOM_IMAGES, PHANTOM_SIDE = 600, 224
LEAST = 64
"""Images that are split at least; where fewer are wanted, some of each part are taken."""

AUGMENTATION: dict[str, Any] = {
    "rotation": 10.0,
    "width_shift": 0.05,
    "height_shift": 0.05,
    "shear": 0.04,
    "zoom": 0.04,
    "horizontal_flip": True,
}
"""The ranges that the team's report settled on; `plain.py` has the same."""
BATCHES = {"300x400": 12, "600x800": 4}
"""Images a step at the report's own sizes; 32 at all others."""


@dataclass(frozen=True)
class Setup:
    """What all commands share.

    Args:
        device: where to compute.
        threads: CPU threads of a single trial.
        rounds: of each comparison.
        out: gets JSON files, and scratch folders that are removed again.
        data: folder of X-rays with a label table; None: drawn ones.
        cache: folder of decoded images; None: the user's own.
        seed: of everything.
        fast: about a minute; targets are shown and not judged.
    """

    device: torch.device
    threads: int
    rounds: int
    out: Path
    data: Path | None
    cache: Path | None = None
    seed: int = 0
    fast: bool = False

    @property
    def compute(self) -> ComputeOptions:
        """How a single trial computes."""
        return ComputeOptions(str(self.device), self.threads)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on the disk of the results, where trials write in earnest."""
        self.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".scratch-", dir=self.out) as folder:
            yield Path(folder)


def setup(
    *,
    device: str = "auto",
    threads: int | None = None,
    data: Path | None = None,
    **others: Any,
) -> Setup:
    """A `Setup` on this machine: all its cores, and the real images where they are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = Setup(
        device=pick_device(device),
        threads=threads or cores or 1,
        data=data or (REAL if REAL.is_dir() else None),
        **others,
    )
    torch.set_num_threads(found.threads)
    return found


@dataclass(frozen=True)
class Material:
    """Some images of a data set, split by patient into train and validation.

    Args:
        dataset: all images, whose source is a folder of files.
        cache: all of them, decoded.
        splits: of the images that are used.
    """

    dataset: Dataset
    cache: Cache
    splits: Splits

    def data(self) -> TrainData:
        """What a trial trains on, as a worker opens it: nothing prepared for it yet."""
        return make_data(self.cache, Labels.of(self.dataset), self.splits)

    @property
    def folder(self) -> Path:
        """The folder that the files of `labelled` lie in."""
        return self.source.root

    @property
    def source(self) -> FolderSource:
        """Where the files are."""
        assert isinstance(self.dataset.source, FolderSource)
        return self.dataset.source

    def labelled(self, part: str) -> dict[str, list[int]]:
        """File name -> 14 labels of a part, ``train`` or ``val``."""
        row = {name: i for i, name in enumerate(self.dataset.names)}
        return {
            self.source.files[name]: self.dataset.labels[row[name]].tolist()
            for name in getattr(self.splits, part)
        }

    @property
    def table(self) -> Path:
        """The label table."""
        found = find_table(self.folder)
        assert found is not None  # images without classes in their folders, so there is a table
        return found

    def text(self) -> str:
        """``512 images to train on, 128 to validate``."""
        return f"{len(self.splits.train)} images to train on, {len(self.splits.val)} to validate"


def load(where: Setup, images: int | None = None, frame: int | None = None) -> Material:
    """Read, decode and split.

    Args:
        where: gives data, cache and seed.
        images: about so many, of whole patients; None: all.
        frame: side of the cache in pixels; None: the source's own.
    """
    dataset = read_dataset(where.data if where.data is not None else _drawn(where))
    rows = _some(dataset, images and max(images, LEAST), where.seed)
    names = tuple(dataset.names[i] for i in rows)
    splits = make_splits(
        names, dataset.labels[rows], dataset.patients[rows], seed=where.seed, test_share=0.0
    )
    if images and images < LEAST:
        splits = few(splits, dataset, images)
    frame = frame or min(dataset.source_side, 1024)
    # A frame of its own size is decoded whole, once for all commands; larger ones only in part.
    part = [*splits.train, *splits.val] if frame > dataset.source_side else None
    cache = open_cache(dataset, frame, root=where.cache, names=part)
    return Material(dataset, cache, splits)


def few(splits: Splits, dataset: Dataset, images: int) -> Splits:
    """Four fifths of ``images`` to train on and one to validate, in which a disease can be judged.

    Args:
        splits: of more images.
        dataset: their labels.
        images: in both parts together; each has two at least.
    """
    marks = dict(zip(dataset.names, dataset.labels.sum(axis=1).tolist(), strict=True))
    *others, sickest = sorted(splits.val, key=marks.__getitem__)
    count = max(2, round(images / 5))
    val = (sickest, *others[: count - 1])
    return replace(splits, train=splits.train[: max(2, images - count)], val=val, val_seed=val)


def _drawn(where: Setup) -> Path:
    """The folder of drawn X-rays, made on first use."""
    folder = (where.cache or default_cache_root()) / f"bench-phantom-{PHANTOM_IMAGES}"
    if not (folder / "Data_Entry_2017.csv").exists():
        write_phantom(folder, phantom_dataset(PHANTOM_IMAGES, seed=0), PHANTOM_SIDE)
    return folder


def _some(dataset: Dataset, images: int | None, seed: int) -> np.ndarray:
    """Rows of whole patients, drawn until there are ``images``."""
    if images is None or images >= len(dataset.names):
        return np.arange(len(dataset.names))
    patients, inverse, counts = np.unique(
        dataset.patients, return_inverse=True, return_counts=True
    )  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(patients))
    enough = int(np.searchsorted(np.cumsum(counts[order]), images)) + 1
    return np.flatnonzero(np.isin(inverse, order[:enough]))


def recipe(model: str = "densenet121", size: int | str = 64, **genes: Any) -> Recipe:
    """What is timed: the report's augmentation and Adam at a constant rate, as `plain.py` has it.

    Args:
        model: ``densenet121`` or ``vgg16`` (pooled head).
        size: a side or ``"HxW"``; the window has its aspect, the full width of the image.
        genes: whatever else.
    """
    height, width = size_of(size)
    whole = {"crop": 1024 if height == width else f"{round(1024 * height / width)}x1024"}
    if str(size) == "600x800":  # the report's window: 600 x 800 pixels of a frame of 1024
        whole = {"crop": "600x800"}
    base = Recipe(
        model=model,
        vgg_head="pooled",
        input_size=size,
        batch_size=BATCHES.get(str(size), 32),
        optimizer="adam",
        lr=1e-3,
        weight_decay=0.0,
        schedule="constant",
        warmup=0.0,
        **AUGMENTATION,
    )
    return replace(base, **(whole | genes))
