"""What the images themselves give away: blank, turned, inverted, twice there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxrsearch.data.alike.duplicates import Pairs, find_duplicates, groups
from cxrsearch.data.alike.thumbnails import blanks

from .orientation import Orientation, orientations

BLANK = ("nearly black", "nearly white", "nearly one grey")


@dataclass(frozen=True, eq=False)
class ImageChecks:
    """What was found in the images.

    Args:
        blank: ``(n,)`` int, 0 or 1 + the place in `BLANK`.
        orientation: None where there are too few images to tell.
        pairs: images that are the same picture.
        groups: the same as rows that belong together.
    """

    blank: np.ndarray
    orientation: Orientation | None
    pairs: Pairs
    groups: list[list[int]]

    def across(self, patients: np.ndarray) -> list[list[int]]:
        """Groups with more than one of ``patients`` ``(n,)``: these leak."""
        return [rows for rows in self.groups if len(set(patients[rows].tolist())) > 1]

    def within(self, patients: np.ndarray) -> list[list[int]]:
        """Groups of one patient."""
        return [rows for rows in self.groups if len(set(patients[rows].tolist())) == 1]


def check_images(images: np.ndarray, small: np.ndarray, ok: np.ndarray) -> ImageChecks:
    """Look at all images that could be read.

    Args:
        images: ``(n, side, side)`` uint8, such as a cache's.
        small: their thumbnails, ``(n, 32, 32)``.
        ok: ``(n,)`` bool, which to look at; the result counts these alone.
    """
    place = np.flatnonzero(ok)
    blank = np.full(len(small), -1)
    blank[place] = blanks(small[place])
    pairs = find_duplicates(images, small, blank == 0)
    where = np.cumsum(ok) - 1
    pairs = pairs._replace(first=where[pairs.first], second=where[pairs.second])
    small, blank = small[place], blank[place]
    return ImageChecks(blank, orientations(small, blank == 0), pairs, groups(pairs, len(small)))
