"""How often pseudo-labels are right, where the truth is known after all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrsearch.data.marks import absent, known, present
from cxrsearch.learn.calibrate import lower_bound
from cxrsearch.learn.metrics import SortedColumn, multiplicities
from cxrsearch.learn.pseudo import select

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
"""Shares at which `by_share` judges, beside the one that is used."""


def judge_pseudo(
    targets: NDArray[np.float32],
    truth: NDArray[np.generic],
    patients: NDArray[Any],
    label_names: Sequence[str],
    seed: int,
    resamples: int = 1000,
) -> list[dict[str, Any]]:
    """The precision of pseudo-labels, a label at a time, among the images of which it is known.

    The interval of each is 95%, over patients (the selection stays as it is), and no narrower
    than that of Clopper & Pearson (Biometrika 1934): of ten images that are all right, every
    resample is.

    Args:
        targets: (m, k), 1, 0, or NaN where there is none.
        truth: (m, k), see `cxrsearch.data.marks`.
        patients: (m,) whom each image shows.
        label_names: (k,) what the columns are.
        seed: of the bootstrap.
        resamples: of it.

    Returns:
        a dict for each label: ``label``, ``prevalence`` (share of positives among what is known;
        None where nothing is), and under ``positive`` and ``negative`` ``taken``, ``right``,
        ``precision``, ``interval`` and ``chance`` (the precision of drawing at random); None where
        nothing was taken.
    """
    _, whose = np.unique(np.asarray(patients), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = multiplicities(rng, int(whose.max(initial=-1)) + 1, resamples)
    weights = counts[:, whose].astype(float)
    found = []
    for column, label in enumerate(label_names):
        marks = np.asarray(truth)[:, column]
        ill, well = present(marks), absent(marks)
        there = ill | well
        share = float(ill.sum() / there.sum()) if there.any() else None
        positive, negative = (there & (targets[:, column] == end) for end in (1, 0))
        ends = {
            "positive": _precision(positive, ill, weights, share),
            "negative": _precision(negative, well, weights, None if share is None else 1 - share),
        }
        found.append({"label": label, "prevalence": share, **ends})
    return found


def _precision(
    taken: NDArray[np.bool_],
    correct: NDArray[np.bool_],
    weights: NDArray[np.float64],
    chance: float | None,
) -> dict[str, Any]:
    count, right = int(taken.sum()), int((taken & correct).sum())
    if not count:
        return {"taken": 0, "right": 0, "precision": None, "interval": None, "chance": chance}
    drawn = weights[:, taken].sum(axis=1)
    with np.errstate(invalid="ignore"):
        shares = weights[:, taken & correct].sum(axis=1) / drawn
    low, high = np.quantile(shares[drawn > 0], [0.025, 0.975]) if drawn.any() else (0.0, 1.0)
    exact_low, exact_high = (
        lower_bound(np.array(number), np.array(count), 0.975) for number in (right, count - right)
    )
    interval = [float(min(low, exact_low)), float(max(high, 1 - exact_high))]
    return {
        "taken": count, "right": right, "precision": right / count, "interval": interval,
        "chance": chance,
    }  # fmt: skip


def by_share(
    scores: NDArray[np.floating], truth: NDArray[np.generic], shares: Sequence[float]
) -> list[dict[str, float | None]]:
    """The mean precision over the labels at each of ``shares``.

    Args:
        scores: (m, k) probabilities by a teacher that did not see the truth.
        truth: (m, k), see `cxrsearch.data.marks`. Labels without positives are left out, and
            images of which a label is not known count nowhere for it.
        shares: taken at each end.

    Returns:
        a dict for each share: ``share``, ``positive`` and ``negative`` (mean precision), and
        ``prevalence`` (mean over the same labels).
    """
    ill, well = present(truth), absent(truth)
    occurs = ill.any(axis=0)
    there = known(truth)[:, occurs]
    found: list[dict[str, float | None]] = []
    for share in sorted(set(shares)):
        ends = select(scores, share)
        means: dict[str, float | None] = {"positive": None, "negative": None, "prevalence": None}
        if occurs.any() and not np.isnan(ends).all():
            means = {
                "positive": _mean_share((ends == 1)[:, occurs] & there, ill[:, occurs]),
                "negative": _mean_share((ends == 0)[:, occurs] & there, well[:, occurs]),
                "prevalence": _prevalence(ill[:, occurs], there),
            }
        found.append({"share": share, **means})
    return found


def _mean_share(taken: NDArray[np.bool_], correct: NDArray[np.bool_]) -> float | None:
    """The share of those taken that are correct, mean over the columns that have some."""
    count = taken.sum(axis=0)
    some = count > 0
    right = (taken & correct).sum(axis=0)
    return float((right[some] / count[some]).mean()) if some.any() else None


def _prevalence(ill: NDArray[np.bool_], there: NDArray[np.bool_]) -> float:
    """The share of positives among what is known, mean over the columns."""
    images, columns = there.shape  # counts are scaled to all images, and divided once
    scaled = ill.sum(axis=0) * (images / there.sum(axis=0))
    return float(scaled.sum() / (images * columns))


def paired_difference(
    labels: NDArray[np.generic],
    scores: tuple[NDArray[np.floating], NDArray[np.floating]],
    patients: NDArray[Any],
    columns: Sequence[int],
    label_names: Sequence[str],
    seed: int,
    resamples: int = 1000,
) -> dict[str, Any]:
    """The mean AUROC of the second ``scores`` minus that of the first, on the same images.

    Each resample draws patients once for both, so that what is hard about some patients is hard
    for both; a label that a resample leaves with one class is left out of its mean.

    Args:
        labels: (n, k), see `cxrsearch.data.marks`.
        scores: two of (n, k).
        patients: (n,).
        columns: labels that the mean is over.
        label_names: (k,) what they are called.
        seed: of the bootstrap.
        resamples: of it.

    Returns:
        ``difference``, its 95% ``interval`` (None where no label can be judged), and
        ``labels``: difference and interval of each.
    """
    ill, well = present(labels), absent(labels)
    _, whose = np.unique(np.asarray(patients), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = multiplicities(rng, int(whose.max(initial=-1)) + 1, resamples)[:, whose]
    once = np.ones((1, len(ill)), np.int32)
    drawn, points = [], []
    for column in range(ill.shape[1]):
        first, second = (
            SortedColumn(ill[:, column], well[:, column], s[:, column]) for s in scores
        )
        drawn.append(second.auroc(counts) - first.auroc(counts))
        points.append(float((second.auroc(once) - first.auroc(once))[0]))
    chosen = [c for c in columns if not math.isnan(points[c])]
    each = {
        name: {"difference": _number(points[c]), "interval": _interval(drawn[c])}
        for c, name in enumerate(label_names)
    }
    if not chosen:
        return {"difference": None, "interval": None, "labels": each}
    stack = np.stack([drawn[c] for c in chosen])
    defined = ~np.isnan(stack)
    sums = np.where(defined, stack, 0.0).sum(axis=0)
    means = sums[defined.any(axis=0)] / defined.sum(axis=0)[defined.any(axis=0)]
    point = float(np.mean([points[c] for c in chosen]))
    return {"difference": point, "interval": _interval(means), "labels": each}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _interval(values: NDArray[np.float64]) -> list[float] | None:
    defined = values[~np.isnan(values)]
    if not defined.size:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return [float(low), float(high)]
