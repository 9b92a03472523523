"""Predictions of several models for the same images, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.marks import compact
from cxrsearch.errors import InputError
from cxrsearch.learn.saved.arrays import read_arrays

from .scale import LIMIT, Array

LARGEST_LOGIT = 1e30
"""Logits beyond are damaged: float32 holds no more than 3e38."""


class Saved(NamedTuple):
    """What `read_predictions` gives.

    Args:
        names: of the k models.
        scores: (k, n, d) float32 logits.
        labels: (n, d), see `cxrsearch.data.marks`.
        patients: (n,).
        label_names: (d,) what the columns are.
    """

    names: tuple[str, ...]
    scores: Array
    labels: Array
    patients: Array
    label_names: tuple[str, ...]


def names_for(width: int) -> tuple[str, ...]:
    """What ``width`` columns of labels are called that nobody named.

    NIH's diseases where there are as many: so it was before labels had names.
    """
    named = width == len(DISEASES)
    return DISEASES if named else tuple(f"label {number}" for number in range(1, width + 1))


def read_predictions(path: Path | str) -> Saved:
    """Read an ``.npz`` with ``labels`` (n, d), ``patient`` (n,) and an (n, d) array a model.

    Labels are 1, 0, soft in between, or NaN where nothing is known. ``label_names`` (d,) says what
    the columns are; where it is not there, they are as in `names_for`. Every other array holds one
    model's logits. Nothing is unpickled.

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
    names = arrays.pop("label_names", None)
    problems = []
    if not _are_marks(labels):
        problems.append(f"{path}: 'labels' must be (n, d) of 0 to 1, NaN where nothing is known")
    else:
        if patients.shape != labels.shape[:1]:
            problems.append(f"{path}: 'patient' must be ({len(labels)},), got {patients.shape}")
        if names is not None and not _are_names(names, labels.shape[1]):
            problems.append(
                f"{path}: 'label_names' must be {labels.shape[1]} different texts, one a column of "
                "'labels'"
            )
    if not arrays:
        problems.append(f"{path}: no predictions; add an (n, d) array of logits for each model")
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
    called = names_for(labels.shape[1]) if names is None else tuple(map(str, names.tolist()))
    return Saved(tuple(arrays), scores, compact(labels), patients, called)


def _are_marks(labels: Array) -> bool:
    """Whether ``labels`` are as `cxrsearch.data.marks` says, with a column at least."""
    if labels.ndim != 2 or not labels.shape[1] or labels.dtype.kind not in "biuf":
        return False
    return not ((labels < 0) | (labels > 1)).any()  # neither is true of a NaN


def _are_names(names: Any, width: int) -> bool:
    """Whether ``names`` are a text for each of ``width`` columns, none twice or empty."""
    texts = names.tolist() if names.ndim == 1 and names.dtype.kind == "U" else []
    return len(texts) == len(set(texts)) == width and all(text.strip() for text in texts)


def logits_of(probabilities: Array) -> Array:
    """float32 logits of probabilities, within +-`LIMIT`."""
    p = np.asarray(probabilities, dtype=np.float64)
    with np.errstate(divide="ignore"):
        logits = np.log(p) - np.log1p(-p)
    return np.asarray(np.clip(logits, -LIMIT, LIMIT), dtype=np.float32)
