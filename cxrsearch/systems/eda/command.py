"""Look at a data set before searching: read it, count, split it, look at every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cxrsearch.data.about import People, read_people
from cxrsearch.data.alike.thumbnails import THUMBNAIL_SIDE, thumbnails
from cxrsearch.data.dataset import Blank, Dataset
from cxrsearch.data.decoding import DecodingView, leave_out_bad, open_shown
from cxrsearch.data.errors import ImageError
from cxrsearch.data.labels.tables import LabelTable, read_table
from cxrsearch.data.read import given_parts, read_source
from cxrsearch.data.request import DataRequest
from cxrsearch.data.sources.resolve import Source, resolve
from cxrsearch.data.sources.telling import tell
from cxrsearch.data.sources.words import few_lines
from cxrsearch.data.splits import Splits, judgeable
from cxrsearch.errors import InputError, attempt
from cxrsearch.study.data import cache_root, listed_names, split

from .cautions import Caution, cautions
from .label_counts import LabelCounts, explore_labels
from .origin import Telling, origins
from .quality import ImageChecks, check_images
from .sheets import Images, Sheet, examples, flagged

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
        examples: images of the commonest labels.
        told: what the files alone give away.
        blanks: label -> blank cells of the table, where it has some.
        flagged: images that the cautions are about.
        notes: how the data was read.
        unlabelled: images without a label.
        frame: side of the images that were looked at, or None.
        options: what decides the split, as it was given.
    """

    label: str
    rows: Dataset
    labels: LabelCounts
    people: People
    balance: Balance | None
    checks: ImageChecks | None
    cautions: tuple[Caution, ...]
    told: tuple[Telling, ...]
    blanks: Mapping[str, Blank]
    examples: tuple[Sheet, ...]
    flagged: tuple[Sheet, ...]
    notes: tuple[str, ...]
    unlabelled: int
    frame: int | None
    options: Mapping[str, object]


class NoImages:
    """The pixels of a label table that is looked at alone: there are none."""

    def decode(self, name: str, size: int) -> np.ndarray:
        """Refuse. Raises `ImageError`."""
        raise ImageError(f"{name}: a label table alone has no images")

    def stamp(self, name: str) -> str:
        """Of no file."""
        return ""


class _Read(NamedTuple):
    rows: Dataset
    notes: tuple[str, ...]
    unlabelled: int = 0
    images: Images | None = None


def explore(request: DataRequest) -> Exploration:
    """Read and count everything; with images, look at every one of them.

    Args:
        request: its ``data`` is a folder of X-rays, a ``dataset.yaml``, or a label table; a table
            is looked at alone where the request names no folder of its images. Where it names no
            frame, that is the source's own side, at most
            `LARGEST_FRAME`. The examples shown follow from its seed, as the split does.

    Raises:
        InputError: where source, table, list or numbers cannot be used. What only a search would
            refuse, such as too few patients, becomes a caution.
    """
    problems = request.problems_of_folder()
    places = Path(request.data), request.label_table, request.image_folder
    source = attempt(lambda: resolve(*places, without_images=True), problems)
    if problems or source is None:
        raise InputError(problems)
    listed = listed_names(request)
    alone = Path(request.data).is_file() and source.stated is None and request.images is None
    table = read_table(source.description, source.found.files)
    read = _table(source, table) if alone else _folder(request, read_source(source))
    rows = read.rows
    balance, refused = _balance(rows, request, listed)
    people = read_people(rows.extra, rows.roles)
    images = read.images
    checks = None if images is None else _check(images)
    told = [] if images is None else _told(rows, request.seed)
    splits = None if balance is None else balance.splits
    return Exploration(
        label=request.data,
        rows=rows,
        labels=explore_labels(rows.labels, rows.patients, rows.label_names, rows.uncertain),
        people=people,
        balance=balance,
        checks=checks,
        cautions=tuple(
            cautions(
                rows,
                people,
                splits,
                checks,
                images.cache.bad if images else {},
                refused,
                listed,
                told,
            )
        ),
        told=tuple(told),
        blanks=table.blanks,
        examples=() if images is None else examples(images, splits, request.seed),
        flagged=flagged(images, checks) if images and checks else (),
        notes=read.notes + (splits.notes if splits else ()),
        unlabelled=read.unlabelled,
        frame=None if images is None else images.cache.frame,
        options={
            "seed": request.seed,
            "test share": request.test_share
            if listed is None
            else f"the {len(listed):,} listed images",
            "validation share": request.val_share,
        },
    )


def _table(source: Source, table: LabelTable) -> _Read:
    """What the ``table`` of ``source`` says, without its images."""
    parts, notes = given_parts(source, table.images, table.images)
    rows = Dataset(
        names=table.images,
        labels=table.labels,
        patients=table.patients,
        unlabelled=(),
        source=NoImages(),
        label=source.label,
        extra=table.extra,
        label_names=table.label_names,
        uncertain=table.uncertain,
        uncertain_as=table.uncertain_as,
        parts=table.parts if parts is None else parts,
        roles=table.roles,
    )
    tell(few_lines(source, table.label_names))
    return _Read(rows, (*source.notes, *table.notes, *notes))


def _folder(request: DataRequest, dataset: Dataset) -> _Read:
    side = request.frame or max(THUMBNAIL_SIDE, min(dataset.source_side, LARGEST_FRAME))
    cache = open_shown(dataset, side, cache_root(request))
    usable, notes = leave_out_bad(dataset, cache)
    return _Read(
        usable,
        (*dataset.notes, *notes),
        len(dataset.unlabelled),
        Images(usable, cache, np.flatnonzero(cache.ok)),
    )


def _balance(
    rows: Dataset, request: DataRequest, listed: Sequence[str] | None
) -> tuple[Balance | None, list[str]]:
    """The split, or why there is none."""
    try:
        splits = split(request, rows, listed)
    except InputError as error:
        return None, list(error.problems)
    counts = splits.counts(rows)
    try:
        warnings, refused = judgeable(counts, rows.label_names)[0], []
    except InputError as error:
        warnings, refused = [], list(error.problems)
    return Balance(splits, counts, tuple(warnings)), refused


def _check(images: Images) -> ImageChecks:
    """Look at every readable image."""
    with DecodingView(doing="looking at images", did="looked at {} images") as view:
        small = thumbnails(images.cache.images, view.progress)
    return check_images(images.cache.images, small, images.cache.ok)


def _told(rows: Dataset, seed: int) -> list[Telling]:
    """What the files alone give away."""
    with DecodingView(doing="reading headers", did="read {} headers") as view:
        return origins(rows, seed, view.progress)
