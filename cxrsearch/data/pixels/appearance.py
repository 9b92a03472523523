"""What pictures look like as a few numbers, so that others can be held against them.

A network answers for pictures like those that it was trained on. An inverted picture, one of 12
bits in 16 that came out nearly black, or one that was enlarged, reaches it without a word: it is an
array of the right shape. A summary of the training pictures goes into the model's card, and
whatever the model is judged on is compared with it (`cxrsearch.model.suspicion.pictures`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cxrsearch.data.alike.thumbnails import FRAMES, blanks, detail, thumbnails, unit
from search.reading import number, whole

MOST_SUMMED = 512
"""Pictures at most that a summary is of, evenly spread over those given."""
PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
"""Percentiles that a summary keeps."""
PICTURE_MEASURES = ("level", "spread", "sharpness")
"""Of a picture: its mean grey level and the deviation of its grey levels, both 0 to 255, and the
contrast between neighbouring pixels over that between neighbouring pairs of pixels."""
PATTERN_SIDE = 32
"""Of the typical picture."""
PATTERN_COARSE = 8.0
"""Width of the Gaussian that is taken off before pictures are compared with it, in its pixels."""
INVERTED_FROM = 0.1
"""Correlation with the typical picture's negative from which a picture counts as inverted."""
PATTERN_OF = 30
"""Pictures that make a typical one."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Measures of some pictures, one row each.

    Args:
        measures: (n, 3) float64, see `PICTURE_MEASURES`.
        blank: (n,) int: 0 where a picture shows something, 1 nearly black, 2 nearly white, 3
            nearly one grey.
        details: (n, 1024) float32, what is finer than `PATTERN_COARSE` in 32 x 32 pixels.
    """

    measures: np.ndarray
    blank: np.ndarray
    details: np.ndarray

    @property
    def typical(self) -> np.ndarray | None:
        """(32, 32) int8, the median of the details, at most 100; None of fewer than
        `PATTERN_OF` pictures that show something."""
        shown = self.details[self.blank == 0]
        if len(shown) < PATTERN_OF:
            return None
        median = np.median(shown, axis=0)
        most = float(np.abs(median).max())
        scaled: np.ndarray = np.round(median * (100 / most if most > 0 else 0)).astype(np.int8)
        return scaled.reshape(PATTERN_SIDE, PATTERN_SIDE)

    def fits(self, typical: np.ndarray) -> np.ndarray:
        """(n,) correlation of each picture with ``typical``; 0 of a blank one."""
        pattern = unit(typical.reshape(1, -1).astype(np.float32))
        found: np.ndarray = (self.details @ pattern[0]).astype(float)
        return np.where(self.blank == 0, found, 0.0)


@dataclass(frozen=True)
class Appearance:
    """What pictures look like: a small summary of many.

    Args:
        images: how many it is of.
        frame: side of the pictures.
        percentiles: measure -> its `PERCENTILES`, see `PICTURE_MEASURES`.
        blank: how many show nothing.
        inverted: how many look like the negative of the typical one.
        pattern: the typical picture's detail, 32 x 32 signed bytes in hex; "" where there were too
            few for one.
    """

    images: int
    frame: int
    percentiles: Mapping[str, tuple[float, ...]]
    blank: int
    inverted: int
    pattern: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "images": self.images, "frame": self.frame, "steps": list(PERCENTILES),
            "percentiles": {name: list(values) for name, values in self.percentiles.items()},
            "blank": self.blank, "inverted": self.inverted, "pattern": self.pattern,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, value: Any) -> Appearance | None:
        """What `to_dict` gave; None where ``value`` is not that."""
        if not isinstance(value, dict) or value.get("steps") != list(PERCENTILES):
            return None
        images, frame = whole(value.get("images"), 1), whole(value.get("frame"), 1)
        blank, inverted = whole(value.get("blank"), 0), whole(value.get("inverted"), 0)
        given, pattern = value.get("percentiles"), value.get("pattern")
        if images is None or frame is None or blank is None or inverted is None:
            return None
        if not isinstance(given, dict) or not isinstance(pattern, str):
            return None
        found = {}
        for name in PICTURE_MEASURES:
            values = given.get(name)
            if not isinstance(values, list) or len(values) != len(PERCENTILES):
                return None
            numbers = tuple(number(one) for one in values)
            if None in numbers:
                return None
            found[name] = tuple(float(one) for one in numbers if one is not None)
        if pattern and _pattern(pattern) is None:
            return None
        return cls(images, frame, found, blank, inverted, pattern)

    @cached_property
    def typical(self) -> np.ndarray | None:
        """(32, 32) int8, the typical picture's detail; None where there is none."""
        return _pattern(self.pattern)

    def at(self, measure: str, percent: int) -> float:
        """A percentile of a measure, of `PERCENTILES`."""
        return self.percentiles[measure][PERCENTILES.index(percent)]


