"""What the marks of a label array say: present, absent, or not known.

Labels are an ``(n, k)`` array, a row an image, a column a label: 1 where it is present, 0 where it
is absent, between them where readers disagree, and NaN where nothing is known. Arrays of zeros and
ones in whole numbers say the same of what is all known (`compact`). Whatever counts or judges asks
here, so that what is not known counts nowhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HALF = 0.5
"""A mark above it is a positive, one below a negative; at it nobody can tell."""


def present(labels: np.ndarray) -> NDArray[np.bool_]:
    """Where ``labels`` say that the label is there: more readers said so than not."""
    return np.asarray(np.asarray(labels) > HALF)


def absent(labels: np.ndarray) -> NDArray[np.bool_]:
    """Where ``labels`` say that the label is not there."""
    return np.asarray(np.asarray(labels) < HALF)


def known(labels: np.ndarray) -> NDArray[np.bool_]:
    """Where a mark is a positive or a negative, and so can be judged by."""
    return np.logical_or(present(labels), absent(labels))


def nothing_found(labels: np.ndarray) -> NDArray[np.bool_]:
    """``(n,)`` the images on which no label is known to be present: "no finding"."""
    return np.logical_not(present(labels).any(axis=1))


def all_known(labels: np.ndarray) -> bool:
    """Whether every mark is a plain 0 or 1."""
    marks = np.asarray(labels)
    return bool(((marks == 0) | (marks == 1)).all())


def compact(labels: np.ndarray) -> np.ndarray:
    """``labels`` as uint8 where every mark is 0 or 1, else as float32."""
    return np.asarray(labels, np.uint8 if all_known(labels) else np.float32)
