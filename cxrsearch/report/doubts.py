"""Marks that a model disagrees with most surely, for a reader to look at.

Confident learning (Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", JAIR 2021), a label at a time: the threshold of "present" is the mean probability
of the images marked so, that of "absent" the mean of 1 - p over the others. A mark is in doubt
where the other one's threshold is reached, and, where both are, the other one is more probable.
Doubts are ranked by how far beyond it they are, as a share of the way to certainty. Probabilities
are of networks that were not trained on the image; see `held_out`.

A doubt is no error: a network is wrong more often than a reader where labels are good.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrsearch.data.alike.across import MOST_COMPARED
from cxrsearch.data.alike.duplicates import find_duplicates, groups
from cxrsearch.data.alike.thumbnails import blanks, thumbnails
from cxrsearch.data.labels.table_text import image_cell, text_cell
from cxrsearch.data.marks import absent, present
from cxrsearch.errors import InputError
from cxrsearch.model.predict import write_csv
from search.files import write_bytes

from .evidence import Evidence
from .held_out import HeldOut, held_out_predictions

DOUBTS_FOLDER, DOUBTS_TABLE = "doubts", "doubts.csv"
"""A folder of thumbnails and a table, in a report's folder."""

DOUBT_COLUMNS = ("image", "label", "mark", "probability", "reason")

FEWEST_MARKS = 5
"""Positives and negatives that a label's thresholds take."""

DOUBTS_SHOWN = 12
"""Doubts of a label that get a thumbnail."""

MOST_GROUPS = 100
"""Groups of look-alikes that are listed."""

THUMBNAIL = 160
"""Pixels a side."""


class DoubtfulMark(NamedTuple):
    """A mark that is in doubt.

    Args:
        row: of the image.
        column: of the label.
        mark: 0 or 1, as the data have it.
        probability: of its presence.
        threshold: that was reached, a probability of presence.
        margin: how far beyond it, 0 to 1.
    """

    row: int
    column: int
    mark: int
    probability: float
    threshold: float
    margin: float


@dataclass(frozen=True)
class LabelThresholds:
    """Of one label: probabilities from which a positive and up to which a negative is believed.

    Args:
        positive: None where there are too few marks.
        negative: likewise.
    """

    positive: float | None
    negative: float | None


def doubts_in(
    marks: np.ndarray, scores: NDArray[np.float64]
) -> tuple[list[DoubtfulMark], list[LabelThresholds]]:
    """The doubts of all labels, the surest of each label first, and the labels' thresholds.

    Args:
        marks: (n, k) see `cxrsearch.data.marks`.
        scores: (n, k) probabilities by networks that were not trained on the image.
    """
    found, thresholds = list[DoubtfulMark](), list[LabelThresholds]()
    for column in range(marks.shape[1]):
        there, gone = present(marks[:, column]), absent(marks[:, column])
        if min(there.sum(), gone.sum()) < FEWEST_MARKS:
            thresholds.append(LabelThresholds(None, None))
            continue
        p = scores[:, column]
        high, low = float(p[there].mean()), float(p[gone].mean())
        thresholds.append(LabelThresholds(high, low))
        both = (p >= high) & (p <= low)
        missing = gone & (p >= high) & (~both | (p > 0.5))
        extra = there & (p <= low) & (~both | (p < 0.5))
        own = [
            DoubtfulMark(
                int(row), column, 0, float(p[row]), high, float((p[row] - high) / (1 - high))
            )
            for row in np.flatnonzero(missing)
            if high < 1
        ] + [
            DoubtfulMark(int(row), column, 1, float(p[row]), low, float((low - p[row]) / low))
            for row in np.flatnonzero(extra)
            if low > 0
        ]
        found += sorted(own, key=lambda doubt: (-doubt.margin, doubt.row))
    return found, thresholds


def doubts_of(evidence: Evidence, out: Path) -> dict[str, Any]:
    """Find the marks in doubt and the look-alikes, write their table and thumbnails.

    Args:
        evidence: the model, its study and its data.
        out: folder of the report; gets `DOUBTS_TABLE` and the folder `DOUBTS_FOLDER`.

    Returns:
        content for JSON: ``labels`` (label -> how many marks were judged, how many are in doubt,
        thresholds, and the first ones with their ``file``), ``alike`` (groups of the same picture
        in several parts or with other marks), ``table``, ``notes``.
    """
    held = held_out_predictions(evidence)
    names = evidence.judged.label_names
    doubts, thresholds = doubts_in(held.marks, held.scores)
    alike, notes = look_alikes(evidence)
    rows = [
        _row(held.names[doubt.row], names[doubt.column], doubt.mark, doubt.probability,
             reason_of(doubt, held))
        for doubt in doubts
    ]  # fmt: skip
    rows += _contradictions(alike, held, names)
    write_csv(out / DOUBTS_TABLE, DOUBT_COLUMNS, rows)
    labels = {}
    files: dict[int, str] = {}
    cache = evidence.opened.cache
    at = {name: row for row, name in enumerate(cache.names) if cache.ok[row]}
    for column, name in enumerate(names):
        own = [doubt for doubt in doubts if doubt.column == column]
        judged = present(held.marks[:, column]) | absent(held.marks[:, column])
        limits = thresholds[column]
        labels[name] = {
            "judged": int(judged.sum()),
            "positives": int(present(held.marks[:, column]).sum()),
            "in_doubt": None if limits.positive is None else len(own),
            "in_doubt_positives": sum(doubt.mark for doubt in own),
            "threshold_present": limits.positive,
            "threshold_absent": limits.negative,
            "reason": None
            if limits.positive is not None
            else f"fewer than {FEWEST_MARKS} positives or negatives",
            "shown": [
                {
                    "image": held.names[doubt.row],
                    "label": name,
                    "mark": doubt.mark,
                    "probability": doubt.probability,
                    "margin": doubt.margin,
                    "reason": reason_of(doubt, held),
                    "file": _thumbnail(evidence, int(held.places[doubt.row]), out, files, at),
                }
                for doubt in own[:DOUBTS_SHOWN]
            ],
        }
    return {
        "labels": labels,
        "alike": alike[:MOST_GROUPS],
        "alike_groups": len(alike),
        "table": DOUBTS_TABLE,
        "notes": [*held.notes, *notes],
    }


