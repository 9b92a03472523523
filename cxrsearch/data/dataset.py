"""What every other part knows of the data: a `Dataset`, and a `PixelSource` of pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from .description import POLICIES
from .diseases import DISEASES
from .errors import ImageError
from .formats import opened
from .marks import all_known


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


class Blank(NamedTuple):
    """Blank cells of a label, and what they count as: one of `BLANKS`."""

    cells: int
    counts_as: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled and unlabelled chest X-rays.

    Args:
        names: the labelled images, as the table calls them.
        labels: ``(n, k)``, what is known of each label; see `cxrsearch.data.marks`.
        patients: ``(n,)`` str, whom each image shows.
        unlabelled: names of the images without a label.
        source: gives the pixels of both.
        notes: what the user should know about how the data was read.
        label: what the user gave.
        extra: the table's other columns, each ``(n,)`` str.
        source_side: typical side of the source images in pixels, to choose the cache's frame.
        label_names: ``(k,)`` what the columns of ``labels`` are.
        uncertain: ``(n, k)`` bool, the marks that a reader or a report was not sure of, which
            ``labels`` do not know; None where there are none.
        uncertain_as: ``(k,)`` out of `POLICIES`, what such a mark counts as in training where a
            recipe says nothing else; empty: it is ignored.
        parts: ``(n,)`` "train", "val", "test" or "", where the data come with their own split.
        blanks: label -> blank cells of the table, where it has some.
        roles: role -> column of ``extra``: which are age, sex and view.
        description: how the data were read, as `cxrsearch.data.sources` writes and reads it; a
            study keeps it, to read them again in the same way.
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
    label_names: tuple[str, ...] = DISEASES
    uncertain: np.ndarray | None = None
    uncertain_as: tuple[str, ...] = ()
    parts: np.ndarray | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    blanks: Mapping[str, Blank] = field(default_factory=dict)
    description: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """Of names, labels, their names and patients: not of row order, pixels or file times."""
        return fingerprint(self.names, self.labels, self.patients, self.label_names, self.uncertain)

    @property
    def described(self) -> tuple[str, ...]:
        """What uncertain marks count as in training by the description, each policy once."""
        if self.uncertain is None or not self.uncertain.any():
            return ()
        policies = self.uncertain_as or (POLICIES[0],) * len(self.label_names)
        columns = np.flatnonzero(self.uncertain.any(axis=0))
        return tuple(sorted({policies[column] for column in columns}))

    def taking(self, rows: Sequence[int] | np.ndarray) -> Dataset:
        """The labelled images ``rows`` alone, in that order."""
        keep = np.asarray(rows, np.int64)
        return replace(
            self,
            names=tuple(self.names[row] for row in keep),
            labels=self.labels[keep],
            patients=self.patients[keep],
            extra={column: values[keep] for column, values in self.extra.items()},
            uncertain=None if self.uncertain is None else self.uncertain[keep],
            parts=None if self.parts is None else self.parts[keep],
        )


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


def fingerprint(
    names: Sequence[str],
    labels: np.ndarray,
    patients: np.ndarray,
    label_names: Sequence[str] = DISEASES,
    uncertain: np.ndarray | None = None,
) -> str:
    """16 hex digits that stand for ``names``, their marks, the labels' names and the patients.

    Those of NIH's labels, all known, are what they were before labels had names.

    Args:
        names: ``(n,)``.
        labels: ``(n, k)``, see `cxrsearch.data.marks`.
        patients: ``(n,)``.
        label_names: ``(k,)``.
        uncertain: ``(n, k)`` bool, or None.
    """
    marks = np.asarray(labels)
    doubts = uncertain is not None and bool(np.any(uncertain))
    plain = tuple(label_names) == DISEASES and all_known(marks) and not doubts
    if plain:
        listed: list[list[object]] = marks.astype(int).tolist()
    else:
        texts = np.where(np.isnan(marks), "", np.round(marks.astype(float), 6).astype(str))
        listed = (texts if uncertain is None else np.where(uncertain, "?", texts)).tolist()
    rows = sorted(zip(names, listed, map(str, patients), strict=True))
    content = rows if plain else [list(label_names), rows]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
