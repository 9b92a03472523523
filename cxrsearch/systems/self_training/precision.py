"""How often pseudo-labels are right, where the truth is known after all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.calibrate import lower_bound
from cxrsearch.learn.metrics import _multiplicities, _Sorted
from cxrsearch.learn.pseudo import select

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
"""Shares at which `by_share` judges, beside the one that is used."""


def judge_pseudo(
    targets: NDArray[np.float32],
    truth: NDArray[np.generic],
    patients: NDArray[Any],
    seed: int,
    resamples: int = 1000,
) -> list[dict[str, Any]]:
    """The precision of pseudo-labels, a disease at a time.

    The interval of each is 95%, over patients (the selection stays as it is), and no narrower
    than that of Clopper & Pearson (Biometrika 1934): of ten images that are all right, every
    resample is.

    Args:
        targets: (m, 14), 1, 0, or NaN where there is none.
        truth: (m, 14), 0 or 1.
        patients: (m,) whom each image shows.
        seed: of the bootstrap.
        resamples: of it.

    Returns:
        a dict for each disease: ``disease``, ``prevalence`` (share of positives among all m),
        and under ``positive`` and ``negative`` ``taken``, ``right``, ``precision``, ``interval``
        and ``chance`` (the precision of drawing at random); None where nothing was taken.
    """
    _, whose = np.unique(np.asarray(patients), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = _multiplicities(rng, int(whose.max(initial=-1)) + 1, resamples)
    weights = counts[:, whose].astype(float)
    found = []
    for column, disease in enumerate(DISEASES):
        ill = np.asarray(truth)[:, column].astype(bool)
        share = float(ill.mean()) if len(ill) else math.nan
        ends = {
            "positive": _precision(targets[:, column] == 1, ill, weights, share),
            "negative": _precision(targets[:, column] == 0, ~ill, weights, 1 - share),
        }
        found.append({"disease": disease, "prevalence": share, **ends})
    return found


def _precision(
    taken: NDArray[np.bool_],
    correct: NDArray[np.bool_],
    weights: NDArray[np.float64],
    chance: float,
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
    """The mean precision over the diseases at each of ``shares``.

    Args:
        scores: (m, 14) probabilities by a teacher that did not see the truth.
        truth: (m, 14), 0 or 1. Diseases without positives are left out.
        shares: taken at each end.

    Returns:
        a dict for each share: ``share``, ``positive`` and ``negative`` (mean precision), and
        ``prevalence`` (mean over the same diseases).
    """
    ill = np.asarray(truth).astype(bool)
    occurs = ill.any(axis=0)
    found: list[dict[str, float | None]] = []
    for share in sorted(set(shares)):
        ends = select(scores, share)
        means: dict[str, float | None] = {"positive": None, "negative": None, "prevalence": None}
        if occurs.any() and not np.isnan(ends).all():
            taken = int((ends[:, 0] == 1).sum())
            positive = ((ends == 1) & ill)[:, occurs].sum(axis=0) / taken
            negative = ((ends == 0) & ~ill)[:, occurs].sum(axis=0) / taken
            means = {
                "positive": float(positive.mean()),
                "negative": float(negative.mean()),
                "prevalence": float(ill[:, occurs].mean()),
            }
        found.append({"share": share, **means})
    return found


def paired_difference(
    labels: NDArray[np.generic],
    scores: tuple[NDArray[np.floating], NDArray[np.floating]],
    patients: NDArray[Any],
    columns: Sequence[int],
    seed: int,
    resamples: int = 1000,
) -> dict[str, Any]:
    """The mean AUROC of the second ``scores`` minus that of the first, on the same images.

    Each resample draws patients once for both, so that what is hard about some patients is hard
    for both; a disease that a resample leaves with one class is left out of its mean.

    Args:
        labels: (n, 14), 0 or 1.
        scores: two of (n, 14).
        patients: (n,).
        columns: diseases that the mean is over.
        seed: of the bootstrap.
        resamples: of it.

    Returns:
        ``difference``, its 95% ``interval`` (None where no disease can be judged), and
        ``diseases``: difference and interval of each.
    """
    truth = np.asarray(labels).astype(bool)
    _, whose = np.unique(np.asarray(patients), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = _multiplicities(rng, int(whose.max(initial=-1)) + 1, resamples)[:, whose]
    once = np.ones((1, len(truth)), np.int32)
    drawn, points = [], []
    for column in range(truth.shape[1]):
        first, second = (_Sorted(truth[:, column], ~truth[:, column], s[:, column]) for s in scores)
        drawn.append(second.auroc(counts) - first.auroc(counts))
        points.append(float((second.auroc(once) - first.auroc(once))[0]))
    chosen = [c for c in columns if not math.isnan(points[c])]
    diseases = {
        DISEASES[c]: {"difference": _number(points[c]), "interval": _interval(drawn[c])}
        for c in range(truth.shape[1])
    }
    if not chosen:
        return {"difference": None, "interval": None, "diseases": diseases}
    stack = np.stack([drawn[c] for c in chosen])
    defined = ~np.isnan(stack)
    sums = np.where(defined, stack, 0.0).sum(axis=0)
    means = sums[defined.any(axis=0)] / defined.sum(axis=0)[defined.any(axis=0)]
    point = float(np.mean([points[c] for c in chosen]))
    return {"difference": point, "interval": _interval(means), "diseases": diseases}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _interval(values: NDArray[np.float64]) -> list[float] | None:
    defined = values[~np.isnan(values)]
    if not defined.size:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return [float(low), float(high)]
