"""Values as JSON has them, so that what is stored is what is read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .reading import DEEPEST, readable

LONGEST_INT = 10_000
"""Bits of a whole number; Python writes and reads no more than 4,300 digits."""


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON can hold it, and `search.reading` reads it.

    Numpy scalars and arrays become Python's, tuples and sets lists, keys strings;
    numbers that are not finite become ``None`` (JSON has none, and browsers refuse
    them); anything else becomes its text, and so does what is nested too deeply. Halves of
    characters are spelt out, whole numbers of thousands of digits are hexadecimal.

    Args:
        value: anything.
        depth: levels that it lies below the whole.
    """
    if value is None or isinstance(value, bool | int | str):
        return _exactly(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return plain(value.tolist(), depth)
    if depth >= DEEPEST:
        return readable(str(value))
    if isinstance(value, Mapping):
        return {readable(str(k)): plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(v, depth + 1) for v in value), key=str)
    if isinstance(value, list | tuple):
        return [plain(v, depth + 1) for v in value]
    return readable(str(value))


def _exactly(value: bool | int | str | None) -> bool | int | str | None:
    """``value`` itself, not one of a subclass such as an enum's."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= LONGEST_INT else hex(value)
    return readable(str.__str__(value))
