"""The data of a command: read, decoded, and split into parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cxrsearch.data.alike.across import across_note, patients_are_images
from cxrsearch.data.decoding import leave_out_bad, open_shown
from cxrsearch.data.pixels.appearance import Appearance, appearance
from cxrsearch.data.pixels.cache import Cache, default_cache_root
from cxrsearch.data.read import Dataset, read_dataset, read_test_list
from cxrsearch.data.request import PHANTOM, DataRequest
from cxrsearch.data.splits import ALL_PARTS, Splits, check_leakage, judgeable, make_splits
from cxrsearch.errors import InputError
from cxrsearch.model.suspicion.check import grave
from cxrsearch.model.suspicion.parts import files_check
from cxrsearch.model.suspicion.pictures import picture_checks

from .unlabelled import open_pseudo

DESCRIPTION = "description"
"""The key under which studies and cards keep how their data were read."""


class DataParts(NamedTuple):
    """Data that can be trained on and judged.

    Args:
        dataset: the images that can be read.
        cache: decoded images, with pseudo-labels also theirs.
        splits: train, validation, test.
        counts: positives by part and label, see `label_counts`.
        notes: what the user should know.
        undefined: labels that have no AUROC on the validation part.
    """

    dataset: Dataset
    cache: Cache
    splits: Splits
    counts: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]
    undefined: tuple[str, ...] = ()


def load_data(request: DataRequest, stored: Mapping[str, Any] | None = None) -> Dataset:
    """The labelled images that ``request`` names.

    Args:
        request: where they are.
        stored: how a study has read them before, as `described_in` finds it.

    Raises:
        InputError: where they cannot be read.
    """
    if request.data == PHANTOM:
        from cxrsearch.phantom.dataset import phantom_dataset

        return phantom_dataset(
            images=request.phantom_images,
            seed=request.seed,
            difficulty=request.phantom_difficulty,
        )
    return read_dataset(Path(request.data), request.label_table, request.image_folder, stored)


def described_in(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """How a study's data were read, out of its study.yaml; empty where it is of an older version,
    which knew NIH's labels alone.

    Raises:
        InputError: where that is damaged.
    """
    stored = record["data"].get(DESCRIPTION, {})
    if not isinstance(stored, Mapping):
        raise InputError("study.yaml: data.description is no mapping; restore it from a copy")
    return stored


def cache_root(request: DataRequest) -> Path:
    """Folder of the decoded caches."""
    return Path(request.cache) if request.cache else default_cache_root()


def make_parts(
    request: DataRequest,
    dataset: Dataset,
    frame: int,
    listed: Sequence[str] | None,
    pseudo: str | None = None,
) -> DataParts:
    """Decode the images of ``dataset`` and split those that can be read.

    Args:
        request: how to split, and which frame and cache to use.
        dataset: the labelled images.
        frame: side of the cached images, where the request names none.
        listed: names of the test part, where they are given.
        pseudo: folder of pseudo-labels, whose images join the cache.

    Raises:
        InputError: where nothing can be read, split or judged.
    """
    cache = open_shown(dataset, request.frame or frame, cache_root(request))
    usable, bad_notes = leave_out_bad(dataset, cache)
    splits = split(request, usable, listed).knowing(cache.contents)
    counts = splits.counts(usable)
    warnings, undefined = judgeable(counts, usable.label_names)
    alike = _alike(usable, cache, splits)
    cache = with_pseudo(request, pseudo, usable, splits, cache)
    odd = _odd_parts(cache, splits)
    notes = (*dataset.notes, *bad_notes, *splits.notes, *alike, *odd, *warnings)
    return DataParts(usable, cache, splits, counts, notes, tuple(undefined))


def _alike(dataset: Dataset, cache: Cache, splits: Splits) -> list[str]:
    """A note on images of several parts that look alike, where patients are not known."""
    if not patients_are_images(dataset.names, dataset.patients):
        return []
    part_of = {name: part for part in ALL_PARTS[:3] for name in getattr(splits, part)}
    note = across_note(cache.names, cache.images, part_of)
    return [note] if note else []


def _odd_parts(cache: Cache, splits: Splits) -> list[str]:
    """What would make figures of these parts false: the same file in two, unlike pictures."""
    part_of = {name: part for part in ALL_PARTS[:3] for name in getattr(splits, part)}
    found = [files_check(cache.contents, part_of)]
    if summary := training_pictures(cache, splits):
        seen = Appearance.from_dict(summary)
        for part in ("val", "test"):
            rows = _rows(cache, getattr(splits, part))
            found += picture_checks(seen, cache.images, rows, part)
    return [check.line for check in grave(found)]


def _rows(cache: Cache, names: Sequence[str]) -> np.ndarray:
    """The rows of ``cache`` with the images ``names`` that could be read."""
    wanted = set(names)
    return np.array(
        [row for row, name in enumerate(cache.names) if name in wanted and cache.ok[row]], np.int64
    )


def training_pictures(cache: Cache, splits: Splits) -> dict[str, Any]:
    """What the pictures of the training part look like, for `ModelMeta.seen`; empty of none.

    Args:
        cache: decoded images.
        splits: the parts.
    """
    rows = _rows(cache, splits.train)
    return appearance(cache.images, rows).to_dict() if len(rows) else {}


def restore_parts(
    request: DataRequest, record: Mapping[str, Any], folder: Path, pseudo: str | None = None
) -> DataParts:
    """The parts of a study that has been made, which must be what they were then.

    Args:
        request: where the data lie now.
        record: what study.yaml says.
        folder: the study's.
        pseudo: folder of pseudo-labels, whose images join the cache.

    Raises:
        InputError: where images, labels or splits are others.
    """
    dataset = load_data(request, described_in(record))
    cache = open_shown(dataset, record["data"]["frame"], cache_root(request))
    usable, notes = leave_out_bad(dataset, cache)
    if usable.fingerprint != record["data"]["fingerprint"]:
        raise InputError(
            f"{request.data}: images or labels are not those that {folder} was made with "
            f"({len(usable.names)} images, then {record['data']['images']}); restore them, or "
            "start a new study"
        )
    splits = Splits.load(folder / "splits.json")
    if splits.fingerprint != record["splits"]["fingerprint"]:
        raise InputError(f"{folder / 'splits.json'}: not the splits of this study; restore them")
    splits.check_contents(cache.contents, request.data, folder)
    check_leakage(splits, dict(zip(usable.names, usable.patients.tolist(), strict=True)))
    cache = with_pseudo(request, pseudo, usable, splits, cache)
    return DataParts(usable, cache, splits, record["splits"]["counts"], tuple(notes))


def split(request: DataRequest, dataset: Dataset, listed: Sequence[str] | None) -> Splits:
    """The parts that ``request`` asks for, or that the data come with.

    Args:
        request: shares, validation subset and seed.
        dataset: the readable images.
        listed: names of the test part, where they are given.

    Raises:
        InputError: where they cannot be split.
    """
    return make_splits(
        dataset.names,
        dataset.labels,
        dataset.patients,
        seed=request.seed,
        test_share=request.test_share,
        val_share=request.val_share,
        test_list=listed,
        val_seed=request.val_seed,
        parts=dataset.parts,
    )


def with_pseudo(
    request: DataRequest, pseudo: str | None, usable: Dataset, splits: Splits, cache: Cache
) -> Cache:
    """``cache``, or one that also has the images of the pseudo-labels in ``pseudo``.

    Raises:
        InputError: where those are of another split, or their images are gone.
    """
    if pseudo is None:
        return cache
    return open_pseudo(pseudo, usable, splits, cache.frame, cache_root(request))


def listed_names(request: DataRequest) -> list[str] | None:
    """The names in the test list of ``request``; None without one."""
    return list(read_test_list(Path(request.test_list))) if request.test_list else None
