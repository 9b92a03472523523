"""Look at a data set before searching: read it, count, split it, look at every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cxrsearch.data.decoding import DecodingView, leave_out_bad, open_shown
from cxrsearch.data.labels.tables import read_table
from cxrsearch.data.pixels.cache import default_cache_root
from cxrsearch.data.read import read_dataset, read_test_list
from cxrsearch.data.splits import Splits, disease_counts, judgeable, make_splits
from cxrsearch.errors import InputError
from cxrsearch.study.settings import number_problems

from .cautions import Caution, Rows, cautions
from .label_counts import LabelCounts, explore_labels
from .people import People, read_people
from .quality import ImageChecks, check_images
from .sheets import Images, Sheet, examples, flagged
from .thumbnails import THUMBNAIL_SIDE, thumbnails

LARGEST_FRAME = 224
"""Side of the cache at most, where none is asked for."""


class Balance(NamedTuple):
    """The parts as a search would make them, positives by part, and warnings about them."""

    splits: Splits
    counts: Mapping[str, Mapping[str, int]]
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Exploration:
    """All that a page about a data set shows.

    Args:
        label: what the user gave.
        rows: names, labels and patients of the images that can be read.
        labels: counts.
        people: age, sex and view.
        balance: the split; None where a search would refuse.
        checks: of the images; None for a table alone.
        cautions: the serious first.
        examples: images of each disease.
        flagged: images that the cautions are about.
        notes: how the data was read.
        unlabelled: images without a label.
        frame: side of the images that were looked at, or None.
        options: what decides the split, as it was given.
    """

    label: str
    rows: Rows
    labels: LabelCounts
    people: People
    balance: Balance | None
    checks: ImageChecks | None
    cautions: tuple[Caution, ...]
    examples: tuple[Sheet, ...]
    flagged: tuple[Sheet, ...]
    notes: tuple[str, ...]
    unlabelled: int
    frame: int | None
    options: Mapping[str, object]


class _Read(NamedTuple):
    rows: Rows
    notes: tuple[str, ...]
    unlabelled: int = 0
    images: Images | None = None


def explore(
    source: Path,
    *,
    labels: Path | None = None,
    test_list: Path | None = None,
    test_share: float = 0.2,
    val_share: float = 0.2,
    val_seed: int | None = None,
    seed: int = 0,
    frame: int | None = None,
    cache: Path | None = None,
) -> Exploration:
    """Read and count everything; with images, look at every one of them.

    Args:
        source: a folder of X-rays, or a label table alone (``.csv``, ``.csv.gz``).
        labels: the folder's label table, where it lies elsewhere.
        test_list: NIH's list of the test part.
        test_share: as `make_splits` takes it, as are ``val_share``, ``val_seed`` and ``seed``.
        val_share: see there.
        val_seed: see there.
        seed: see there; the examples shown follow from it too.
        frame: side of the cached images; the source's own, `LARGEST_FRAME` at most, where None.
        cache: folder of all caches.

    Raises:
        InputError: where source, table, list or numbers cannot be used. What only a search would
            refuse, such as too few patients, becomes a caution.
    """
    problems = number_problems(
        {
            "test_share": test_share, "val_share": val_share, "val_seed": val_seed, "seed": seed,
            "frame": frame,
        }
    )  # fmt: skip
    if source.is_file() and labels is not None:
        problems.append(f"{source} is a label table already: leave out --labels {labels}")
    if problems:
        raise InputError(problems)
    listed = None if test_list is None else read_test_list(test_list)
    read = _table(source) if source.is_file() else _folder(source, labels, frame, cache)
    rows = read.rows
    balance, refused = _balance(rows, seed, test_share, val_share, val_seed, listed)
    people = read_people(rows.extra)
    images = read.images
    checks = None if images is None else _check(images)
    splits = None if balance is None else balance.splits
    return Exploration(
        label=str(source),
        rows=rows,
        labels=explore_labels(rows.labels, rows.patients),
        people=people,
        balance=balance,
        checks=checks,
        cautions=tuple(
            cautions(
                rows, people, splits, checks, images.cache.bad if images else {}, refused, listed
            )
        ),
        examples=() if images is None else examples(images, splits, seed),
        flagged=flagged(images, checks) if images and checks else (),
        notes=read.notes + (splits.notes if splits else ()),
        unlabelled=read.unlabelled,
        frame=None if images is None else images.cache.frame,
        options={
            "seed": seed,
            "test share": test_share if listed is None else f"the {len(listed):,} listed images",
            "validation share": val_share,
        },
    )


def _table(path: Path) -> _Read:
    table = read_table(path)
    return _Read(Rows(table.images, table.labels, table.patients, table.extra), table.notes)


def _folder(folder: Path, labels: Path | None, frame: int | None, root: Path | None) -> _Read:
    dataset = read_dataset(folder, labels)
    side = frame or max(THUMBNAIL_SIDE, min(dataset.source_side, LARGEST_FRAME))
    cache = open_shown(dataset, side, root or default_cache_root())
    usable, notes = leave_out_bad(dataset, cache)
    rows = Rows(usable.names, usable.labels, usable.patients, usable.extra)
    return _Read(
        rows,
        (*dataset.notes, *notes),
        len(dataset.unlabelled),
        Images(rows, cache, np.flatnonzero(cache.ok)),
    )


def _balance(
    rows: Rows,
    seed: int,
    test_share: float,
    val_share: float,
    val_seed: int | None,
    listed: Sequence[str] | None,
) -> tuple[Balance | None, list[str]]:
    """The split, or why there is none."""
    try:
        splits = make_splits(
            rows.names,
            rows.labels,
            rows.patients,
            seed=seed,
            test_share=test_share,
            val_share=val_share,
            test_list=listed,
            val_seed=val_seed,
        )
    except InputError as error:
        return None, list(error.problems)
    counts = disease_counts(splits, rows.names, rows.labels, rows.patients)
    try:
        warnings, refused = judgeable(counts)[0], []
    except InputError as error:
        warnings, refused = [], list(error.problems)
    return Balance(splits, counts, tuple(warnings)), refused


def _check(images: Images) -> ImageChecks:
    """Look at every readable image."""
    with DecodingView(doing="looking at images", did="looked at {} images") as view:
        small = thumbnails(images.cache.images, view.progress)
    return check_images(images.cache.images, small, images.cache.ok)
