"""The ends of each range of augmentation on a few X-rays: a page for a doctor's eye."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cxrsearch.show.page import render
from cxrsearch.show.picture import data_uri


class Tile(NamedTuple):
    """A grey picture, (h, w) uint8, and what stands below it."""

    caption: str
    picture: np.ndarray

    @property
    def source(self) -> str:
        """The picture as the text of an ``img`` element's ``src``."""
        return data_uri(self.picture)


class Shown(NamedTuple):
    """One X-ray as it is, and at the ends of each range by the range's name."""

    title: str
    plain: Tile
    ends: Mapping[str, Sequence[Tile]]


def extremes_html(data: str, warnings: Sequence[str], images: Sequence[Shown]) -> str:
    """The page's text: a row a range, and in it each image as it is between the two ends.

    Args:
        data: where the images come from.
        warnings: what to look out for.
        images: all with the same ranges.
    """
    names = list(images[0].ends) if images else []
    rows = [(name.replace("_", " "), [_between(image, name) for image in images]) for name in names]
    return render(
        "extremes.html", folder=Path(__file__).parent, title="Extremes of the augmentation",
        data=data, warnings=warnings, images=images, rows=rows,
    )  # fmt: skip


def _between(image: Shown, name: str) -> list[Tile]:
    """The lower end, the image itself, the upper end; a flip has the one end only."""
    *low, high = image.ends[name]
    return [*low, image.plain, high]
