"""Where the signs of a drawn X-ray are: what changes of the picture when one is left out.

Noise, pose and every other sign follow from random numbers of their own, so that two drawings which
differ in one label differ in its sign alone. A sign that changes the shape of the chest, such as a
large heart, is wherever the picture is another one for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import find_objects, gaussian_filter, label

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.labels.boxes import Box

from .canvas import Array
from .dataset import PhantomSource

PLACE_SIDE = 128
"""Pixels a side of the drawings that are compared."""

SOFT = 1.5 / 128
"""Deviation of the Gaussian that evens the change out, of the side."""

STRONG = 1 / 3
"""A place belongs to the sign where the change is at least so much of the largest one."""

LEAST_CHANGE = 2.0
"""Grey levels; a sign that changes less anywhere cannot be seen and has no place."""

LEAST_PIECE = 1e-3
"""Share of the picture below which a piece of a sign's place gets no box."""


def sign_places(source: PhantomSource, name: str, side: int = PLACE_SIDE) -> dict[str, Array]:
    """Where the signs of an image are: disease -> (side, side) bool, of its positive labels.

    Args:
        source: the drawn data set.
        name: of one of its images.
        side: pixels.

    Raises:
        ImageError: where the phantom has no such image.
    """
    whole = source.decode(name, side).astype(np.float32)
    found = {}
    for disease in source.signs(name):
        without = source.decode_without(name, side, disease).astype(np.float32)
        change = gaussian_filter(np.abs(whole - without), SOFT * side)
        strongest = float(change.max())
        found[disease] = change >= max(LEAST_CHANGE, STRONG * strongest)
    return found


def sign_boxes(dataset: Dataset, names: tuple[str, ...] | None = None) -> Iterator[Box]:
    """A box around each piece of each sign of a drawn data set, by image and label.

    Args:
        dataset: as from `phantom_dataset`.
        names: of its images; None: all that have a label.

    Raises:
        ValueError: where the data are not drawn ones.
    """
    source = dataset.source
    if not isinstance(source, PhantomSource):
        raise ValueError(f"{dataset.label}: not drawn, so that nobody knows where its signs are")
    for name in dataset.names if names is None else names:
        for disease, mask in sign_places(source, name).items():
            for left, top, right, bottom in _pieces(mask):
                yield Box(name, disease, left, top, right, bottom, 0)


def _pieces(mask: Array) -> Iterator[tuple[float, float, float, float]]:
    """Left, top, right and bottom of each connected piece, as shares of the side."""
    side = len(mask)
    pieces, _ = label(mask, structure=np.ones((3, 3), int))
    for number, place in enumerate(find_objects(pieces), start=1):
        if (pieces[place] == number).sum() < LEAST_PIECE * side * side:
            continue
        rows, columns = place
        yield (
            columns.start / side, rows.start / side, columns.stop / side, rows.stop / side
        )  # fmt: skip
