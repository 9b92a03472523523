"""Paired differences of arms to the baseline, with intervals over patients and seeds. NumPy only.

A resample draws patients of the test part with replacement, and independently of them repeats
(seeds), the same for every arm: a two-way ("pigeonhole") bootstrap of crossed patients and seeds
(Owen, Annals of Applied Statistics 2007). Of R repeats R - 1 are drawn, which makes the variance
over few seeds unbiased (Rao & Wu, JASA 1988); drawing R would make it too small by 1 / R. An arm
that lacks repeats has R - 1 drawn of those that it has.

Several arms are compared with one baseline, so each has two intervals: its own 95% percentiles,
and one that holds for all arms together (the largest deviation of any arm in its own standard
errors, "max-t": Westfall & Young, Resampling-Based Multiple Testing, 1993). Whether an arm helped
is said by the latter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxrsearch.learn.metrics import auroc, mean_auroc, resampled

COVERAGE = 0.95
VERDICT_RESAMPLES = 2000

Floats = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Judged:
    """What an arm's scores on the test part are worth.

    Args:
        mean: mean AUROC over labels and seeds.
        interval: of it.
        by_seed: mean AUROC of each repeat.
        repeats: the repeats that are shared with the baseline.
        difference: to the baseline, over those.
        own: interval of the difference.
        simultaneous: the interval that holds for all arms together.
        labels: by column: AUROC, difference, and the difference's own interval.
    """

    mean: float
    interval: Interval
    by_seed: tuple[float, ...]
    repeats: tuple[int, ...]
    difference: float = 0.0
    own: Interval = (0.0, 0.0)
    simultaneous: Interval = (0.0, 0.0)
    labels: Mapping[int, tuple[float, float, Interval]] | None = None


def judge_arms(
    labels: np.ndarray,
    patients: NDArray[np.str_],
    scores: Mapping[str, Mapping[int, NDArray[np.float32]]],
    columns: Sequence[int],
    baseline: str,
    resamples: int = VERDICT_RESAMPLES,
    seed: int = 0,
) -> dict[str, Judged]:
    """Judge every arm on the same test images.

    Args:
        labels: (t, k), what is known; see `cxrsearch.data.marks`.
        patients: (t,).
        scores: by arm and repeat, (t, k) each; an arm may lack repeats.
        columns: the labels that the mean is over.
        baseline: the arm that the others are compared with.
        resamples: of the bootstrap.
        seed: of its draws.

    Returns:
        by arm, those with no repeat in common with the baseline left out.
    """
    found = {
        arm: {r: _Cell.of(labels, s, patients, columns, resamples, seed) for r, s in some.items()}
        for arm, some in scores.items()
    }
    base = found[baseline]
    shared = {arm: sorted(set(some) & set(base)) for arm, some in found.items()}
    arms = [arm for arm in found if shared[arm]]
    drawn = {arm: _differences(found[arm], base, shared[arm], seed) for arm in arms}
    critical = _critical([row_means(drawn[a]) for a in arms if a != baseline])
    return {
        arm: _judged(found[arm], base, shared[arm], drawn[arm], columns, critical, seed)
        for arm in arms
    }


@dataclass(frozen=True)
class _Cell:
    """AUROC by label, observed (k,) and in each resample of patients (resamples, k)."""

    observed: Floats
    drawn: Floats

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        scores: NDArray[np.float32],
        patients: NDArray[np.str_],
        columns: Sequence[int],
        resamples: int,
        seed: int,
    ) -> _Cell:
        truth, given = labels[:, list(columns)], scores[:, list(columns)]
        return cls(auroc(truth, given), resampled(truth, given, patients, resamples, seed))


def _seed_weights(total: int, resamples: int, seed: int) -> Floats:
    """How often each of ``total`` repeats is in each resample: (resamples, total).

    The same for every arm with as many repeats.
    """
    if total == 1:
        return np.ones((resamples, 1))
    rng = np.random.default_rng([seed, 1])
    picked = rng.integers(total, size=(resamples, total - 1))
    return np.stack([(picked == r).sum(axis=1) for r in range(total)], axis=1).astype(float)


def _over_seeds(cells: Sequence[Floats], seed: int) -> Floats:
    """The mean over the drawn ones of some repeats' (resamples, k) values."""
    weights = _seed_weights(len(cells), len(cells[0]), seed)
    summed = sum(w[:, None] * c for w, c in zip(weights.T, cells, strict=True))
    mean: Floats = summed / weights.sum(axis=1)[:, None]
    return mean


def _differences(
    arm: Mapping[int, _Cell], base: Mapping[int, _Cell], shared: Sequence[int], seed: int
) -> Floats:
    """Differences by label in each resample: (resamples, k)."""
    return _over_seeds([arm[r].drawn - base[r].drawn for r in shared], seed)


def _critical(means: Sequence[Floats]) -> float:
    """How many standard errors the largest deviation of any arm stays within, at `COVERAGE`."""
    deviations = []
    for values in means:
        error = np.nanstd(values)
        if error > 0:
            deviations.append(np.abs(values - np.nanmean(values)) / error)
    if not deviations:
        return 0.0
    return float(np.nanquantile(np.nanmax(deviations, axis=0), COVERAGE))


def _judged(
    arm: Mapping[int, _Cell],
    base: Mapping[int, _Cell],
    shared: Sequence[int],
    drawn: Floats,
    columns: Sequence[int],
    critical: float,
    seed: int,
) -> Judged:
    repeats = sorted(arm)
    by_seed = tuple(mean_auroc(arm[r].observed) for r in repeats)
    level = _over_seeds([arm[r].drawn for r in repeats], seed)
    means = row_means(drawn)
    each = np.mean([arm[r].observed - base[r].observed for r in shared], axis=0)
    difference = mean_auroc(each)
    reach = critical * float(np.nanstd(means))
    values = np.mean([arm[r].observed for r in repeats], axis=0)
    by_label = {
        column: (float(values[k]), float(each[k]), _ends(drawn[:, k]))
        for k, column in enumerate(columns)
        if not np.isnan(each[k])
    }
    return Judged(
        mean=float(np.mean(by_seed)),
        interval=_ends(row_means(level)),
        by_seed=by_seed,
        repeats=tuple(shared),
        difference=difference,
        own=_ends(means),
        simultaneous=(difference - reach, difference + reach),
        labels=by_label,
    )


def row_means(values: Floats) -> Floats:
    """The mean over the defined values of each row of a (resamples, k) array: (resamples,)."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(defined, values, 0.0).sum(axis=1) / defined.sum(axis=1)
    return mean


def _ends(values: Floats) -> Interval:
    known = values[~np.isnan(values)]
    if not known.size:
        return (float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
