"""Scores by disease as plain values, for attributes, JSON and people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cxrsearch.data.diseases import DISEASES

from .metrics import auroc, bootstrap, mean_auroc


def judge(
    labels: np.ndarray,
    scores: np.ndarray,
    patients: np.ndarray,
    columns: Sequence[int],
    resamples: int,
    seed: int,
) -> tuple[float, dict[str, Any], list[str]]:
    """The mean AUROC over some diseases, with all that is said beside it.

    Args:
        labels: (n, 14), 0 or 1.
        scores: (n, 14).
        patients: (n,) whom each image shows; the bootstrap draws patients.
        columns: the diseases that the mean is over.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        the mean (NaN where none of them is defined), a dict of ``auroc``, ``interval`` (of
        the mean) and ``intervals``, and notes on diseases that have no AUROC.
    """
    columns = list(columns)
    values = auroc(labels, scores)
    every = bootstrap(labels, scores, patients, resamples, seed)
    ends = every.mean
    if columns != list(range(len(DISEASES))):
        ends = bootstrap(labels[:, columns], scores[:, columns], patients, resamples, seed).mean
    details: dict[str, Any] = {
        "auroc": by_disease(values),
        "interval": [None if math.isnan(end) else end for end in ends],
        "intervals": intervals_by_disease(every.diseases),
    }
    return mean_auroc(values[columns]), details, undefined_notes(values, columns)


def by_disease(values: np.ndarray) -> dict[str, float | None]:
    """(14,) values by disease; None where not defined."""
    return {
        name: None if math.isnan(value) else float(value)
        for name, value in zip(DISEASES, values, strict=True)
    }


def intervals_by_disease(ends: np.ndarray) -> dict[str, list[float] | None]:
    """(14, 2) interval ends by disease; None where not defined."""
    return {
        name: None if np.isnan(pair).any() else [float(pair[0]), float(pair[1])]
        for name, pair in zip(DISEASES, ends, strict=True)
    }


def undefined_notes(values: np.ndarray, columns: Sequence[int]) -> list[str]:
    """A note that names the objective's diseases which have no AUROC."""
    names = [DISEASES[column] for column in columns if math.isnan(values[column])]
    if not names:
        return []
    return [
        f"no AUROC, left out of the mean, for want of positives or negatives: {', '.join(names)}"
    ]
