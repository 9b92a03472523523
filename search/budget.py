"""How much a search may spend: a number of trials, a time, or both."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

ELAPSED = "elapsed"
"""The study attribute that remembers the seconds spent."""

UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")


@dataclass(frozen=True)
class Budget:
    """What ends a search.

    Args:
        trials: the study's trials in total, those of earlier runs included; ``None``: any.
        seconds: running time of the study in total, summed over its runs; ``None``: any.
    """

    trials: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.trials is None and self.seconds is None:
            raise ValueError("a budget needs a number of trials, a time, or both")
        if self.trials is not None and self.trials < 0:
            raise ValueError(f"a budget of {self.trials} trials; give 0 or more")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError(f"a budget of {self.seconds} seconds; give 0 or more")


class Memory(Protocol):
    """What a `Clock` needs of a study."""

    def get(self, key: str, default: Any = None) -> Any:
        """The attribute ``key``, or ``default``."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Store the attribute ``key``."""
        ...


class Clock:
    """The time a study has run, over all its runs.

    The seconds spent are kept in the study, so a resumed search has what is left, and the
    hours between two runs cost nothing. What passes between the last `save` and a kill is
    not counted.

    Args:
        study: where the seconds are kept.
        seconds: the limit, or ``None``.
        now: a clock in seconds.
    """

    def __init__(
        self, study: Memory, seconds: float | None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._study = study
        self._seconds = seconds
        self._now = now
        self._before = float(study.get(ELAPSED, 0.0))
        self._start = now()

    @property
    def elapsed(self) -> float:
        """Seconds spent so far, those of earlier runs included."""
        return self._before + self._now() - self._start

    @property
    def left(self) -> float | None:
        """Seconds left, never negative; ``None`` without a limit."""
        return None if self._seconds is None else max(0.0, self._seconds - self.elapsed)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.left == 0.0

    def save(self) -> None:
        """Remember the time spent so far in the study."""
        self._study.set(ELAPSED, round(self.elapsed, 3))


def parse_duration(text: str) -> float:
    """Seconds of a duration such as ``8h``, ``90m``, ``45s``, ``1h30m`` or ``2d``.

    Raises:
        ValueError: where it is none, or is zero.
    """
    compact = "".join(text.split()).lower()
    if not _DURATION.fullmatch(compact):
        raise ValueError(f"{text!r} is not a duration; write 8h, 90m, 45s, 1h30m or 2d")
    parts = _PART.findall(compact)
    seconds = sum(float(amount) * UNITS[unit] for amount, unit in parts)
    if len({unit for _, unit in parts}) < len(parts):
        raise ValueError(f"{text!r} names a unit twice; write 8h, 90m, 45s, 1h30m or 2d")
    if seconds <= 0 or not math.isfinite(seconds):
        raise ValueError(f"{text!r} is no time to search in; give more than 0 seconds")
    return seconds
