"""Images that look alike and lie in different parts, where nothing says whom they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .duplicates import find_duplicates, groups
from .thumbnails import blanks, thumbnails

MOST_COMPARED = 20_000
"""Images that are compared at most; of more it is said that they were not. Reading their pixels
takes most of the time, and it grows with their number: a second for some thousands."""
ALIKE_SHOWN = 3
"""Examples."""


def patients_are_images(names: Sequence[str], patients: np.ndarray) -> bool:
    """Whether nothing says whom the images show, so that each is a patient of its own.

    Args:
        names: ``(n,)``.
        patients: ``(n,)``; the name of the image where it is not known.
    """
    return len(names) > 1 and list(names) == [str(patient) for patient in patients]


def alike_across(images: np.ndarray, parts: Sequence[str]) -> list[list[int]]:
    """Groups of images of more than one part that show the same picture, the largest first.

    Args:
        images: ``(n, side, side)`` uint8, such as a cache's.
        parts: ``(n,)`` the part of each; "" for none, which are not compared.
    """
    small = thumbnails(images)
    inside = np.array([part != "" for part in parts])
    pairs = find_duplicates(images, small, (blanks(small) == 0) & inside)
    return [rows for rows in groups(pairs, len(images)) if len({parts[row] for row in rows}) > 1]


def across_note(names: Sequence[str], images: np.ndarray, part_of: Mapping[str, str]) -> str | None:
    """A note on images that look alike across parts, for where patients are not known.

    Args:
        names: ``(n,)``.
        images: ``(n, side, side)`` uint8.
        part_of: name -> part, of those that are in one.
    """
    if len(part_of) > MOST_COMPARED:
        return (
            f"patients are not known, and {len(part_of):,} images are too many to look for alike "
            "ones across parts before each search; cxrsearch eda does it once"
        )
    found = alike_across(images, [part_of.get(name, "") for name in names])
    if not found:
        return None
    examples = "; ".join(
        " = ".join(f"{names[row]} ({part_of[names[row]]})" for row in rows[:ALIKE_SHOWN])
        for rows in found[:ALIKE_SHOWN]
    )
    count = sum(map(len, found))
    return (
        f"{count:,} images look alike across parts, {len(found):,} "
        f"picture{'s' * (len(found) > 1)} in all: {examples}. Patients are not known, so they "
        "count as different ones, and what is trained on is judged by: scores will be too good. "
        "Keep one of each, or say whom they show (columns: patient in dataset.yaml); cxrsearch "
        "eda shows them"
    )
