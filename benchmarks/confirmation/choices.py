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

from .expecting import values
from .problems import TABLES, problem, seeds_of
from .traces import Trace, read

OBSERVED, EXPECTED, BOTH = "observed", "expected", "both"


@dataclass(frozen=True)
class Way:
    """A way to choose.

    Args:
        share: of the budget that is spent on reruns; 0 chooses without any.
        finalists: how many, or what says it by the number of reruns.
        by: what the finalists are the highest of: `OBSERVED`, `EXPECTED`, or the mean of both,
            `BOTH`.
        raced: whether reruns go where they decide, or else to all finalists alike.
        independent: whether reruns on tables are independent draws; see `rerun_value`.
    """

    share: float = 0.0
    finalists: int | Callable[[int], int] = finalist_count
    by: str = "observed"
    raced: bool = True
    independent: bool = False

    def parts(self, budget: int) -> tuple[int, int]:
        """(trials, reruns) of a budget."""
        reruns = round(self.share * budget)
        return budget - reruns, reruns


NAIVE = Way()
BEST_FIVE = Way(0.2, 5, raced=False)
"""The plain rule: repeat the five best by observed score and choose by the mean."""


def choose(trace: Trace, way: Way, budget: int) -> int:
    """The number of the trial that a way chooses.

    Args:
        trace: of at least ``budget`` trials.
        way: how.
        budget: trainings in all, reruns among them.
    """
    trials, reruns = way.parts(budget)
    known = _judged(trace, trials, way.by)
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


def _judged(trace: Trace, trials: int, by: str) -> Mapping[int, float]:
    seen = dict(enumerate(trace.observed[:trials]))
    if by == OBSERVED:
        return seen
    found = values(trace, trials)
    return found if by == EXPECTED else {n: (seen[n] + found[n]) / 2 for n in found}


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
    scores: dict[int, list[float]] = {}
    for k in range(reruns):
        number, round_ = finalists[k % len(finalists)], k // len(finalists)
        scores.setdefault(number, []).append(score(number, round_))
    return max(scores, key=lambda number: float(np.mean(scores[number])))


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