def reason_of(doubt: DoubtfulMark, held: HeldOut) -> str:
    """Why a mark is in doubt, in words."""
    count = int(held.networks[doubt.row])
    who = held.by[doubt.row] if count == 1 else f"{count} {held.by[doubt.row]}"
    if doubt.mark:
        return (
            f"marked present, but {who} gave {doubt.probability:.3f}: no more than images marked "
            f"absent on average ({doubt.threshold:.3f})"
        )
    return (
        f"marked absent, but {who} gave {doubt.probability:.3f}: no less than images marked "
        f"present on average ({doubt.threshold:.3f})"
    )


def _row(image: str, label: str, mark: float, probability: float, reason: str) -> tuple[str, ...]:
    """A row of `DOUBT_COLUMNS`; no cell begins like a formula."""
    return (
        image_cell(image), text_cell(label), f"{mark:g}", f"{probability:.4f}", text_cell(reason)
    )  # fmt: skip


def look_alikes(evidence: Evidence) -> tuple[list[dict[str, Any]], list[str]]:
    """Groups of images that show the same picture, in several parts or with different marks.

    Returns:
        the groups, the largest first: ``images``, their ``parts`` and ``patients``, ``across``
        (several parts), ``same_patient``, and ``labels`` whose marks differ; and notes.
    """
    dataset, cache = evidence.opened.dataset, evidence.opened.cache
    place = {name: row for row, name in enumerate(dataset.names)}
    usable = np.array(
        [bool(ok) and name in place for name, ok in zip(cache.names, cache.ok, strict=True)]
    )
    if usable.sum() > MOST_COMPARED:
        return [], [f"{usable.sum():,} images are too many to look for look-alikes; eda does it"]
    part_of = _parts(evidence)
    small = thumbnails(cache.images)
    pairs = find_duplicates(cache.images, small, (blanks(small) == 0) & usable)
    found = []
    for rows in groups(pairs, len(cache.names)):
        names = [cache.names[row] for row in rows]
        places = [place[name] for name in names]
        marks = np.asarray(dataset.labels)[places]
        differ = present(marks).any(axis=0) & absent(marks).any(axis=0)
        parts = [part_of.get(name, "") for name in names]
        across = len(set(parts) - {""}) > 1
        if not (across or differ.any()):
            continue
        patients = [str(dataset.patients[row]) for row in places]
        found.append(
            {
                "images": names,
                "parts": parts,
                "patients": patients,
                "across": across,
                "same_patient": len(set(patients)) == 1,
                "labels": [dataset.label_names[k] for k in np.flatnonzero(differ)],
            }
        )
    return found, []


def _parts(evidence: Evidence) -> dict[str, str]:
    """Name -> part, of the model's own data; of other data nothing."""
    if evidence.seen.part != "test":
        return {}
    try:
        splits = evidence.opened.model.splits()
    except InputError:
        return {}
    if splits is None:
        return {}
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    return {name: part for part, names in parts.items() for name in names}


def _contradictions(
    alike: Sequence[dict[str, Any]], held: HeldOut, labels: Sequence[str]
) -> list[tuple[str, ...]]:
    """A row of the table for each image, and label, whose copy is marked otherwise."""
    row_of = {name: row for row, name in enumerate(held.names)}
    found = list[tuple[str, ...]]()
    for group in alike:
        judged = [name for name in group["images"] if name in row_of]
        for label in [label for label in group["labels"] if label in labels]:
            column = list(labels).index(label)
            marks = {name: held.marks[row_of[name], column] for name in judged}
            for name, mark in marks.items():
                other = [o for o, its in marks.items() if abs(float(its) - float(mark)) > 0.5]
                if other:
                    score = float(held.scores[row_of[name], column])
                    found.append(
                        _row(name, label, float(mark), score,
                             f"the same picture as {other[0]}, which is marked otherwise")
                    )  # fmt: skip
    return found


def _thumbnail(
    evidence: Evidence, place: int, out: Path, files: dict[int, str], rows: dict[str, int]
) -> str | None:
    """The file of an image's thumbnail, written once; None where it has no picture."""
    if place not in files:
        row = rows.get(evidence.opened.dataset.names[place])
        if row is None:
            return None
        cache = evidence.opened.cache
        picture = Image.fromarray(np.asarray(cache.images[row]))
        buffer = io.BytesIO()
        picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR).save(buffer, "PNG")
        (out / DOUBTS_FOLDER).mkdir(parents=True, exist_ok=True)
        files[place] = f"{DOUBTS_FOLDER}/{len(files) + 1:04d}.png"
        write_bytes(out / files[place], buffer.getvalue())
    return files[place]
