"""Probabilities put right: fitted on the validation part, or crosswise on external images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from cxrsearch.learn.calibrate import platt
from search.seeds import derive

from .sample import JudgedSample

CROSS_PARTS = 5
"""Parts of the patients, each put right by what the others say."""

_EDGE = 1e-6

Floats = NDArray[np.float64]


def recalibrated(
    sample: JudgedSample, validation: JudgedSample
) -> tuple[Floats, tuple[str | None, ...]]:
    """Probabilities by each label's line, fitted on the ``validation`` part.

    Returns:
        (n, k) probabilities, NaN where a label has no line, and why it has none.
    """
    found = np.full(sample.scores.shape, np.nan)
    reasons: list[str | None] = []
    for column in range(len(sample.label_names)):
        line, reason = line_of(validation, column)
        reasons.append(reason and f"no recalibration: {reason}")
        if line is not None:
            found[:, column] = put_right(sample.scores[:, column], *line)
    return found, tuple(reasons)


def cross_fitted(sample: JudgedSample, seed: int) -> tuple[Floats, tuple[str | None, ...]]:
    """Probabilities by lines fitted on the same images, of other patients than those put right.

    Patients are in `CROSS_PARTS` parts. Where one of the parts has no line, neither has the label.
    """
    rng = np.random.default_rng(derive(seed, "folds"))
    fold = rng.permutation(sample.draws.patients)[sample.draws.patient] % CROSS_PARTS
    found = np.full(sample.scores.shape, np.nan)
    reasons: list[str | None] = []
    for column in range(len(sample.label_names)):
        lines = [line_of(sample, column, fold != part) for part in range(CROSS_PARTS)]
        reason = next((why for _, why in lines if why), None)
        reasons.append(reason and f"no recalibration: {reason} in a fold")
        for part, (line, _) in enumerate(lines):
            if reason is None and line is not None:
                inside = fold == part
                found[inside, column] = put_right(sample.scores[inside, column], *line)
    return found, tuple(reasons)


def put_right(scores: NDArray[Any], slope: float, offset: float) -> Floats:
    """Probabilities of (n,) ``scores`` whose logits are moved along a line."""
    moved: Floats = expit(slope * logit(np.clip(scores.astype(float), _EDGE, 1 - _EDGE)) + offset)
    return moved


def line_of(
    sample: JudgedSample, column: int, images: NDArray[np.bool_] | None = None
) -> tuple[tuple[float, float] | None, str | None]:
    """Platt's slope and offset by the images, or some of them, or why there are none."""
    some = np.ones(sample.n, bool) if images is None else images
    there = sample.there[:, column] & some
    known = there | (sample.away[:, column] & some)
    for side, word in ((there, "positive"), (known & ~there, "negative")):
        if not side.any():
            return None, f"no {word} image to fit it by"
    return platt(there[known], sample.scores[known, column]), None
