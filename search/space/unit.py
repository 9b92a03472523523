"""One Optuna distribution as the unit interval [0, 1], and back.

Every sampler of this package that does arithmetic on genes does it on this scale:

* floats are mapped linearly, or linearly in the logarithm;
* stepped floats and ints take the middles of equal bins, one bin a level;
* log ints are mapped in the logarithm of the range widened by half a step at both ends,
  so that the first and the last value are as wide as their neighbours;
* choices take the middles of equal bins in the order in which they are given.
"""

from __future__ import annotations

import math
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

DIGITS = 12
"""Continuous values keep this many digits: of the range, or of the value if logarithmic.

It makes the round trip exact for every value that `from_unit` can return, and for a
known-good point that a person typed in.
"""


def levels(dist: BaseDistribution) -> int | None:
    """How many values ``dist`` can take, or None where it is continuous."""
    if isinstance(dist, CategoricalDistribution):
        return len(dist.choices)
    if isinstance(dist, IntDistribution):
        return (dist.high - dist.low) // dist.step + 1
    if isinstance(dist, FloatDistribution):
        if dist.step is not None:
            return round((dist.high - dist.low) / dist.step) + 1
        return 1 if dist.low == dist.high else None
    raise TypeError(f"{type(dist).__name__} is not a distribution of floats, ints or choices")


def values_of(dist: BaseDistribution) -> list[Any]:
    """All values of a ``dist`` that is not continuous, in order.

    Raises:
        ValueError: it is continuous.
    """
    count = levels(dist)
    if count is None:
        raise ValueError(f"the values of {dist} cannot be counted")
    if isinstance(dist, IntDistribution):
        return list(range(dist.low, dist.high + 1, dist.step))
    return [from_unit(dist, (k + 0.5) / count) for k in range(count)]


def to_unit(dist: BaseDistribution, value: Any) -> float:
    """Where ``value`` lies in ``dist``, from 0 to 1.

    A number outside the range is taken for the nearer end.

    Raises:
        ValueError: ``value`` is NaN or not a number, or not one of the choices.
    """
    if isinstance(dist, CategoricalDistribution):
        return (dist.to_internal_repr(value) + 0.5) / len(dist.choices)
    number = float(value)
    if math.isnan(number):
        raise ValueError(f"{value!r} has no place in {dist}")
    if not isinstance(dist, FloatDistribution | IntDistribution):
        raise TypeError(f"{type(dist).__name__} is not a distribution of floats, ints or choices")
    number = min(max(number, dist.low), dist.high)
    if dist.low == dist.high:
        return 0.5
    if dist.log:
        low, high = _log_ends(dist)
        if low == high:  # neighbouring numbers may have one logarithm
            return 0.0 if number == dist.low else 1.0
        return min(max((math.log(number) - low) / (high - low), 0.0), 1.0)
    if isinstance(dist, FloatDistribution) and dist.step is None:
        return (number - dist.low) / (dist.high - dist.low)
    assert dist.step is not None
    level = round((number - dist.low) / dist.step)
    count = levels(dist)
    assert count is not None
    return (min(level, count - 1) + 0.5) / count


def from_unit(dist: BaseDistribution, unit: float) -> Any:
    """The value of ``dist`` at ``unit``; always one that ``dist`` contains.

    ``unit`` below 0 or above 1, infinity included, is taken for the nearer end.

    Raises:
        ValueError: ``unit`` is NaN.
    """
    if math.isnan(unit):
        raise ValueError(f"NaN names no value of {dist}")
    unit = min(max(float(unit), 0.0), 1.0)
    if isinstance(dist, CategoricalDistribution):
        return dist.choices[_bin(unit, len(dist.choices))]
    if isinstance(dist, IntDistribution):
        return _int(dist, unit)
    if isinstance(dist, FloatDistribution):
        return _float(dist, unit)
    raise TypeError(f"{type(dist).__name__} is not a distribution of floats, ints or choices")


def reach(dist: BaseDistribution, width: float) -> float:
    """How far ``width`` reaches in the unit interval of a number's ``dist``.

    Args:
        dist: of floats or ints.
        width: in the gene's own unit; where it is logarithmic a factor above 1.
    """
    assert isinstance(dist, FloatDistribution | IntDistribution)
    if dist.log:
        low, high = _log_ends(dist)
        return math.log(width) / (high - low) if high > low else 1.0
    count = levels(dist)
    whole = (dist.high - dist.low) if count is None or dist.step is None else count * dist.step
    return width / whole if whole > 0 else 1.0


def _bin(unit: float, count: int) -> int:
    return min(int(unit * count), count - 1)


def _log_ends(dist: FloatDistribution | IntDistribution) -> tuple[float, float]:
    half = 0.5 if isinstance(dist, IntDistribution) else 0.0
    return math.log(dist.low - half), math.log(dist.high + half)


def _int(dist: IntDistribution, unit: float) -> int:
    if dist.log:
        low, high = _log_ends(dist)
        value = round(math.exp(low + unit * (high - low)))
        return min(max(value, dist.low), dist.high)
    return dist.low + dist.step * _bin(unit, (dist.high - dist.low) // dist.step + 1)


def _float(dist: FloatDistribution, unit: float) -> float:
    if dist.step is not None:
        count = levels(dist)
        assert count is not None
        value = _tidy(dist.low + _bin(unit, count) * dist.step, dist.step)
    elif unit in (0.0, 1.0):
        value = dist.high if unit else dist.low
    elif dist.log:
        low, high = _log_ends(dist)
        if low == high:
            return dist.low if unit < 0.5 else dist.high
        value = float(f"{math.exp(low + unit * (high - low)):.{DIGITS}g}")
    else:
        value = _tidy(dist.low + unit * (dist.high - dist.low), dist.high - dist.low)
    return min(max(value, dist.low), dist.high)


def _tidy(value: float, scale: float) -> float:
    """``value`` without the digits that are noise at ``scale``: 0.3, not 0.30000000000000004."""
    if scale <= 0.0 or math.isinf(scale):
        return value
    return round(value, DIGITS - math.ceil(math.log10(scale)))
