"""What a data set is recognised as, counted, without decoding an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from cxrsearch.errors import InputError

from .files import match_images
from .labels.tables import COUNTED, LabelTable
from .read import given_parts
from .sources.resolve import Source, read_labels, resolve
from .sources.words import Recognised, part_counts
from .splits.given import check_given


def look(data: Path, labels: Path | None = None, images: Path | None = None) -> Recognised:
    """Read a data set's table and the names of its files.

    Args:
        data: a folder, a label table, or a ``dataset.yaml``.
        labels: the label table of a folder, where it lies elsewhere.
        images: the images of a table, where they lie elsewhere.

    Raises:
        InputError: where there is no such data, or their table cannot be read.
    """
    source = resolve(data, labels, images, without_images=True)
    files = source.found.files
    table = read_labels(source)
    source = replace(source, description=table.named(source.description))
    match = match_images((*table.images, *table.left_out), files)
    here = [name for name in table.images if name in match.files]
    # Without the files, the names are the paths that there are.
    paths = [match.files.get(name, name) for name in table.images]
    parts, notes = given_parts(source, table.images, paths)
    parts = parts if parts is not None else table.parts
    if parts is not None:
        _check_parts(source, table, parts)
    others = [f"{name}: {why}" for name, why in table.ignored["files"].items()]
    left = [*others, *source.found.notes, *match.notes]
    if len(here) < len(table.images):
        missing = next(name for name in table.images if name not in match.files)
        left.append(
            f"{len(table.images) - len(here):,} of the {len(table.images):,} images of the table "
            f"have no file below {source.description.images}, such as {missing!r}"
        )
    if here and match.unlabelled:
        left.append(f"{len(match.unlabelled):,} images are not in the table: they are unlabelled")
    return Recognised(
        source,
        images=len(table.images),
        found=len(here),
        patients=len(set(table.patients.tolist())),
        labels={name: {mark: table.counts[name][mark] for mark in COUNTED}
                for name in table.label_names},
        split=None if parts is None else part_counts(np.asarray(parts).tolist()),
        columns=table.ignored["columns"],
        files=left,
        notes=(*source.notes, *table.notes, *notes),
    )  # fmt: skip


def _check_parts(source: Source, table: LabelTable, parts: np.ndarray) -> None:
    """Refuse a split that puts a patient in two parts."""
    try:
        check_given(table.patients, np.asarray(parts))
    except InputError as error:
        if source.stated is None:
            raise
        source.stated.of_table([f"split: {problem}" for problem in error.problems])
        source.stated.check()
