"""A figure as a report says it: a value with its interval, its counts and where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One number of a report.

    Args:
        value: None where it is not defined.
        low: lower end of its 95% interval; None where there is none.
        high: upper end.
        n: images that it is over.
        positives: positive ones among them.
        part: what it is measured on: "validation", "test" or "external".
        chosen_on: the part on which whatever it depends on was chosen or fitted; None: nothing.
        reason: why there is no value, or no interval; None where both are there.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    positives: int
    part: str
    chosen_on: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        """Turn NaN into None, and refuse a gap without a reason."""
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None:
                number = float(number) if math.isfinite(number) else None
            object.__setattr__(self, name, number)
        gap = None in (self.value, self.low, self.high)
        if gap and not self.reason:
            raise ValueError("a figure without a value or an interval needs a reason")

    def to_json(self) -> dict[str, Any]:
        """As ``report.json`` holds it."""
        found = {
            "value": self.value, "low": self.low, "high": self.high, "n": self.n,
            "positives": self.positives, "part": self.part, "chosen_on": self.chosen_on,
        }  # fmt: skip
        return {**found, "reason": self.reason} if self.reason else found
