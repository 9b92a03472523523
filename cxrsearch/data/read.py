"""From what a user points at to a `Dataset`."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.errors import InputError

from .contents import without_copies
from .dataset import Dataset, PixelSource, fingerprint
from .errors import ImageError
from .files import folder_problem, match_images
from .formats import SUFFIXES
from .labels.tables import LabelTable
from .pixels.dicom import dicom_decoders, dicom_problem, is_dicom
from .pixels.images import image_size, read_image
from .sources.given import lists_in, parts_by_folders, parts_by_lists, read_names
from .sources.resolve import Source, read_labels, resolve
from .sources.telling import tell
from .sources.words import few_lines
from .sources.written import plain

__all__ = [
    "Dataset",
    "FolderSource",
    "PixelSource",
    "fingerprint",
    "folder_problem",
    "read_dataset",
    "read_source",
    "read_test_list",
]

SIDE_SAMPLE = 25
"""How many images are looked at to tell the source's typical side."""


@dataclass(frozen=True)
class FolderSource:
    """Image files below one folder.

    Args:
        root: the folder, absolute, so that workers elsewhere find it.
        files: name -> path below the folder.
    """

    root: Path
    files: Mapping[str, str] = field(repr=False)

    def path(self, name: str) -> Path:
        """The file behind a name."""
        return self.root / self.files[name]

    def decode(self, name: str, size: int) -> np.ndarray:
        """See `Source.decode`."""
        return read_image(self.path(name), size)

    def stamp(self, name: str) -> str:
        """Size and times of the last change; for DICOM also the decoders there are.

        The second time, of the inode, is the system's own: tools that put a file's old time
        back cannot set it, and it also moves when permissions are mended.
        """
        file = self.files[name]
        try:
            # Every opening of a cache asks for all files, and a Path costs more than the asking.
            status = os.stat(f"{self.root}/{file}")  # noqa: PTH116
        except OSError as error:
            return f"unreadable: {error.strerror}"
        stamp = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"
        bare = not file.lower().endswith(SUFFIXES)  # only DICOM comes without a suffix, mostly
        return f"{stamp}-{dicom_decoders()}" if bare or is_dicom(file) else stamp


def read_dataset(
    data: Path,
    labels: Path | None = None,
    images: Path | None = None,
    stored: Mapping[str, Any] | None = None,
) -> Dataset:
    """Read the labelled and unlabelled X-rays of a data set.

    Args:
        data: a folder of images at any depth with a label table or class folders, a label table,
            or a ``dataset.yaml``.
        labels: the label table of a folder, where it lies elsewhere.
        images: the images of a table, where they lie elsewhere.
        stored: the `Dataset.description` of an earlier reading, to read in the same way.

    Returns:
        the data set, sorted by name. Labelled names without a file are left out and noted;
        images whose name the table does not have are the unlabelled part.

    Raises:
        InputError: no such place, no images, no usable table, or none of its images there.
    """
    source = resolve(Path(data), _path(labels), _path(images), stored)
    return read_source(source)


def read_source(source: Source) -> Dataset:
    """`read_dataset` of what has been resolved.

    Raises:
        InputError: as `read_dataset`.
    """
    folder, found = source.description.images, source.found
    table = read_labels(source)
    description = table.named(source.description)
    if source.stated is None and not source.stored:
        tell(few_lines(source, table.label_names))
    if not found.files:
        raise InputError([none_below(folder), *found.notes])
    match = match_images((*table.images, *table.left_out), found.files)
    rows = [row for row, name in enumerate(table.images) if name in match.files]
    if not rows:
        raise InputError(
            f"{folder}: none of the {len(table.images):,} images of {table.path} is among the "
            f"{len(found.files):,} image files there; the table has {table.images[0]!r}, the "
            f"folder {found.files[0]!r}. Give the folder that the table belongs to"
        )
    rows.sort(key=table.images.__getitem__)
    names = tuple(table.images[row] for row in rows)
    parts, part_notes = given_parts(source, names, [match.files[name] for name in names])
    own, copies = without_copies(
        match.unlabelled,
        {file: folder / file for file in match.unlabelled},
        [folder / match.files[name] for name in names],
    )
    files = {name: match.files[name] for name in (*names, *own)}
    pixels = FolderSource(folder.resolve(), files)
    _check_dicom(folder, [match.files[name] for name in names])
    return Dataset(
        names=names,
        labels=table.labels[rows],
        patients=table.patients[rows],
        unlabelled=own,
        source=pixels,
        notes=(
            *source.notes, *table.notes, *found.notes, *_missing(table, names), *match.notes,
            *copies, *part_notes,
        ),
        label=source.label,
        extra={column: values[rows] for column, values in table.extra.items()},
        source_side=_typical_side(pixels, names),
        label_names=table.label_names,
        uncertain=None if table.uncertain is None else table.uncertain[rows],
        uncertain_as=table.uncertain_as,
        parts=parts if parts is not None or table.parts is None else table.parts[rows],
        roles=table.roles,
        blanks=table.blanks,
        description=plain(description, source.base),
    )  # fmt: skip


def given_parts(
    source: Source, names: Sequence[str], files: Sequence[str]
) -> tuple[np.ndarray | None, list[str]]:
    """The parts that lists or folders give, ``(n,)``; None where the table or nothing does.

    Args:
        source: the data set.
        names: of its labelled images.
        files: theirs, below the folder of the images.
    """
    description = source.description
    if description.split == "lists":
        lists = lists_in([description.images, source.base, *(t.parent for t in description.table)])
        if not lists:
            raise InputError(f"{source.base}: split: lists, but there is no test_list.txt in it")
        return parts_by_lists(names, lists)
    if description.split == "folders":
        parts = parts_by_folders(files)
        if parts is None:
            raise InputError(
                f"{description.images}: split: folders, but not every image lies in a folder "
                "called train, val or test; write split: drawn, or move them"
            )
        return parts, []
    return None, []


def _path(given: Path | None) -> Path | None:
    return None if given is None else Path(given)


def none_below(folder: Path) -> str:
    """That there is no image below ``folder``, and what would be one."""
    return (
        f"{folder}: no images anywhere below it ({', '.join(SUFFIXES)}, or DICOM without a "
        "suffix); give the folder that holds them"
    )


def read_test_list(path: Path) -> list[str]:
    """Image names of the test part, one a line, as in NIH's ``test_list.txt``.

    Raises:
        InputError: where the file cannot be read or holds no name.
    """
    return read_names(Path(path))


def _check_dicom(folder: Path, files: Sequence[str]) -> None:
    """Say once that pydicom is missing, instead of once an image."""
    dicom = [file for file in files if is_dicom(file)]
    if dicom and (problem := dicom_problem()):
        raise InputError(f"{folder}: {len(dicom):,} DICOM files, such as {dicom[0]!r}: {problem}")


def _missing(table: LabelTable, names: Sequence[str]) -> list[str]:
    """One note on labelled names that have no file."""
    missing = sorted(set(table.images) - set(names))
    if not missing:
        return []
    return [
        f"{len(missing):,} of the {len(table.images):,} labelled images have no file and are "
        f"left out, such as {missing[0]!r}"
    ]


def _typical_side(source: FolderSource, names: Sequence[str]) -> int:
    """Median of the shorter sides of images spread evenly over ``names``, in pixels."""
    sides = []
    for name in names[:: max(1, len(names) // SIDE_SAMPLE)]:
        try:
            sides.append(min(image_size(source.path(name))))
        except ImageError:
            continue
    return int(statistics.median(sides)) if sides else 1024
