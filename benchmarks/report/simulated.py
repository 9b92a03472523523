"""Drawn patients whose truth is known: images that are alike within them, four labels, groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.special import expit, logit

Array = np.ndarray[Any, Any]

PREVALENCES = (0.03, 0.08, 0.15, 0.3)
LABELS = tuple(f"{share:.0%}" for share in PREVALENCES)
GROUPS = ("a", "b", "c", "d")
_SPREAD, _ALIKE = 1.6, 0.6  # of the risk's logit, and the share of it that is the patient's
_SEEN = (0.75, 0.6)  # how well two models see the risk


@dataclass(frozen=True, eq=False)
class Drawn:
    """Images of one drawing.

    Args:
        patients: (n,).
        groups: (n,) of the patient, without any effect.
        marks: (n, 4).
        scores: (n, 4) of a model, too sure of itself.
        other: (n, 4) of a worse one.
        reader: (n, 4) marks of a reader.
    """

    patients: Array
    groups: Array
    marks: Array
    scores: Array
    other: Array
    reader: Array

    def judged(self, part: str) -> Any:
        """As figures take them."""
        return SimpleNamespace(
            part=part, marks=self.marks, scores=self.scores, patients=self.patients,
            label_names=LABELS,
        )  # fmt: skip


def _offsets() -> Array:
    """What makes each label as frequent as it is to be."""
    z = np.random.default_rng(7).normal(size=100_000) * _SPREAD
    found = []
    for share in PREVALENCES:
        low, high = -12.0, 4.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if expit(z + middle).mean() < share else (low, middle)
        found.append(low)
    return np.array(found)


OFFSETS = _offsets()


def draw(n: int, rng: np.random.Generator) -> Drawn:
    """About ``n`` images, two a patient on average, of one to many."""
    sizes = rng.geometric(0.5, size=n)
    patients = np.repeat(np.arange(n), sizes)[:n]
    k = len(PREVALENCES)

    def alike(spread: float) -> Array:
        own = rng.normal(size=(n, k))[patients] * np.sqrt(_ALIKE)
        return spread * (own + rng.normal(size=(n, k)) * np.sqrt(1 - _ALIKE))

    risk = alike(_SPREAD)
    marks = (rng.random((n, k)) < expit(risk + OFFSETS)).astype(float)
    scores = [
        expit(OFFSETS + 1.3 * (seen * risk + alike(_SPREAD * np.sqrt(seen - seen**2))))
        for seen in _SEEN
    ]
    called = logit(scores[0]) + alike(1.5) + 2 * marks > OFFSETS + 2.0
    groups = np.array(GROUPS)[rng.integers(len(GROUPS), size=n)[patients]]
    return Drawn(patients, groups, marks, scores[0], scores[1], called.astype(float))


class Population:
    """So many images that what is measured on them is the truth of one label."""

    def __init__(self, drawn: Drawn, column: int) -> None:
        order = np.argsort(drawn.scores[:, column])
        self.marks = drawn.marks[order, column]
        self.scores = drawn.scores[order, column]
        self.reader = drawn.reader[order, column]
        self.found = np.concatenate([[0.0], self.marks.cumsum()])
        self.said = np.concatenate([[0.0], self.scores.cumsum()])
        self.n = len(order)

    @cached_property
    def prevalence(self) -> float:
        """Share of positives."""
        return float(self.marks.mean())

    def cells(self, threshold: float) -> dict[str, float]:
        """Shares of all images: right and wrong, called and not."""
        at = int(np.searchsorted(self.scores, threshold, "left"))
        positives = self.found[-1]
        fn, tp = self.found[at] / self.n, (positives - self.found[at]) / self.n
        tn = at / self.n - fn
        return {"tp": tp, "fn": fn, "tn": tn, "fp": 1 - tp - fn - tn}

    def at(self, threshold: float, wanted: float) -> dict[str, float]:
        """The truth of each figure at a threshold; predictive values at ``wanted`` too."""
        c = self.cells(threshold)
        sensitivity, specificity = c["tp"] / (c["tp"] + c["fn"]), c["tn"] / (c["tn"] + c["fp"])
        up, down = wanted * sensitivity, (1 - wanted) * (1 - specificity)
        sick, well = wanted * (1 - sensitivity), (1 - wanted) * specificity
        return {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": c["tp"] / (c["tp"] + c["fp"]),
            "npv": c["tn"] / (c["tn"] + c["fn"]),
            "accuracy": c["tp"] + c["tn"],
            "f1": 2 * c["tp"] / (2 * c["tp"] + c["fp"] + c["fn"]),
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "ppv_at_prevalence": up / (up + down),
            "npv_at_prevalence": well / (well + sick),
        }

    def net_benefit(self, edge: float) -> float:
        """Of treating from a probability of ``edge`` on."""
        cells = self.cells(edge)
        return cells["tp"] - cells["fp"] * edge / (1 - edge)

    def by_bins(self, edges: Array) -> dict[str, float]:
        """Calibration error and the Brier score's parts over given bins."""
        cuts = np.concatenate([[0], np.searchsorted(self.scores, edges, "right"), [self.n]])
        images = np.maximum(np.diff(cuts), 1)
        seen, said = np.diff(self.found[cuts]) / images, np.diff(self.said[cuts]) / images
        weights = np.diff(cuts) / self.n
        return {
            "ece": float(weights @ np.abs(seen - said)),
            "brier_reliability": float(weights @ (seen - said) ** 2),
            "brier_resolution": float(weights @ (seen - self.prevalence) ** 2),
        }

    def quantile(self, sensitivity: float) -> float:
        """The threshold at which the sensitivity is so much."""
        return float(np.quantile(self.scores[self.marks == 1], 1 - sensitivity))

    def against_reader(self) -> tuple[float, float]:
        """The model's sensitivity at the reader's specificity, and its lead over his."""
        negative = self.marks == 0
        edge = np.quantile(self.scores[negative], 1 - self.reader[negative].mean())
        own = float((self.scores[~negative] > edge).mean())
        return own, own - float(self.reader[~negative].mean())
