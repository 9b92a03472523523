"""Whether what a training came to says something, by the validation part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.learn.saved.arrays import load_arrays
from cxrsearch.learn.train import PREDICTIONS
from search.errors import SearchError

from .check import Check
from .outputs import below_chance_check, constant_check

VALIDATION_PART = "validation"


def validation_checks(
    scores: np.ndarray, label_names: Sequence[str], details: Mapping[str, Any]
) -> list[Check]:
    """Whether the scores of a validation part are constant, or the wrong way round.

    Args:
        scores: (n, k) probabilities.
        label_names: (k,).
        details: ``intervals`` and ``auroc`` by label and ``interval``, as
            `cxrsearch.learn.metrics.judge` gives them; what is missing is not told by.
    """
    intervals = details.get("intervals")
    return [
        constant_check(scores, label_names, VALIDATION_PART),
        below_chance_check(
            VALIDATION_PART,
            intervals if isinstance(intervals, Mapping) else {},
            details.get("interval"),
            details.get("auroc"),
        ),
    ]


def trial_checks(folder: Path, attrs: Mapping[str, Any], label_names: Sequence[str]) -> list[Check]:
    """`validation_checks` of a trial; none where its scores are no longer there.

    Args:
        folder: the trial's.
        attrs: what it told, see `validation_checks`.
        label_names: (k,) of its data.
    """
    try:
        scores = load_arrays(folder / PREDICTIONS, ("scores",))["scores"]
    except SearchError:
        return []
    if scores.ndim != 2 or scores.shape[1] != len(label_names):
        return []
    told = attrs.get("auroc")
    values = told if isinstance(told, Mapping) else {}
    judged = [column for column, name in enumerate(label_names) if values.get(name) is not None]
    judged = judged or list(range(len(label_names)))  # an untaught output means nothing
    return validation_checks(scores[:, judged], [label_names[c] for c in judged], attrs)
