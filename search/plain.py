"""Values as JSON has them, so that what is stored is what is read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it.

    Numpy scalars and arrays become Python's, tuples and sets lists, keys strings;
    numbers that are not finite become ``None`` (JSON has none, and browsers refuse
    them); anything else becomes its text.
    """
    if value is None or isinstance(value, bool | int | str):
        return _exactly(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(v) for v in value), key=str)
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def _exactly(value: bool | int | str | None) -> bool | int | str | None:
    """``value`` itself, not one of a subclass such as an enum's."""
    if value is None or isinstance(value, bool):
        return value
    return int(value) if isinstance(value, int) else str.__str__(value)