def appearance(images: np.ndarray, rows: np.ndarray | None = None) -> Appearance:
    """A summary of pictures, of `MOST_SUMMED` at most.

    Args:
        images: (n, side, side) uint8, such as a cache's.
        rows: which of them; all by default. At least one.

    Raises:
        ValueError: where there is none.
    """
    chosen = spread_over(np.arange(len(images)) if rows is None else np.asarray(rows), MOST_SUMMED)
    if not len(chosen):
        raise ValueError("a summary of no picture")
    found = pictures(images, chosen)
    typical = found.typical
    inverted = 0 if typical is None else int((found.fits(typical) < -INVERTED_FROM).sum())
    steps = np.percentile(found.measures, PERCENTILES, axis=0)
    return Appearance(
        images=len(chosen),
        frame=int(images.shape[-1]),
        percentiles={
            name: tuple(round(float(value), 4) for value in steps[:, column])
            for column, name in enumerate(PICTURE_MEASURES)
        },
        blank=int((found.blank > 0).sum()),
        inverted=inverted,
        pattern="" if typical is None else typical.tobytes().hex(),
    )


def spread_over(rows: np.ndarray, most: int) -> np.ndarray:
    """``rows``, or ``most`` of them evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


def pictures(images: np.ndarray, rows: np.ndarray) -> Pictures:
    """Measure each picture.

    Args:
        images: (n, side, side) uint8, such as a cache's; read block by block.
        rows: (m,) which of them.
    """
    measures = np.zeros((len(rows), len(PICTURE_MEASURES)))
    small = np.zeros((len(rows), PATTERN_SIDE, PATTERN_SIDE), np.float32)
    for start in range(0, len(rows), FRAMES):
        part = slice(start, start + FRAMES)
        block = np.asarray(images[rows[part]], np.float32)
        measures[part, 0] = block.mean(axis=(1, 2))
        measures[part, 1] = block.std(axis=(1, 2))
        measures[part, 2] = _sharpness(block)
        small[part] = thumbnails(block, to=PATTERN_SIDE)
    return Pictures(measures, blanks(small), detail(small, PATTERN_COARSE))


def _sharpness(block: np.ndarray) -> np.ndarray:
    """(n,) of pictures (n, side, side): contrast within pairs of pixels over that between pairs.

    Where a picture was enlarged by two, each pixel resembles its neighbour, and the first is next
    to nothing.
    """
    side = block.shape[-1] - block.shape[-1] % 4
    if side < 4:
        return np.zeros(len(block))
    fine, coarse = _octave(block[:, :side, :side])
    below, _ = _octave(coarse)
    ratio: np.ndarray = fine / np.maximum(below, 0.5)
    return ratio


def _octave(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Contrast (n,) within 2 x 2 pixels, and the means of these."""
    half = block.shape[-1] // 2
    cells = block.reshape(len(block), half, 2, half, 2)
    means = cells.mean(axis=(2, 4))
    rest = cells - means[:, :, None, :, None]
    return np.sqrt((rest * rest).mean(axis=(1, 2, 3, 4))), means


def _pattern(text: str) -> np.ndarray | None:
    """(32, 32) int8 of hex; None where that is none."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    if len(raw) != PATTERN_SIDE**2:
        return None
    return np.frombuffer(raw, np.int8).reshape(PATTERN_SIDE, PATTERN_SIDE)
