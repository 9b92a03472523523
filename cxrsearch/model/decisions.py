"""What `cxrsearch predict` writes: what the network says, recalibrated probabilities, or 0 and 1.

Decisions look like a table of labels, which must not be lost by them: a file of zeros and ones is
written over by its very own content alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cxrsearch.data.labels.names import some_names
from cxrsearch.data.labels.table_text import csv_text, image_cell, text_cell
from cxrsearch.errors import InputError

from .operating import OperatingPoints, points_of
from .predict import Predictions, prediction_columns, write_csv
from .predictor import Predictor

DECISION_COLUMNS = ("image", "label", "decision")
"""Of a table of decisions with a row an image and label."""


@dataclass(frozen=True)
class WrittenAs:
    """What is written of each image.

    Args:
        said: in words, for the user.
        points: thresholds or recalibration; None where the network's own words are written.
        notes: labels that lack them.
    """

    said: str
    points: OperatingPoints | None = None
    notes: tuple[str, ...] = ()

    def of(self, predictions: Predictions) -> Predictions:
        """The same with the probabilities that are written; NaN where there is none."""
        if self.points is None:
            return predictions
        found = self.points.recalibrated(predictions.scores, predictions.labels)
        return replace(predictions, scores=found.astype(np.float32))


def check_written(decide: bool, calibrated: bool, at: str | None, sample: bool) -> None:
    """Refuse options that exclude each other.

    Raises:
        InputError: naming each.
    """
    problems = []
    if decide and calibrated:
        problems.append("--decide and --calibrated name two different contents; choose one")
    if at is not None and not decide:
        problems.append("--at: only with --decide; probabilities have no threshold")
    if decide and sample:
        problems.append("--decide: not with --sample; a submission holds probabilities")
    if problems:
        raise InputError(problems)


def written_by(
    model: Predictor, study: Path | None, decide: bool, calibrated: bool, at: str | None
) -> WrittenAs:
    """What is written of a model's predictions.

    Args:
        model: a model or an ensemble.
        study: its study, where that is here.
        decide: whether 0 and 1.
        calibrated: whether recalibrated probabilities.
        at: the rule for thresholds; None: those that the model keeps.

    Raises:
        InputError: where the model has nothing to decide or to recalibrate by.
    """
    if not (decide or calibrated):
        return WrittenAs("probabilities as the network gives them, not recalibrated")
    points, why = points_of(model, study, at)
    if points is None:
        raise InputError(f"--{'decide' if decide else 'calibrated'}: {why}")
    names = [model.labels[column] for column in model.covered]
    what = "threshold" if decide else "slope"
    lacking = points.lacking(what, names)
    called = "threshold" if decide else "recalibration"
    if len(lacking) == len(names):
        why = next(iter(lacking.values()))
        raise InputError(f"{model.folder}: no label has a {called} ({why})")
    notes = [
        f"no {called} for {some_names([n for n, w in lacking.items() if w == why])}, whose cells "
        f"are empty: {why}"
        for why in dict.fromkeys(lacking.values())
    ]
    count = f"{points.images:,} images of {points.patients:,} patients"
    by = f"on validation ({count}), by {points.of}"
    if decide:
        given = points.chosen_on is None
        said = f"0 and 1, by thresholds of {points.rule}" + (", as given" if given else f", {by}")
    else:
        said = f"probabilities recalibrated {by}"
    return WrittenAs(said, points, tuple(notes))


def decisions_start(labels: Sequence[str], tidy: bool) -> re.Pattern[bytes]:
    """How a table of decisions begins. So may a table of labels: see `write_decisions`."""
    header = DECISION_COLUMNS if tidy else prediction_columns(labels)
    row = rb"[^\n]*,[01]?(?:\n|$)" if tidy else rb"[^\n]*(?:,[01]?){%d}(?:\n|$)" % len(labels)
    return re.compile(re.escape(csv_text(header, []).encode()) + row)


def write_decisions(
    out: Path, predictions: Predictions, points: OperatingPoints | None, tidy: bool
) -> None:
    """Write 0 and 1, and nothing where a label has no threshold.

    Args:
        out: CSV to write.
        predictions: of the model.
        points: its operating points.
        tidy: one row an image and label, instead of one an image.

    Raises:
        InputError: where ``out`` holds other zeros and ones, which may be labels, or cannot be
            written.
    """
    names = predictions.labels
    edges = points.thresholds(names) if points is not None else np.full(len(names), np.nan)
    yes = predictions.scores >= edges.astype(predictions.scores.dtype)
    cells = np.where(np.isnan(edges), "", np.where(yes, "1", "0"))
    header = DECISION_COLUMNS if tidy else prediction_columns(names)
    rows = list(_tidy(predictions, cells) if tidy else _wide(predictions, cells))
    if out.is_file() and decisions_start(names, tidy).match(out.read_bytes()):
        if out.read_text(encoding="utf-8") == csv_text(header, rows):
            return
        raise InputError(
            f"--out {out}: holds other zeros and ones, which may be labels and would be lost; name "
            "another file, or remove that one"
        )
    write_csv(out, header, rows)


def _wide(predictions: Predictions, cells: np.ndarray) -> Iterable[list[str]]:
    for name, row in zip(predictions.names, cells.tolist(), strict=True):
        yield [image_cell(name), *row]


def _tidy(predictions: Predictions, cells: np.ndarray) -> Iterable[list[str]]:
    for name, row in zip(predictions.names, cells.tolist(), strict=True):
        for label, cell in zip(predictions.labels, row, strict=True):
            yield [image_cell(name), text_cell(label), cell]
