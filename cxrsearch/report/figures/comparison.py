"""A model beside a second one, or beside a reader, on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrsearch.learn.metrics import SortedColumn
from cxrsearch.model.rules import OperatingRule, choose_thresholds

from .discrimination import DISCRIMINATION, discriminate
from .estimate import Estimate, minus
from .figure import Figure
from .operating import at_threshold
from .sample import JudgedSample


@dataclass(frozen=True, eq=False)
class Beside:
    """What a model is compared with.

    Args:
        name: what it is called.
        scores: (n, k) a second model's scores, or a reader's 0 and 1; NaN where it says nothing.
    """

    name: str
    scores: NDArray[Any]

    @property
    def reader(self) -> bool:
        """Whether it says 0 or 1 alone, so that it has no curve."""
        said = self.scores[np.isfinite(self.scores)]
        return bool(len(said)) and bool(((said == 0) | (said == 1)).all())


def compared(sample: JudgedSample, beside: Beside, objective: list[int]) -> dict[str, Any]:
    """Paired differences, on the images of which both say something.

    A second model is compared by AUROC and average precision. A reader is judged by his own
    sensitivity and specificity, beside the model's sensitivity at the reader's specificity: at the
    lowest threshold that lets at least as many negatives go. That threshold is found on the same
    images, as the reader's own operating point is, and ``chosen_on`` says so.

    Args:
        sample: the model's.
        beside: the other.
        objective: places of the labels that the mean is over.

    Raises:
        ValueError: where the shapes differ.
    """
    if np.shape(beside.scores) != sample.scores.shape:
        raise ValueError(
            f"{beside.name}: {np.shape(beside.scores)} scores, but {sample.scores.shape} images "
            "and labels are judged"
        )
    other = sample.with_scores(np.asarray(beside.scores, dtype=float))
    own = JudgedSample(
        sample.part, sample.label_names, other.there, other.away, sample.scores, sample.draws
    )
    kind = "reader" if beside.reader else "model"
    found: dict[str, Any] = {"name": beside.name, "kind": kind}
    told = _reader(own, other) if beside.reader else _model(own, other, objective)
    return found | told


def _model(own: JudgedSample, other: JudgedSample, objective: list[int]) -> dict[str, Any]:
    mine, theirs = discriminate(own, objective), discriminate(other, objective)
    found: dict[str, Any] = {"labels": {}, "mean": {}}
    for label in own.label_names:
        found["labels"][label] = {}
        for figure in DISCRIMINATION:
            a, b = mine.labels[label][figure], theirs.labels[label][figure]
            found["labels"][label] |= _three(figure, a, b, own.part)
    for figure in DISCRIMINATION:
        found["mean"] |= _three(figure, mine.mean[figure], theirs.mean[figure], own.part)
    return found


def _three(figure: str, own: Any, other: Any, part: str) -> dict[str, Any]:
    return {
        figure: own.figure(part).to_json(),
        f"{figure}_against": other.figure(part).to_json(),
        f"{figure}_difference": minus(own, other, part, alike=True).to_json(),
    }


def _reader(own: JudgedSample, other: JudgedSample) -> dict[str, Any]:
    found: dict[str, Any] = {"labels": {}}
    for column, label in enumerate(own.label_names):
        told = at_threshold(other.scores[:, column] > 0.5, other, column)
        reader = {name: told[name] for name in ("sensitivity", "specificity")}
        into = {f"{name}_against": one.figure(own.part).to_json() for name, one in reader.items()}
        found["labels"][label] = into
        edge = _matched(own, column, reader["specificity"].value)
        model = at_threshold(own.scores[:, column] >= edge, own, column)
        into["threshold_at_readers_specificity"] = Figure(
            edge if math.isfinite(edge) else None, None, None, reader["specificity"].n, 0,
            own.part, own.part,
            "found on the judged images, at the reader's own specificity: it has no interval"
            if math.isfinite(edge) else "the reader marked no negative image",
        ).to_json()  # fmt: skip
        if not math.isfinite(edge):
            continue
        model["sensitivity"] = _redrawn(model["sensitivity"], reader["specificity"], own, column)
        for name in ("sensitivity", "specificity"):
            into[name] = model[name].figure(own.part, own.part).to_json()
            into[f"{name}_difference"] = minus(
                model[name], reader[name], own.part, own.part
            ).to_json()
    return found


def _matched(own: JudgedSample, column: int, specificity: float) -> float:
    """The lowest threshold at which the model's specificity is at least the reader's."""
    if not math.isfinite(specificity):
        return math.nan
    negatives = own.away[:, [column]]
    rule = OperatingRule("specificity", max(specificity, 1e-9))
    marks = np.where(negatives, 0.0, np.nan)
    return float(choose_thresholds(rule, marks, own.scores[:, [column]].astype(float)).values[0])


def _redrawn(
    sensitivity: Estimate, specificity: Estimate, own: JudgedSample, column: int
) -> Estimate:
    """A sensitivity whose draws find their own threshold, at the reader's specificity in each."""
    there, away = own.there[:, column], own.away[:, column]
    if not sensitivity.defined:
        return sensitivity
    ranks = SortedColumn(there, away, own.scores[:, column].astype(float))
    drawn, start = [], 0
    for weights in own.draws.weights():
        running = ranks.running(weights)
        wanted = specificity.draws[start : start + len(weights)] * running[:, -1] - 1e-9
        start += len(weights)
        edge = (running < wanted[:, None]).sum(axis=1)  # negatives that are let go
        positive = weights[:, ranks.positives]
        found = (positive * (ranks.below[None, :] >= edge[:, None])).sum(axis=1)
        with np.errstate(invalid="ignore"):
            drawn.append(found / positive.sum(axis=1))
    redrawn = replace(sensitivity, draws=np.concatenate(drawn))
    value, error = redrawn.value, redrawn.error
    if 0 < value < 1 and error > 0:
        size = min(redrawn.size, value * (1 - value) / error**2)
        return replace(redrawn, size=size)
    return redrawn
