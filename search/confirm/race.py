"""Which rerun is next: every finalist a few times, then those between which the choice lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.special import ndtr, stdtrit

from .effects import Effects, Placing, effects
from .reruns import Rerun

Doubt = Callable[[Rerun, Rerun], float | None]
"""Standard error over patients of the difference between two finished reruns of one round; ``None``
where it isn't known."""

ROUNDS = 2
"""Rounds in which all finalists take part that are not surely worse by then."""
RERUNS_EACH, FEWEST_FINALISTS, MOST_FINALISTS = 4, 2, 8
"""Reruns for each finalist on average, and the fewest and most finalists; see `finalist_count`."""
LEVEL = 0.01
"""Chance that a race drops its truly best finalist, at most."""
OVERLAP = 0.25
"""Patients judged over patients trained on, in a round. That share of a round's variance is the
same in all rounds and doesn't go away with more of them (Nadeau and Bengio, Machine Learning 2003).
"""
BELIEF = 4
"""Reruns' worth of belief that seeds matter as much as patients do, until the reruns say."""


def finalist_count(reruns: int) -> int:
    """How many finalists a budget of so many reruns is best spread over.

    Four reruns each, at least two finalists and at most eight: docs/confirmation.md has the
    alternatives.

    Args:
        reruns: in all.
    """
    count = max(FEWEST_FINALISTS, (reruns + RERUNS_EACH // 2) // RERUNS_EACH)
    return max(1, min(reruns, MOST_FINALISTS, count))


def next_rerun(
    finalists: Sequence[int], done: Sequence[Rerun], total: int, doubt: Doubt | None = None
) -> Placing | None:
    """The rerun to begin now, ``(finalist, round)``.

    All finalists run in round 0, then in round 1, the best so far first. After that it is the
    leader or its strongest challenger, whichever has fewer reruns: the challenger is who is
    expected to be ahead of the leader by most (top-two expected improvement; Qin, Klabjan and
    Russo, NeurIPS 2017). Who is surely worse than the leader by then, or has failed, takes part no
    longer; see `surely_worse`. A race with one finalist left goes on for the sake of its value.

    A pure function of its arguments, so that a resumed race goes on as it would have. The larger
    values are the better ones.

    Args:
        finalists: trial numbers, the most promising first.
        done: reruns begun so far. A running one (value ``None``) counts as placed, so that several
            workers get different ones; a failed one (NaN) puts its finalist out.
        total: reruns in all.
        doubt: of the difference of two reruns, where it is known.

    Returns:
        ``None`` where all are placed or no finalist is left. The race is over once none runs
        either.
    """
    if len(done) >= total:
        return None
    failed = {rerun.finalist for rerun in done if _failed(rerun)}
    left = [number for number in dict.fromkeys(finalists) if number not in failed]
    out = surely_worse(left, done, doubt)
    left = [number for number in left if number not in out]
    if not left:
        return None
    placed = {(rerun.finalist, rerun.round) for rerun in done}
    found = effects(left, finished(done), placed)
    ahead = sorted(range(len(left)), key=lambda k: -found.mean[k])  # stable: the search's order
    for round_ in range(ROUNDS):
        for k in ahead:
            if (left[k], round_) not in placed:
                return left[k], round_
    number = left[_deciding(found, ahead[0], [_count(placed, number) for number in left])]
    return number, next(r for r in range(total + 1) if (number, r) not in placed)


def surely_worse(
    finalists: Sequence[int], done: Sequence[Rerun], doubt: Doubt | None = None
) -> set[int]:
    """Finalists that are behind the leader by more than luck explains, at `LEVEL` in all.

    The mean difference over the rounds that both have run is compared by a t test. The variance of
    one round's difference comes from the residuals of all reruns and, where ``doubt`` is known,
    from the patients, with as much again for the seeds until the reruns say. Without ``doubt``
    nobody drops out before there are two rounds. The level is shared among the finalists, and among
    looks: the n-th round gets the part 1 / n(n + 1).
    """
    values = finished(done)
    seen = [number for number in finalists if any(pair[0] == number for pair in values)]
    if len(seen) < 2:
        return set()
    found = effects(seen, values)
    leader = seen[int(np.argmax(found.mean))]
    by_pair = {(rerun.finalist, rerun.round): rerun for rerun in done}
    out = set()
    for number in seen:
        rounds = [r for f, r in values if f == number and (leader, r) in values]
        if number == leader or not rounds:
            continue
        gap = float(np.mean([values[leader, r] - values[number, r] for r in rounds]))
        pairs = [(by_pair[leader, r], by_pair[number, r]) for r in rounds]
        variance, freedom = _variance(found, pairs, doubt)
        if freedom < 1 or (doubt is None and len(rounds) < ROUNDS):
            continue
        looks = len(rounds) * (len(rounds) + 1)
        limit = -float(stdtrit(freedom, LEVEL / (len(finalists) - 1) / looks))
        if gap > limit * math.sqrt(variance * (1 / len(rounds) + OVERLAP)):
            out.add(number)
    return out


def finished(done: Sequence[Rerun]) -> dict[Placing, float]:
    """The value of each rerun that has one."""
    return {
        (rerun.finalist, rerun.round): rerun.value
        for rerun in done
        if rerun.value is not None and math.isfinite(rerun.value)
    }


def _failed(rerun: Rerun) -> bool:
    return rerun.value is not None and not math.isfinite(rerun.value)


def _variance(
    found: Effects, pairs: Sequence[tuple[Rerun, Rerun]], doubt: Doubt | None
) -> tuple[float, int]:
    """(variance of one round's difference, its degrees of freedom)."""
    known = [] if doubt is None else [doubt(a, b) for a, b in pairs]
    errors = [error**2 for error in known if error is not None]
    if not errors:
        return 2 * found.noise, found.freedom
    # Patients alone explain this much; the seeds as much again, until there are reruns to tell.
    believed, freedom = 2 * float(np.mean(errors)), BELIEF + found.freedom
    return (BELIEF * believed + found.freedom * 2 * found.noise) / freedom, freedom


def _count(placed: set[Placing], number: int) -> int:
    return sum(pair[0] == number for pair in placed)


def _deciding(found: Effects, leader: int, counts: Sequence[int]) -> int:
    """The leader or its strongest challenger, whichever has fewer reruns."""
    gains: Mapping[int, float] = {
        k: _gain(found, k, leader) for k in range(len(counts)) if k != leader
    }
    if not gains:
        return leader
    rival = max(gains, key=lambda k: (gains[k], -counts[k]))
    return leader if counts[leader] <= counts[rival] else rival


def _gain(found: Effects, rival: int, leader: int) -> float:
    """Expected amount by which ``rival`` is ahead of ``leader``, 0 where it is behind."""
    cov = found.covariance
    spread = math.sqrt(
        max(cov[rival, rival] + cov[leader, leader] - 2 * cov[rival, leader], 1e-300)
    )
    z = float(found.mean[rival] - found.mean[leader]) / spread
    return spread * (math.exp(-z * z / 2) / math.sqrt(2 * math.pi) + z * float(ndtr(z)))
