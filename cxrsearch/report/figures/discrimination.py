"""How well a model tells who has a disease: by label, their means, micro and among the sick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .estimate import Estimate, mean_of
from .ranks import ranked
from .sample import JudgedSample
from .shares import share_of

DISCRIMINATION = ("auroc", "average_precision")
"""Figures of discrimination, in the order of `ranks.ranked`."""

CURVE_POINTS = 200
"""Points of a drawn curve, at the most."""

Estimates = dict[str, Estimate]


@dataclass(frozen=True, eq=False)
class Discrimination:
    """Figures by name.

    Args:
        labels: of each label, ``auroc``, ``average_precision`` and ``prevalence``.
        mean: over the labels of the objective.
        macro: over all labels.
        micro: over all marks of all labels together; its counts are of marks.
    """

    labels: dict[str, Estimates]
    mean: Estimates
    macro: Estimates
    micro: Estimates


def discriminate(sample: JudgedSample, objective: Sequence[int]) -> Discrimination:
    """AUROC and average precision, beside prevalence, which is what chance gives the latter.

    Args:
        sample: the images.
        objective: places of the labels that the mean is over.
    """
    labels: dict[str, Estimates] = {}
    for column, name in enumerate(sample.label_names):
        there, away = sample.there[:, column], sample.away[:, column]
        pair = ranked(there, away, sample.scores[:, column], sample.draws)
        prevalence = share_of(there, there | away, sample.draws, "no mark is known")
        labels[name] = dict(zip(DISCRIMINATION, pair, strict=True)) | {"prevalence": prevalence}
    flat = (sample.there.T.ravel(), sample.away.T.ravel())
    micro = ranked(*flat, sample.scores.T.ravel(), sample.draws)
    return Discrimination(
        labels,
        averaged(sample, labels, [sample.label_names[i] for i in objective]),
        averaged(sample, labels, sample.label_names),
        dict(zip(DISCRIMINATION, micro, strict=True)),
    )


def averaged(
    sample: JudgedSample,
    labels: dict[str, Estimates],
    names: Sequence[str],
    which: Sequence[str] = DISCRIMINATION,
) -> Estimates:
    """The mean of each of ``which`` over the labels ``names`` that have it.

    Its counts are of images: with a known mark of at least one of these labels, and with a
    positive.
    """
    n, positives = sample.counted(names)
    return {
        figure: mean_of(
            [labels[name][figure] for name in names], "logit", n, positives, sample.draws.resamples
        )
        for figure in which
    }


def with_a_finding(sample: JudgedSample) -> JudgedSample:
    """The same among images on which at least one label is known to be present."""
    return sample.among(np.asarray(sample.there.any(axis=1)))


def roc_points(sample: JudgedSample, column: int) -> dict[str, list[float]]:
    """Points of the ROC curve: ``x`` (1 - specificity), ``y`` (sensitivity), ``threshold``.

    From (0, 0), at a threshold above all scores, to (1, 1).
    """
    edges, found, wrong = _counts(sample, column)
    if not len(edges):
        return {"x": [], "y": [], "threshold": []}
    keep = _thinned(len(edges))
    return {
        "x": [0.0, *(wrong / max(1, wrong[-1]))[keep].tolist()],
        "y": [0.0, *(found / max(1, found[-1]))[keep].tolist()],
        "threshold": [1.0 + 1e-9, *edges[keep].tolist()],
    }


def precision_recall_points(sample: JudgedSample, column: int) -> dict[str, list[float]]:
    """Points of precision ``y`` over recall ``x``, with the ``threshold`` of each."""
    edges, found, wrong = _counts(sample, column)
    if not len(edges) or not found[-1]:
        return {"x": [], "y": [], "threshold": []}
    keep = _thinned(len(edges))
    return {
        "x": (found / found[-1])[keep].tolist(),
        "y": (found / (found + wrong))[keep].tolist(),
        "threshold": edges[keep].tolist(),
    }


def _counts(
    sample: JudgedSample, column: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Scores from the highest down, and the positives and negatives at or above each."""
    there, away = sample.there[:, column], sample.away[:, column]
    known = there | away
    scores, marks = sample.scores[known, column].astype(float), there[known]
    edges, place = np.unique(scores, return_inverse=True)
    found = np.bincount(place, marks, len(edges))[::-1].cumsum()
    wrong = np.bincount(place, ~marks, len(edges))[::-1].cumsum()
    return edges[::-1], found, wrong


def _thinned(count: int) -> NDArray[np.int64]:
    """Places of at most `CURVE_POINTS` of ``count`` points, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, CURVE_POINTS)).round().astype(np.int64))
