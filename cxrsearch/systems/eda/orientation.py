"""Images that are turned or inverted, told by what the rest of the set looks like.

The set's own median picture is the pattern. An image is compared with it as it is, turned by 90,
180 and 270 degrees, and inverted; where one of these fits better by `ORIENTATION_MARGIN`, it is
named.
``python -m experiments.explore --images DIR`` measures that. Of NIH's 1,916 images at hand, each
turned or inverted on purpose, 99.2% to 99.5% of the turned and 99.8% of the inverted are flagged.
Of the set as it is six are (0.3%): by eye two are inverted (one of them is taken for a turned one)
and one is upside down; the other three have bright bars beside the beam. Mirrored images it cannot
tell.

A pattern cannot tell that most of the set is inverted or on its side; for that it is looked at
itself (`set_problems`): right for all of 100 draws of 30 images, as they are, inverted, and on
their side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cxrsearch.data.alike.thumbnails import THUMBNAIL_SIDE, detail, typical, unit

PATTERN_FROM = 30
"""Images that make a pattern."""
PATTERN_WIDTH = 8.0
"""Of the Gaussian that is taken off, in pixels of a thumbnail."""
ORIENTATION_MARGIN = 0.1
"""How much better another view has to correlate with the pattern."""
UPRIGHT = "upright"
TURNED = ("turned by 90°", "turned by 180°", "turned by 270°")
"""Counter-clockwise."""
INVERTED = "inverted"
ORIENTATIONS = (UPRIGHT, *TURNED, INVERTED)


class Orientation(NamedTuple):
    """Of each image: which of `ORIENTATIONS` it looks like, ``(n,)``, and by how much, ``(n,)``.

    ``pattern`` is the set's median picture, ``(32, 32)``.
    """

    kind: np.ndarray
    margin: np.ndarray
    pattern: np.ndarray


def orientations(small: np.ndarray, usable: np.ndarray) -> Orientation | None:
    """How each image stands; None where there are too few for a pattern.

    Args:
        small: ``(n, 32, 32)`` thumbnails.
        usable: ``(n,)`` bool; the others count as upright.
    """
    if usable.sum() < PATTERN_FROM:
        return None
    fine = detail(small, PATTERN_WIDTH)
    pattern = typical(fine[usable]).reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    kind, margin = against(fine, pattern)
    kind[~usable] = 0
    return Orientation(kind, margin, pattern)


def against(fine: np.ndarray, pattern: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compare ``fine`` ``(n, 1024)`` with ``pattern`` ``(32, 32)``: kinds and margins, ``(n,)``.

    An image turned by some angle fits the pattern that is turned likewise, and an inverted one
    its negative, so only the pattern has to be turned.
    """
    views = unit(np.stack([np.rot90(pattern, turn).reshape(-1) for turn in range(4)]))
    fits = fine @ views.T
    others = np.column_stack([fits[:, 1:], -fits[:, 0]])
    best = others.argmax(axis=1)
    margin = others[np.arange(len(fine)), best] - fits[:, 0]
    return np.where(margin > ORIENTATION_MARGIN, best + 1, 0), margin


def set_problems(pattern: np.ndarray) -> list[str]:
    """What is wrong with the set as a whole: `INVERTED`, or on its ``side``.

    Args:
        pattern: ``(32, 32)``, the median of the set's details: spine and heart are bright between
            two dark lungs, and left resembles right more than top resembles bottom.
    """
    found = []
    if _likeness(pattern, pattern[::-1]) > _likeness(pattern, pattern[:, ::-1]):
        found.append("side")
        pattern = np.rot90(pattern)
    upper = pattern[8:20]
    middle = upper[:, 14:18].mean()
    lungs = np.concatenate([upper[:, 6:12], upper[:, 20:26]], axis=1).mean()
    if middle < lungs:
        found.append(INVERTED)
    return found


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1])
