"""The data of a command: read, decoded, and split into parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cxrsearch.data.decoding import leave_out_bad, open_shown
from cxrsearch.data.pixels.cache import Cache, default_cache_root
from cxrsearch.data.read import Dataset, read_dataset, read_test_list
from cxrsearch.data.splits import Splits, disease_counts, judgeable, make_splits
from cxrsearch.errors import InputError

from .settings import PHANTOM, Settings
from .unlabelled import open_pseudo


class Parts(NamedTuple):
    """Data that can be trained on and judged.

    Args:
        dataset: the images that can be read.
        cache: decoded images, with pseudo-labels also theirs.
        splits: train, validation, test.
        counts: positives by part and disease.
        notes: what the user should know.
    """

    dataset: Dataset
    cache: Cache
    splits: Splits
    counts: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]


def load_data(settings: Settings) -> Dataset:
    """The labelled images that ``settings.data`` names."""
    if settings.data == PHANTOM:
        from cxrsearch.phantom.dataset import phantom_dataset

        return phantom_dataset(
            images=settings.phantom_images,
            seed=settings.seed,
            difficulty=settings.phantom_difficulty,
        )
    labels = Path(settings.labels) if settings.labels else None
    return read_dataset(Path(settings.data), labels)


def cache_root(settings: Settings) -> Path:
    """Folder of the decoded caches."""
    return Path(settings.cache) if settings.cache else default_cache_root()


def make_parts(
    settings: Settings, dataset: Dataset, frame: int, listed: Sequence[str] | None
) -> Parts:
    """Decode the images of ``dataset`` and split those that can be read.

    Args:
        settings: say how to split, and which frame and cache to use.
        dataset: the labelled images.
        frame: side of the cached images, where the settings name none.
        listed: names of the test part, where they are given.

    Raises:
        InputError: where nothing can be read, split or judged.
    """
    cache = open_shown(dataset, settings.frame or frame, cache_root(settings))
    usable, bad_notes = leave_out_bad(dataset, cache)
    splits = split(settings, usable, listed).knowing(cache.contents)
    cache = with_pseudo(settings, usable, splits, cache)
    counts = disease_counts(splits, usable.names, usable.labels, usable.patients)
    warnings, undefined = judgeable(counts)
    if set(settings.diseases) <= set(undefined):
        raise InputError(
            f"--objective {settings.objective}: none of its diseases can be judged on the "
            f"{counts['val']['images']} validation images; choose others, or give more data"
        )
    notes = (*dataset.notes, *bad_notes, *splits.notes, *warnings)
    return Parts(usable, cache, splits, counts, notes)


def split(settings: Settings, dataset: Dataset, listed: Sequence[str] | None) -> Splits:
    """The parts of a search with ``settings`` on the readable images ``dataset``."""
    return make_splits(
        dataset.names,
        dataset.labels,
        dataset.patients,
        seed=settings.seed,
        test_share=settings.test_share,
        val_share=settings.val_share,
        test_list=listed,
        val_seed=settings.val_seed,
    )


def with_pseudo(settings: Settings, usable: Dataset, splits: Splits, cache: Cache) -> Cache:
    """``cache``, or one that also has the images of the pseudo-labels that are asked for.

    Raises:
        InputError: where those are of another split, or their images are gone.
    """
    if settings.pseudo is None:
        return cache
    return open_pseudo(settings.pseudo, usable, splits, cache.frame, cache_root(settings))


def listed_names(settings: Settings) -> list[str] | None:
    """The names in the test list of ``settings``; None without one."""
    return list(read_test_list(Path(settings.test_list))) if settings.test_list else None
