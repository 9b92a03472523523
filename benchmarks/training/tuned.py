"""(b+): the plain script at its best, found by trying torch's own knobs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.measure import Spread, interleave

FINALISTS = 3


@dataclass(frozen=True)
class Knobs:
    """What a user can set without writing another script.

    Args:
        workers: processes of the ``DataLoader``, kept between epochs.
        threads: of torch.
        channels_last: the memory layout.
    """

    workers: int
    threads: int
    channels_last: bool

    @property
    def persistent(self) -> bool:
        """Whether workers stay between epochs, which is faster wherever there are some."""
        return self.workers > 0

    def text(self) -> str:
        """``1 worker, 2 threads, channels_last``."""
        parts = [
            f"{self.workers} worker{'s' * (self.workers != 1)}",
            f"{self.threads} thread{'s' * (self.threads != 1)}",
            *(["channels_last"] if self.channels_last else []),
        ]
        return ", ".join(parts)


def candidates(cores: int, fast: bool = False) -> list[Knobs]:
    """0, 1 and 2 workers (on 16 cores also half of them), one to all threads, both layouts.

    Args:
        cores: of the machine.
        fast: four of them only.
    """
    if fast:
        return [Knobs(*each, True) for each in itertools.product((0, 2), sorted({1, cores}))]
    workers = {0, 1, 2} | ({cores // 2} if cores >= 16 else set())
    threads = sorted({1, max(1, cores // 2), max(1, cores - 1), cores})
    layouts = (False, True)
    return [Knobs(*each) for each in itertools.product(sorted(workers), threads, layouts)]


def best(
    seconds: Callable[[Knobs], float], knobs: Sequence[Knobs], rounds: int
) -> tuple[Knobs, dict[Knobs, float]]:
    """The fastest: all are tried once, the first few again in ``rounds``, medians decide.

    Args:
        seconds: times a short run.
        knobs: what to try.
        rounds: of the final.

    Returns:
        the fastest, and the seconds of all, of the finalists the median.
    """
    took = {each: seconds(each) for each in knobs}
    finalists = sorted(knobs, key=took.__getitem__)[:FINALISTS]
    calls = {each.text(): (lambda k=each: seconds(k)) for each in finalists}  # type: ignore[misc]
    again = interleave(calls, rounds)
    for each in finalists:
        took[each] = Spread.of(again[each.text()]).median
    return min(finalists, key=took.__getitem__), took
