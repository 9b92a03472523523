"""Single values of a search space: numbers, choices, limits, and how to show them."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.errors import did_you_mean

LARGEST_INT = 2**53
"""Optuna stores every parameter as a double; whole numbers are exact up to here."""

LARGEST_STORED = 2**63
"""Databases hold no larger whole numbers."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SIZE = re.compile(r"\d{1,6}(\s*x\s*\d{1,6})?", re.IGNORECASE)
_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 60


def show(value: Any) -> str:
    """``value`` for a message: YAML's spelling of plain values, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str) and len(value) <= 60 and value.isprintable() and value.strip():
        return value
    try:
        return _shown.repr(value)
    except ValueError:  # Python refuses to spell out whole numbers of thousands of digits
        return "a number too long to show"


def same(a: Any, b: Any) -> bool:
    """Equal, and not a truth value on one side and a number on the other."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def near(name: Any, known: Iterable[str]) -> str:
    """`did_you_mean`, for names that may be anything."""
    return did_you_mean(name, known) if isinstance(name, str) else ""


def is_scalar(value: Any) -> TypeGuard[bool | int | float | str | None]:
    """Whether Optuna can store ``value`` as a choice."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < LARGEST_STORED
    return value is None or isinstance(value, str)


def number(value: Any) -> int | float | None:
    """``value`` as a finite number, or ``None``.

    PyYAML reads ``1e-4`` as text (YAML 1.1 wants ``1.0e-4``), so text that spells a number is
    one. Truth values are none.
    """
    if isinstance(value, str) and len(value) < 40 and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_INT else None
    return value if math.isfinite(value) else None


def whole(value: Any) -> int | None:
    """``value`` as a whole number, or ``None``."""
    found = number(value)
    if found is None or found != int(found) or abs(found) > LARGEST_INT:
        return None
    return int(found)


def coerce(value: Any, limits: Mapping[str, Any] | None) -> Any:
    """``value`` with text that spells a number made one, unless the gene takes text."""
    limits = limits or {}
    kind = limits.get("type")
    if limits.get("text") or kind in ("str", "bool") or not isinstance(value, str):
        if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
            found = number(value)
            return value if found is None else float(found)
        return value
    if kind is None and "e" not in value.lower():
        return value
    found = number(value)
    if found is None:
        return value
    return whole(found) if kind == "int" and whole(found) is not None else found


def limit_problem(value: Any, limits: Mapping[str, Any] | None) -> str | None:
    """Why ``value`` lies outside a gene's limits, or ``None``."""
    if not limits:
        return None
    kind = limits.get("type")
    if "choices" in limits:
        allowed = list(limits["choices"])
        if any(same(value, choice) for choice in allowed):
            return None
        also = limits.get("also", {})
        if isinstance(value, str) and any(re.fullmatch(form, value) for form in also.values()):
            return None
        hint = near(value, map(str, allowed))
        known = ", ".join(map(show, (*allowed, *also)))
        return f"{show(value)} is none of {known}{hint or _on_off(value)}"
    if limits.get("text"):
        return None if isinstance(value, str) else f"{show(value)} is not text{_on_off(value)}"
    if limits.get("size"):
        return _size_problem(value, limits)
    if kind == "bool":
        return None if isinstance(value, bool) else f"{show(value)} is neither true nor false"
    if kind in ("int", "float"):
        found = whole(value) if kind == "int" else number(value)
        if found is None or isinstance(value, str):
            return f"{show(value)} is no {'whole ' if kind == 'int' else ''}number"
        return _range_problem(found, limits)
    return None


def _on_off(value: Any) -> str:
    return "; YAML reads on, off, yes and no as true and false: quote it" * isinstance(value, bool)


def _size_problem(value: Any, limits: Mapping[str, Any]) -> str | None:
    huge = isinstance(value, int) and abs(value) > LARGEST_INT
    text = "" if huge or isinstance(value, bool | float) else str(value)
    if not _SIZE.fullmatch(text.strip()):
        return f"{show(value)} is not a size; write a side (224) or HEIGHTxWIDTH (600x800)"
    problems = (_range_problem(int(side), limits) for side in text.lower().split("x"))
    return next((problem for problem in problems if problem), None)


def _range_problem(value: float, limits: Mapping[str, Any]) -> str | None:
    if "above" in limits and value <= limits["above"]:
        return f"{show(value)} is too small; it must be above {show(limits['above'])}"
    if "low" in limits and value < limits["low"]:
        return f"{show(value)} is too small; the least is {show(limits['low'])}"
    if "high" in limits and value > limits["high"]:
        return f"{show(value)} is too large; the most is {show(limits['high'])}"
    return None


def place(dist: BaseDistribution, value: Any) -> tuple[Any, str | None]:
    """``value`` as ``dist`` has it, and why it lies outside, or ``None``."""
    if isinstance(dist, CategoricalDistribution):
        for choice in dist.choices:
            if same(choice, value) or same(choice, number(value)):
                return choice, None
        choices = ", ".join(map(show, dist.choices))
        return value, f"{show(value)} is none of its choices ({choices})"
    assert isinstance(dist, FloatDistribution | IntDistribution)
    found = whole(value) if isinstance(dist, IntDistribution) else number(value)
    if found is None:
        kind = "whole number" if isinstance(dist, IntDistribution) else "number"
        return value, f"{show(value)} is no {kind}"
    found = float(found) if isinstance(dist, FloatDistribution) else found
    if not dist.low <= found <= dist.high:
        return found, f"{show(found)} lies outside {show(dist.low)} to {show(dist.high)}"
    steps = (found - dist.low) / dist.step if dist.step else 0.0
    if abs(steps - round(steps)) > 1e-8:
        return found, f"{show(found)} is not {show(dist.low)} plus a multiple of {show(dist.step)}"
    return found, None
