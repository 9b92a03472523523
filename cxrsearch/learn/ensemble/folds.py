"""Predictions for patients that nothing was fitted on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from cxrsearch.data.marks import present
from cxrsearch.data.splits.stratify import generator, per_patient, stratify

from .scale import Array


def deal(labels: Array, patients: Array, folds: int, seed: int) -> Array:
    """(n,) the fold of each image: whole patients, each label shared out evenly.

    Raises:
        ValueError: where there are fewer patients than folds.
    """
    people, counts = per_patient(present(labels), patients)
    if not 2 <= folds <= len(people):
        raise ValueError(f"{folds} folds of {len(people)} patients: from 2 to as many as patients")
    part = stratify(counts, [1 / folds] * folds, generator(seed, "ensemble"), (1,) * folds)
    return np.asarray(part[np.searchsorted(people, patients)])


def held_out(
    fold: Callable[[Array, Array], Array], labels: Array, patients: Array, folds: int, seed: int
) -> Array:
    """(n, d) scores of every image by a fit that its patient had no part in.

    Scores of different fits do not compare, so they are turned into ranks within their fold,
    shares of (0, 1), before they lie in one array: the AUROC over it is then close to the
    mean over the folds.

    Args:
        fold: called with the images to fit on and those to score, both as bool masks.
        labels: (n, d).
        patients: (n,).
        folds: how many.
        seed: of the deal.
    """
    number = deal(labels, patients, folds, seed)
    out = np.zeros(labels.shape)
    for one in range(folds):
        held = number == one
        scores = fold(~held, held)
        out[held] = (rankdata(scores, axis=0) - 0.5) / held.sum()
    return out
