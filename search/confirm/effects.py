"""What finalists are worth, from reruns of which not every one has every round."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Placing = tuple[int, int]
"""(finalist, round) of a rerun."""
LEAST_SPREAD = 0.25
"""Variance between finalists, at least, in units of one rerun's noise. A few reruns cannot show
that all finalists are the same, so that this is never believed."""


class Effects(NamedTuple):
    """The finalists' worth, as differences from their mean, and how far it is known.

    Args:
        mean: expected worth of each finalist, shape (k,).
        covariance: of its error, shape (k, k), once all that is placed has finished.
        noise: variance of one rerun, its round taken out.
        freedom: degrees of freedom of ``noise``; 0 where it is a guess.
    """

    mean: Array
    covariance: Array
    noise: float
    freedom: int


def effects(
    finalists: Sequence[int], values: Mapping[Placing, float], running: Collection[Placing] = ()
) -> Effects:
    """Fit ``value = round + finalist + noise``, finalists drawn from one normal distribution.

    Rounds are fixed effects: their splits differ in difficulty, and only differences within a round
    count. Finalists are random ones, so that a finalist with few reruns is drawn to the mean of all
    (best linear unbiased prediction; Robinson, Statistical Science 1991). The noise is estimated by
    the residuals of the least-squares fit, the variance between finalists by moments.

    Args:
        finalists: all of them; those without a value have the mean of all.
        values: of the finished reruns, finite.
        running: reruns that are under way. They leave the means as they are, but the errors are
            what they will be with them.
    """
    place = {finalist: k for k, finalist in enumerate(finalists)}
    pairs = [pair for pair in values if pair[0] in place]
    gram, pull, left = _normal_equations(place, pairs, [values[pair] for pair in pairs])
    rank = int(np.linalg.matrix_rank(gram)) if pairs else 0
    rounds = len({pair[1] for pair in pairs})
    freedom = len(pairs) - rounds - rank
    plain = np.linalg.pinv(gram) @ pull
    noise = max(left - float(pull @ plain), 0.0) / freedom if freedom > 0 else 0.0
    if freedom <= 0:  # half of what finalists differ by within a round may be noise
        noise = left / (2 * max(len(pairs) - rounds, 1))
    between = _between(gram, plain, noise, rank)
    scale = max(float(np.abs(list(values.values())).max()) if values else 1.0, 1e-12)
    noise = max(noise, (1e-9 * scale) ** 2)  # exact values are weighed too, without dividing by 0
    prior = np.eye(len(place)) / max(between, LEAST_SPREAD * noise)
    mean = np.linalg.solve(gram / noise + prior, pull / noise)
    if running:
        placed = list({*pairs, *(pair for pair in running if pair[0] in place)})
        gram, _, _ = _normal_equations(place, placed, [0.0] * len(placed))
    covariance = np.linalg.inv(gram / noise + prior)
    return Effects(
        np.asarray(mean, np.float64), np.asarray(covariance, np.float64), noise, max(freedom, 0)
    )


def _normal_equations(
    place: Mapping[int, int], pairs: Sequence[Placing], values: Sequence[float]
) -> tuple[Array, Array, float]:
    """(matrix, right side, sum of squares) for the finalists, the rounds projected out."""
    gram, pull, left = np.zeros((len(place), len(place))), np.zeros(len(place)), 0.0
    for round_ in {pair[1] for pair in pairs}:
        here = [k for k, pair in enumerate(pairs) if pair[1] == round_]
        who = [place[pairs[k][0]] for k in here]
        seen = np.array([values[k] for k in here])
        seen -= seen.mean()
        gram[np.ix_(who, who)] += np.eye(len(who)) - 1 / len(who)
        pull[who] += seen
        left += float(seen @ seen)
    return gram, pull, left


def _between(gram: Array, plain: Array, noise: float, rank: int) -> float:
    """Variance between finalists: what their plain estimates spread more than their errors."""
    if rank < 1:
        return 0.0
    errors = noise * float(np.trace(np.linalg.pinv(gram)))
    known = plain[np.diag(gram) > 0]
    return max((float(((known - known.mean()) ** 2).sum()) - errors) / rank, 0.0)
