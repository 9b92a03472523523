"""Rounds, medians and ratios: what every figure here is made of."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROUNDS = 5
"""Rounds at least: A B C, C B A, A B C and so on, so that a slow minute meets all alike."""

_QUIET = 0.005  # seconds without work after which a process counts as idle
_IDLE = 0.001  # CPU seconds of a poll that are no work
_PATIENCE = 10.0  # seconds to wait at most, where other threads never rest


@dataclass(frozen=True)
class Spread:
    """A figure over its rounds.

    Args:
        median: of the rounds.
        low: the smallest.
        high: the largest.
        rounds: how many there were.
    """

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of ``values``, which must not be empty."""
        return cls(statistics.median(values), min(values), max(values), len(values))

    def text(self, digits: int = 2) -> str:
        """``0.95 (0.91 to 0.97)``."""
        return (
            f"{self.median:,.{digits}f} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"
            if self.rounds > 1
            else f"{self.median:,.{digits}f}"
        )


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The ratio of two figures, formed within each round before anything is averaged."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


def interleave(
    calls: Mapping[str, Callable[[], float]], rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Call each of ``calls`` once a round, every second round in the opposite order.

    Args:
        calls: name -> a function that does its work and returns its figure.
        rounds: at least one.

    Returns:
        name -> its figures, one a round.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        names = list(calls) if number % 2 == 0 else list(reversed(calls))
        for name in names:
            found[name].append(calls[name]())
    return found


def synchronize(device: torch.device) -> None:
    """Wait for what ``device`` was given to do."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of ``work``, until the device is done with it."""
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def timed_with_rest(work: Callable[[], object], device: torch.device) -> float:
    """`timed`, and whatever other threads of this process still do for it afterwards.

    A checkpoint that is written behind the loop's back takes time of the same cores: it counts
    for the loop, not for who is measured next. The process counts as idle once a few
    milliseconds pass without CPU time.
    """
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    end = time.perf_counter()
    while time.perf_counter() - start < _PATIENCE + 2 * (end - start):
        spent = time.process_time()
        time.sleep(_QUIET)
        if time.process_time() - spent < _IDLE:
            break
        end = time.perf_counter()
    return end - start
