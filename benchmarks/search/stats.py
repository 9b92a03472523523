"""The statistics of the comparison, on plain arrays.

Rows are cells, that is (problem, seed) pairs that all compared samplers ran; columns are
samplers. Every mean gives each problem the same weight, whatever its number of seeds.
Intervals come from a two-level bootstrap: problems are drawn, then seeds within each
(Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
DRAWS = 4000


def chosen(best: Sequence[tuple[int, float, float]], budget: int) -> float:
    """True score of the configuration with the highest observed one in the first trials.

    Args:
        best: (trial, observed, true) of each trial that was the best observed so far.
        budget: number of trials, at least 1.
    """
    return [true for trial, _, true in best if trial < budget][-1]


def ranks(values: Array) -> Array:
    """Rank of each sampler within each cell, 1 for the highest value, means for ties."""
    return np.asarray(stats.rankdata(-values, axis=1), np.float64)


def weights(problems: NDArray[np.int_]) -> Array:
    """Weight of each cell in a mean over problems of means over seeds; sums to 1.

    Args:
        problems: the problem of each cell, shape (cells,).
    """
    _, place, count = np.unique(problems, return_inverse=True, return_counts=True)
    return 1.0 / (len(count) * count[place])


def bootstrap(problems: NDArray[np.int_], draws: int = DRAWS, seed: int = 0) -> Array:
    """Weights of the cells in bootstrap samples, shape (draws, cells); each row sums to 1."""
    rng = np.random.default_rng(seed)
    names = np.unique(problems)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    found = np.zeros((draws, len(problems)))
    for name, drawn in zip(names, times.T, strict=True):
        place = np.flatnonzero(problems == name)
        # A problem drawn twice draws its seeds twice; all its draws are one multinomial.
        counts = rng.multinomial(drawn * len(place), np.full(len(place), 1 / len(place)))
        found[:, place] = counts / (len(place) * len(names))
    return found


def interval(samples: Array, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap samples."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def two_sided(samples: Array, value: float) -> float:
    """Two-sided bootstrap p of the hypothesis that the estimate is ``value``."""
    side = min(int((samples <= value).sum()), int((samples >= value).sum()))
    return min(1.0, 2 * (side + 1) / (len(samples) + 1))


def ratio(
    ours: Array, theirs: Array, problems: NDArray[np.int_], boot: Array
) -> tuple[float, float, float]:
    """Ratio of two mean regrets with its interval; NaN where theirs is not above 0.

    Args:
        ours: regret of each cell, shape (cells,).
        theirs: the same of the other sampler.
        problems: the problem of each cell.
        boot: what `bootstrap` gave for them.
    """
    base = weights(problems)
    if base @ theirs <= 0:
        return (float("nan"),) * 3
    lower = boot @ theirs
    samples = (boot @ ours)[lower > 0] / lower[lower > 0]
    return float(base @ ours / (base @ theirs)), *interval(samples)


def means_by_problem(values: Array, problems: NDArray[np.int_]) -> Array:
    """Mean over the seeds of each problem, shape (problems, ...)."""
    return np.stack([values[problems == name].mean(axis=0) for name in np.unique(problems)])


def wilcoxon(ours: Array, theirs: Array) -> float:
    """Two-sided p of Wilcoxon's signed-rank test over paired values, one pair a problem."""
    if not np.any(ours != theirs):
        return 1.0
    return float(stats.wilcoxon(ours, theirs, zero_method="zsplit").pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given (Holm, 1979)."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - place) * p[index]))
        adjusted[index] = highest
    return [float(value) for value in adjusted]


def friedman(values: Array) -> float:
    """p of Friedman's test that all samplers are equal; 1 with fewer than three.

    Args:
        values: mean of each problem and sampler, shape (problems, samplers).
    """
    if values.shape[1] < 3 or len(values) < 2:
        return 1.0
    return float(stats.friedmanchisquare(*values.T).pvalue)


def critical_difference(samplers: int, problems: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks over problems (Demšar, JMLR 7, 2006)."""
    quantile = float(stats.studentized_range.ppf(1 - alpha, samplers, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(samplers * (samplers + 1) / (6 * problems)))


def win_rates(ours: Array, theirs: Array) -> Array:
    """1 where ours is higher, 0 where lower, 1/2 for ties."""
    return np.asarray((np.sign(ours - theirs) + 1) / 2, np.float64)


def reached(best: Sequence[tuple[int, float, float]], target: float) -> float:
    """The first budget at which the chosen configuration's true score is at least ``target``.

    Infinite if there is none.
    """
    return next((trial + 1.0 for trial, _, true in best if true >= target), np.inf)


def still_improves(early: Array, late: Array) -> bool:
    """Whether the mean gain from ``early`` to ``late`` is above two standard errors.

    Args:
        early: score of each seed at the smaller budget.
        late: score of the same seeds at the larger one.
    """
    gain = late - early
    if len(gain) < 2:
        return False
    return bool(gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)))


def median(values: Sequence[float]) -> float:
    """The median; infinite values count as what they are."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
