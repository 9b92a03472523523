"""The unlabelled images that belong to labelled ones, from the same folder or another."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from cxrsearch.errors import InputError

from .contents import without_copies
from .copy_names import original, same_images
from .dataset import Dataset, PixelSource, file_of
from .errors import ImageError
from .files import find_images
from .labels.patients import NIH_NAME
from .pixels.dicom import dicom_problem, is_dicom
from .pixels.images import image_size
from .read import SIDE_SAMPLE, FolderSource, folder_problem, none_below


@dataclass(frozen=True)
class JoinedSource:
    """Two sources: names that begin with ``prefix`` are the second's, without it."""

    first: PixelSource
    second: PixelSource
    prefix: str

    def decode(self, name: str, size: int) -> np.ndarray:
        """See `Source.decode`."""
        source, own = self.whose(name)
        return source.decode(own, size)

    def stamp(self, name: str) -> str:
        """See `Source.stamp`."""
        source, own = self.whose(name)
        return source.stamp(own)

    def path(self, name: str) -> Path | None:
        """The file behind a name, where there is one."""
        source, own = self.whose(name)
        return file_of(source, own)

    def whose(self, name: str) -> tuple[PixelSource, str]:
        """The source that has the image, and what it calls it."""
        if name.startswith(self.prefix):
            return self.second, name.removeprefix(self.prefix)
        return self.first, name


def with_unlabelled(dataset: Dataset, folder: Path) -> Dataset:
    """``dataset`` with the images below ``folder`` as its unlabelled part, and no others.

    They are called after the folder and their path in it. A label table there is not read. An
    image whose file is that of a labelled one, under whatever name, is left out; one that is only
    called like a labelled one is not.

    Raises:
        InputError: where there is no image.
    """
    if problem := folder_problem(folder):
        raise InputError(f"--unlabelled {problem}")
    found = find_images(folder)
    if not found.files:
        raise InputError([f"--unlabelled {none_below(folder)}", *found.notes])
    if any(is_dicom(file) for file in found.files) and (reason := dicom_problem()):
        raise InputError(f"--unlabelled {folder}: DICOM files: {reason}")
    prefix = f"{folder.resolve().name}/"
    while any(name.startswith(prefix) for name in dataset.names):
        prefix = f"unlabelled/{prefix}"
    labelled = (file_of(dataset.source, name) for name in dataset.names)
    files, notes = without_copies(
        found.files,
        {file: folder / file for file in found.files},
        [path for path in labelled if path is not None],
    )
    called = {PurePosixPath(name).name for name in dataset.names}
    alike = sum(PurePosixPath(file).name in called for file in files)
    if alike:
        notes += (
            f"{alike:,} images below {folder} are called like labelled ones, but are other files: "
            "they count as other images",
        )
    source = FolderSource(folder.resolve(), {file: file for file in files})
    return replace(
        dataset,
        unlabelled=tuple(prefix + file for file in files),
        source=JoinedSource(dataset.source, source, prefix),
        notes=(*dataset.notes, *found.notes, *notes),
    )


def unlabelled_side(dataset: Dataset) -> int | None:
    """Median shorter side of some unlabelled images in pixels; None where files tell nothing."""
    sides = []
    for name in dataset.unlabelled[:: max(1, len(dataset.unlabelled) // SIDE_SAMPLE)]:
        path = file_of(dataset.source, name)
        if path is not None:
            with suppress(ImageError):
                sides.append(min(image_size(path)))
    return int(statistics.median(sides)) if sides else None


def patients_of(dataset: Dataset, names: Sequence[str] | None = None) -> list[str | None]:
    """Whom each unlabelled image, or each of ``names``, shows, as far as its name tells.

    NIH's names begin with the patient's number, augmented copies of theirs too. They are believed
    where those of all labelled images agree with the label table.
    """
    wanted = dataset.unlabelled if names is None else names
    return patients_by_name(wanted, dataset.names, dataset.patients.tolist())


def patients_by_name(
    names: Sequence[str], labelled: Sequence[str], patients: Sequence[object]
) -> list[str | None]:
    """Whom each of ``names`` shows, as `patients_of` tells it.

    Args:
        names: of images without a label.
        labelled: ``(n,)`` names of the labelled ones.
        patients: ``(n,)`` whom those show.
    """
    known = zip(labelled, patients, strict=True)
    if not all(_number(name) == _whole(patient) is not None for name, patient in known):
        return [None] * len(names)
    text = {_whole(patient): str(patient) for patient in patients}
    numbers = [_number(name) for name in names]
    return [None if n is None else text.get(n, str(n)) for n in numbers]


def without_patients(dataset: Dataset, names: Sequence[str]) -> tuple[Dataset, int]:
    """``dataset`` without the unlabelled images of whoever is on the labelled images ``names``.

    Augmented copies of those very images go too, also where names tell no patient.

    Returns:
        it, and how many images that were.
    """
    wanted = set(names)
    people = {
        str(patient)
        for name, patient in zip(dataset.names, dataset.patients.tolist(), strict=True)
        if name in wanted
    }
    pairs = zip(dataset.unlabelled, patients_of(dataset), strict=True)
    copies = set(same_images(dataset.unlabelled, names))
    left = tuple(name for name, who in pairs if who not in people and name not in copies)
    return replace(dataset, unlabelled=left), len(dataset.unlabelled) - len(left)


def _number(name: str) -> int | None:
    match = NIH_NAME.fullmatch(PurePosixPath(original(name) or name).stem)
    return int(match[1]) if match else None


def _whole(patient: object) -> int | None:
    text = str(patient)
    return int(text) if text.isascii() and text.isdigit() else None
