"""The methods that were not taken, by the exact bootstrap of whole patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BBC = "out of the bag (BBC)"
EFRON = "Efron's optimism"
NAIVE = "not corrected"


@dataclass(frozen=True)
class Reported:
    """What a method says of the chosen model: a value and a 95% interval."""

    value: float
    low: float
    high: float


def observed(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(models,) mean AUROC of scores (models, n, k) over labels that are all defined."""
    once = np.ones((1, len(labels)), dtype=np.int32)
    return weighted(scores, labels, once)[0].mean(axis=1)


def bootstrapped(
    scores: np.ndarray, labels: np.ndarray, patients: np.ndarray, draws: int, seed: int
) -> dict[str, Reported]:
    """What each says of the best of the models, all from the same draws of patients.

    - *out of the bag*: in each draw the best in the bag, scored by those not in it; a label's
      values are averaged over the draws that define it, then the labels'. The interval is of
      percentiles over the draws (Tsamardinos et al. 2018).
    - *Efron's optimism*: the best value less how much the bag flatters the best in it; the interval
      is of the bag's values around it (Efron 1983).
    - *not corrected*: the best value and its percentiles.

    Args:
        scores: (models, n, k).
        labels: (n, k), each defined on the whole.
        patients: (n,).
        draws: how many.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    _, patient = np.unique(patients, return_inverse=True)
    count = int(patient.max()) + 1
    drawn = rng.integers(count, size=(draws, count))
    bag = np.stack([np.bincount(row, minlength=count) for row in drawn]).astype(np.int32)
    inside = weighted(scores, labels, bag[:, patient])
    outside = weighted(scores, labels, (bag[:, patient] == 0).astype(np.int32))
    whole = weighted(scores, labels, np.ones((1, len(labels)), dtype=np.int32))[0]
    naive, chosen = float(whole.mean(axis=1).max()), int(whole.mean(axis=1).argmax())
    # What a bag does not define is taken from the whole, lest the mean be over other labels.
    filled = np.where(np.isnan(inside), whole, inside).mean(axis=2)
    rows, ahead = np.arange(draws), filled.argmax(axis=1)
    left = outside[rows, ahead]
    value = float(np.nanmean(np.nanmean(left, axis=0)))
    flattery = filled[rows, ahead] - whole.mean(axis=1)[ahead]
    optimism = naive - float(flattery.mean())
    return {
        BBC: Reported(value, *_ends(np.nanmean(left, axis=1))),
        EFRON: Reported(optimism, *_ends(optimism + flattery - flattery.mean())),
        NAIVE: Reported(naive, *_ends(filled[:, chosen])),
    }


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def weighted(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Exact AUROC with weights: (draws, models, k), NaN where a class has none.

    Args:
        scores: (models, n, k).
        labels: (n, k) of 0 and 1.
        weights: (draws, n) whole numbers.
    """
    models, _, k = scores.shape
    found = np.empty((len(weights), models, k))
    for column in range(k):
        positives, negatives = (np.flatnonzero(labels[:, column] == mark) for mark in (1, 0))
        positive = weights[:, positives].astype(float)
        running = np.zeros((len(weights), len(negatives) + 1), dtype=np.int32)
        for model in range(models):
            values = scores[model, :, column]
            order = negatives[np.argsort(values[negatives], kind="stable")]
            np.cumsum(weights[:, order], axis=1, out=running[:, 1:])
            below, up_to = (
                np.searchsorted(values[order], values[positives], side)
                for side in ("left", "right")
            )
            pairs = 2.0 * positive.sum(axis=1) * running[:, -1]
            twice = (positive * (running[:, below] + running[:, up_to])).sum(axis=1)
            with np.errstate(invalid="ignore"):
                found[:, model, column] = twice / pairs
    return found
