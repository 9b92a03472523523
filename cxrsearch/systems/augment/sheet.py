"""A few images at the ends of each range of augmentation, as small pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.diseases import NO_FINDING
from cxrsearch.data.errors import ImageError
from cxrsearch.data.marks import present
from cxrsearch.data.pixels.images import read_grey
from cxrsearch.data.read import FolderSource
from cxrsearch.learn.recipe import Recipe

from .copies import Extreme, extremes, make_copies
from .page import Shown, Tile

TILE_SIDE = 280
"""The longer side of a tile in pixels."""


def sample_sheet(dataset: Dataset, recipe: Recipe) -> list[Shown]:
    """The first and the middle image that can be read, each as it is and at every extreme."""
    source = dataset.source
    assert isinstance(source, FolderSource)
    found: list[Shown] = []
    half = len(dataset.names) // 2
    for start in (0, half):
        for row in range(start, len(dataset.names)):
            try:
                picture = read_grey(source.path(dataset.names[row]))
            except ImageError:
                continue
            marks = zip(dataset.label_names, present(dataset.labels[row]), strict=True)
            labels = [label for label, has in marks if has]
            title = f"{dataset.names[row]}, {', '.join(labels) or NO_FINDING}"
            if all(shown.title != title for shown in found):
                found.append(_shown(title, picture, recipe))
            break
    return found


def _shown(title: str, picture: np.ndarray, recipe: Recipe) -> Shown:
    ends = {name: [_tile(picture, recipe, end) for end in pair]
            for name, pair in extremes(recipe).items()}  # fmt: skip
    return Shown(title, Tile("as it is", _small(picture)), ends)


def _tile(picture: np.ndarray, recipe: Recipe, end: Extreme) -> Tile:
    return Tile(end.caption, _small(make_copies(picture, recipe, end.parameters)[0]))


def _small(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture)
    image.thumbnail((TILE_SIDE, TILE_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)
