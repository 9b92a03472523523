"""From a folder of X-rays and a label table to a `Dataset`."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cxrsearch.errors import InputError

from .contents import without_copies
from .dataset import Dataset, PixelSource, fingerprint
from .errors import ImageError
from .files import find_images, match_images, remote_problem
from .formats import SUFFIXES
from .labels.csv_rows import read_lines
from .labels.tables import LabelTable, find_table, read_table
from .pixels.dicom import dicom_decoders, dicom_problem, is_dicom
from .pixels.images import image_size, read_image

__all__ = [
    "Dataset",
    "FolderSource",
    "PixelSource",
    "fingerprint",
    "read_dataset",
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


def read_dataset(folder: Path, labels: Path | None = None) -> Dataset:
    """Read the labelled and unlabelled X-rays below a folder.

    Args:
        folder: holds image files (PNG, JPEG, DICOM) at any depth.
        labels: the label table; looked for in the folder itself where None.

    Returns:
        the data set, sorted by name. Labelled names without a file are left out and noted;
        images whose name the table does not have are the unlabelled part.

    Raises:
        InputError: no such folder, no images, no usable table, or none of its images there.
    """
    folder = Path(folder)
    _check_places(folder, labels)
    table = read_table(Path(labels) if labels is not None else find_table(folder))
    found = find_images(folder)
    if not found.files:
        raise InputError([none_below(folder), *found.notes])
    match = match_images(table.images, found.files)
    rows = [row for row, name in enumerate(table.images) if name in match.files]
    if not rows:
        raise InputError(
            f"{folder}: none of the {len(table.images):,} images of {table.path} is among the "
            f"{len(found.files):,} image files there; the table has {table.images[0]!r}, the "
            f"folder {found.files[0]!r}. Give the folder that the table belongs to"
        )
    rows.sort(key=table.images.__getitem__)
    names = tuple(table.images[row] for row in rows)
    own, copies = without_copies(
        match.unlabelled,
        {file: folder / file for file in match.unlabelled},
        [folder / match.files[name] for name in names],
    )
    files = {name: match.files[name] for name in (*names, *own)}
    source = FolderSource(folder.resolve(), files)
    _check_dicom(folder, [match.files[name] for name in names])
    return Dataset(
        names=names,
        labels=table.labels[rows],
        patients=table.patients[rows],
        unlabelled=own,
        source=source,
        notes=(*table.notes, *found.notes, *_missing(table, names), *match.notes, *copies),
        label=str(folder),
        extra={column: values[rows] for column, values in table.extra.items()},
        source_side=_typical_side(source, names),
    )


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
    names = [line.strip() for line in read_lines(Path(path))]
    names = list(dict.fromkeys(name for name in names if name))
    if not names:
        raise InputError(f"{path}: no image names in it; write one name a line")
    return names


def _check_places(folder: Path, labels: Path | None) -> None:
    """Collect what is wrong with the two paths before anything is read."""
    problems = [folder_problem(folder), None if labels is None else _file_problem(Path(labels))]
    if any(problems):
        raise InputError([problem for problem in problems if problem])


def folder_problem(folder: Path) -> str | None:
    """Why no images can lie in ``folder``, or None."""
    try:
        if not folder.exists():
            return remote_problem(folder) or f"{folder}: no such folder; check its name"
        if not folder.is_dir():
            return f"{folder}: a file, but a folder of images is wanted; give the one it lies in"
        if next(folder.iterdir(), None) is None:
            return f"{folder}: the folder is empty; give one that holds images"
    except OSError as error:
        return f"{folder}: cannot be read ({error.strerror}); check its permissions"
    return None


def _file_problem(labels: Path) -> str | None:
    try:
        if labels.is_file():
            return None
        return remote_problem(labels) or f"{labels}: no such label table; name a CSV file"
    except OSError as error:
        return f"{labels}: cannot be read ({error.strerror}); check its permissions"


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
