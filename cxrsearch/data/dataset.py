"""What every other part knows of the data: a `Dataset`, and a `PixelSource` of pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from .errors import ImageError
from .formats import opened


class PixelSource(Protocol):
    """Where the pixels of a data set come from. Picklable."""

    def decode(self, name: str, size: int) -> np.ndarray:
        """The image as ``(size, size)`` uint8. Raises `ImageError` where it cannot be read."""
        ...

    def stamp(self, name: str) -> str:
        """A short text that changes whenever the image's pixels may have changed.

        Two images of one name with one stamp are taken to be the same picture, also across
        data sets: a source that draws its images puts all that they depend on into it.
        """
        ...


@runtime_checkable
class OfFiles(Protocol):
    """A `PixelSource` that knows the file behind an image."""

    def path(self, name: str) -> Path | None:
        """The file behind a name; None of an image that is drawn."""
        ...


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled and unlabelled chest X-rays.

    Args:
        names: the labelled images, as the table calls them.
        labels: ``(n, 14)`` uint8, 1 where the disease is present; columns as in `DISEASES`.
        patients: ``(n,)`` str, whom each image shows.
        unlabelled: names of the images without a label.
        source: gives the pixels of both.
        notes: what the user should know about how the data was read.
        label: what the user gave.
        extra: the table's other columns, each ``(n,)`` str.
        source_side: typical side of the source images in pixels, to choose the cache's frame.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    patients: np.ndarray
    unlabelled: tuple[str, ...]
    source: PixelSource
    notes: tuple[str, ...] = ()
    label: str = ""
    extra: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    source_side: int = 1024

    @cached_property
    def fingerprint(self) -> str:
        """Of names, labels and patients: not of row order, pixels or file times."""
        return fingerprint(self.names, self.labels, self.patients)


def names_digest(names: Sequence[str]) -> str:
    """How many ``names`` there are, and 16 hex digits that stand for them in their order."""
    return f"{len(names)}, {hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()[:16]}"


def file_of(source: PixelSource, name: str) -> Path | None:
    """The file behind a name, where there is one."""
    return source.path(name) if isinstance(source, OfFiles) else None


CONTENT_BYTES = 8
"""Of a digest of an image's content."""


def content_of(source: PixelSource, name: str) -> bytes:
    """`CONTENT_BYTES` that stand for an image, whatever it is called and wherever it lies.

    They are of its file's bytes; of an image that is drawn they are of its name and stamp, which
    say all that it depends on. Zeros where the file cannot be read.
    """
    path = file_of(source, name)
    if path is None:
        drawn = json.dumps([name, source.stamp(name)]).encode()
        return hashlib.sha256(drawn).digest()[:CONTENT_BYTES]
    try:
        return file_content(path)
    except (OSError, ImageError):
        return bytes(CONTENT_BYTES)


def file_content(path: Path) -> bytes:
    """`CONTENT_BYTES` that stand for the bytes of the file at ``path``.

    Raises:
        ImageError: where it cannot be opened, or is no file, such as a pipe.
        OSError: where it cannot be read.
    """
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").digest()[:CONTENT_BYTES]


def fingerprint(names: Sequence[str], labels: np.ndarray, patients: np.ndarray) -> str:
    """16 hex digits that stand for ``names``, their labels ``(n, 14)`` and patients ``(n,)``."""
    marks = np.asarray(labels).astype(int).tolist()
    rows = sorted(zip(names, marks, map(str, patients), strict=True))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
