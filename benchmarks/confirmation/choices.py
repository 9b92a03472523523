"""Ways to choose from a search's trials, all of them at the same number of trainings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from zlib import crc32

import numpy as np

from search.confirm.race import finalist_count, next_rerun
from search.confirm.reruns import Rerun
from search.confirm.result import confirmed

from .problems import TABLES, problem, seeds_of
from .traces import Trace, read

Expected = Callable[[Trace, int], Mapping[int, float]]
"""Expected value of each of a trace's first trials."""


@dataclass(frozen=True)
class Way:
    """A way to choose.

    Args:
        share: of the budget that is spent on reruns; 0 chooses without any.
        finalists: how many, or what says it by the number of reruns.
        expected: whether finalists are those of the highest expected value, or else of the highest
            observed one.
        raced: whether reruns go where they decide, or else to all finalists alike.
        independent: whether reruns on tables are independent draws; see `rerun_value`.
    """

    share: float = 0.0
    finalists: int | Callable[[int], int] = finalist_count
    expected: bool = True
    raced: bool = True
    independent: bool = False

    def parts(self, budget: int) -> tuple[int, int]:
        """(trials, reruns) of a budget."""
        reruns = round(self.share * budget)
        return budget - reruns, reruns


NAIVE = Way(expected=False)
BEST_FIVE = Way(0.2, 5, expected=False, raced=False)
"""The plain rule: repeat the five best by observed score and choose by the mean."""


def choose(trace: Trace, way: Way, budget: int, expected: Expected) -> int:
    """The number of the trial that a way chooses.

    Args:
        trace: of at least ``budget`` trials.
        way: how.
        budget: trainings in all, reruns among them.
        expected: what the surrogate says; asked only by ways that want it.
    """
    trials, reruns = way.parts(budget)
    known = expected(trace, trials) if way.expected else dict(enumerate(trace.observed[:trials]))
    count = way.finalists if isinstance(way.finalists, int) else way.finalists(reruns)
    finalists = _distinct(trace, sorted(known, key=lambda k: (-known[k], k)), max(count, 1))
    if not reruns:
        return finalists[0]

    def score(finalist: int, round_: int) -> float:
        return rerun_value(
            trace.sampler, trace.problem, trace.seed, finalist, round_, way.independent
        )

    if not way.raced:
        return _best_of_alike(finalists, reruns, score)
    done: list[Rerun] = []
    while pair := next_rerun(finalists, done, reruns):
        done.append(Rerun(len(trace.observed) + len(done), *pair, score(*pair)))
    found = confirmed(finalists, done)
    assert found is not None
    return found.number


def _distinct(trace: Trace, ordered: Sequence[int], count: int) -> list[int]:
    """The first ``count`` of different recipes."""
    found: dict[str, int] = {}
    for number in ordered:
        found.setdefault(repr(sorted(trace.params[number].items())), number)
    return list(found.values())[:count]


def _best_of_alike(
    finalists: Sequence[int], reruns: int, score: Callable[[int, int], float]
) -> int:
    """The best mean of as many reruns each; what is left over goes to the first."""
    values: dict[int, list[float]] = {}
    for k in range(reruns):
        number, round_ = finalists[k % len(finalists)], k // len(finalists)
        values.setdefault(number, []).append(score(number, round_))
    return max(values, key=lambda number: float(np.mean(values[number])))


@cache
def _traces(sampler: str) -> dict[tuple[str, int], Trace]:
    return read(sampler)


@cache
def rerun_value(
    sampler: str, name: str, seed: int, finalist: int, round_: int, independent: bool = False
) -> float:
    """What a rerun scores: the same whichever way asks for it, so that ways differ in what they do.

    On a table a rerun has another of its five seeds: first the four that the trial did not have, in
    turn, then its own. Drawn noise is drawn anew.

    Args:
        sampler: of the search.
        name: of the problem.
        seed: of the search.
        finalist: number of the trial whose recipe it is.
        round_: from 0.
        independent: on a table any of the five at random instead, as if there were no end of them.
    """
    trace = _traces(sampler)[name, seed]
    params = trace.params[finalist]
    if name in TABLES and not independent:
        scores = seeds_of(name, params)
        own = int(np.argmin(np.abs(scores - trace.observed[finalist])))
        return float(scores[(own + 1 + round_) % len(scores)])
    rng = np.random.default_rng([crc32(name.encode()), seed, finalist, round_, 1])
    return problem(name).evaluate(params, rng)[0]
