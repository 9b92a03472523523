"""Time as the search spent it: seconds since its start, without the pauses between runs.

A study that is stopped in the evening and resumed in the morning has twelve hours in its
history in which nothing ran. They would squeeze everything else into the margins of a
figure, so they are taken out, and the page says how much.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable

from .rows import Row

PAUSE = 600.0
"""Seconds without any running trial that count as a pause."""


class SearchClock:
    """Maps seconds since 1970 to seconds of search.

    Args:
        rows: the study's trials; their spans (or start and end) say when something ran.
        now: the present, for trials that still run.
    """

    def __init__(self, rows: Iterable[Row], now: float | None = None) -> None:
        busy = sorted(_busy(rows, time.time() if now is None else now))
        self._starts: list[float] = []
        self._skipped: list[float] = []
        skipped, reached = 0.0, busy[0][0] if busy else 0.0
        self.begin = reached
        for start, end in busy:
            if start - reached > PAUSE:
                skipped += start - reached
                self._starts.append(start)
                self._skipped.append(skipped)
            reached = max(reached, end)
        self.end = reached
        self.paused = skipped
        self.worked = _union(busy)
        """Seconds in which at least one trial ran."""

    def __call__(self, moment: float) -> float:
        """Seconds of search before ``moment``."""
        index = bisect_right(self._starts, moment) - 1
        skipped = self._skipped[index] if index >= 0 else 0.0
        return max(0.0, moment - self.begin - skipped)

    @property
    def total(self) -> float:
        """Seconds of search in all."""
        return self(self.end)


def _busy(rows: Iterable[Row], now: float) -> Iterable[tuple[float, float]]:
    for item in rows:
        yield from ((span.start, span.end) for span in item.spans)
        if item.start is None:
            continue
        if item.state == "running":
            # Its last span grows with every step; what came before it may have been a pause.
            since = item.spans[-1].start if item.spans else item.start
            yield since, max(now, since)
        elif not item.spans:
            yield item.start, item.end or item.start


def _union(busy: Iterable[tuple[float, float]]) -> float:
    """The length of what ``busy``, sorted by their starts, cover together."""
    total, reached = 0.0, float("-inf")
    for start, end in busy:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def unit_of(seconds: float) -> tuple[float, str]:
    """The unit to show a span of ``seconds`` in: its length in seconds, and its name."""
    for length, name in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * length:
            return length, name
    return 1.0, "seconds"


def duration(seconds: float | None) -> str:
    """``"1 h 05 min"``, ``"4 min 10 s"``, ``"12.3 s"``; a dash where unknown."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
