"""Predictions of several models for the same images, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.saved.arrays import read_arrays

from .scale import LIMIT, Array

LARGEST_LOGIT = 1e30
"""Logits beyond are damaged: float32 holds no more than 3e38."""


class Saved(NamedTuple):
    """What `read_predictions` gives.

    Args:
        names: of the k models.
        scores: (k, n, 14) float32 logits.
        labels: (n, 14) uint8.
        patients: (n,).
    """

    names: tuple[str, ...]
    scores: Array
    labels: Array
    patients: Array


def read_predictions(path: Path | str) -> Saved:
    """Read an ``.npz`` with ``labels`` (n, 14), ``patient`` (n,) and an (n, 14) array a model.

    Every array but ``labels`` and ``patient`` holds one model's logits, in NIH's order of the
    diseases. Nothing is unpickled.

    Raises:
        InputError: naming all that does not fit.
    """
    path = Path(path)
    try:
        arrays = read_arrays(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    labels = arrays.pop("labels", np.zeros(0))
    patients = arrays.pop("patient", np.zeros(0))
    problems = []
    if labels.ndim != 2 or labels.shape[1] != len(DISEASES) or not np.isin(labels, (0, 1)).all():
        problems.append(f"{path}: 'labels' must be (n, {len(DISEASES)}) of 0 and 1")
    elif patients.shape != labels.shape[:1]:
        problems.append(f"{path}: 'patient' must be ({len(labels)},), got {patients.shape}")
    if not arrays:
        problems.append(f"{path}: no predictions; add an (n, {len(DISEASES)}) array for each model")
    for name, array in arrays.items():
        if array.shape != labels.shape or array.dtype.kind != "f":
            problems.append(
                f"{path}: {name!r} is {array.dtype} {array.shape}, not logits {labels.shape}"
            )
        elif not (np.abs(array.astype(np.float64)) <= LARGEST_LOGIT).all():
            problems.append(f"{path}: {name!r} holds numbers that are not finite, or no logits")
    if problems:
        raise InputError(problems)
    scores = np.stack([array.astype(np.float32) for array in arrays.values()])
    return Saved(tuple(arrays), scores, labels.astype(np.uint8), patients)


def logits_of(probabilities: Array) -> Array:
    """float32 logits of probabilities, within +-`LIMIT`."""
    p = np.asarray(probabilities, dtype=np.float64)
    with np.errstate(divide="ignore"):
        logits = np.log(p) - np.log1p(-p)
    return np.asarray(np.clip(logits, -LIMIT, LIMIT), dtype=np.float32)
