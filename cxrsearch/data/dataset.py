"""What every other part knows of the data: a `Dataset`, and a `Source` of pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np


class Source(Protocol):
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
    source: Source
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


def fingerprint(names: Sequence[str], labels: np.ndarray, patients: np.ndarray) -> str:
    """16 hex digits that stand for ``names``, their labels ``(n, 14)`` and patients ``(n,)``."""
    marks = np.asarray(labels).astype(int).tolist()
    rows = sorted(zip(names, marks, map(str, patients), strict=True))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
