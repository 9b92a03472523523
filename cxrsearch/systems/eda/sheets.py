"""Images to show beside the figures: examples of each label, and what the checks flagged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.diseases import NO_FINDING
from cxrsearch.data.marks import nothing_found, present
from cxrsearch.data.pixels.cache import Cache
from cxrsearch.data.pixels.resize import resize
from cxrsearch.data.splits import Splits
from search.seeds import derive

from .orientation import ORIENTATIONS
from .quality import BLANK, ImageChecks

EXAMPLES = 8
"""Images shown of a label."""
MOST_SHEETS = 24
"""Labels of which images are shown, the commonest: each takes a quarter of a megabyte."""
FLAGGED = 24
"""Images shown of one kind of trouble, at most."""
SHOWN_SIDE = 128
"""Side of a shown image in pixels."""


class SheetPicture(NamedTuple):
    """An image to show: its name, a line about it, and ``(128, 128)`` uint8 grey levels."""

    name: str
    note: str
    pixels: np.ndarray


class Sheet(NamedTuple):
    """Images under one heading; ``total`` counts those that it chose from."""

    title: str
    pictures: tuple[SheetPicture, ...]
    total: int


class Images(NamedTuple):
    """Decoded images: those of ``rows`` are in the ``cache`` at ``place``, ``(n,)`` int."""

    rows: Dataset
    cache: Cache
    place: np.ndarray


def examples(images: Images, splits: Splits | None, seed: int) -> tuple[Sheet, ...]:
    """Of the commonest labels some images of different patients, drawn from the training part."""
    names, labels = np.array(images.rows.names), images.rows.labels
    seen = np.isin(names, splits.train) if splits else np.ones(len(names), bool)
    marks = present(labels)
    shown = np.sort(np.argsort(-marks.sum(axis=0), kind="stable")[:MOST_SHEETS])
    columns = [(images.rows.label_names[i], marks[:, i]) for i in shown.tolist()]
    columns.append((NO_FINDING, nothing_found(labels)))
    sheets = []
    for name, has in columns:
        rows = np.flatnonzero(has & seen)
        drawn = np.random.default_rng(derive(seed, "examples", name)).permutation(rows)
        # One of each patient, in the order drawn.
        _, first = np.unique(images.rows.patients[drawn], return_index=True)
        chosen = drawn[np.sort(first)][:EXAMPLES].tolist()
        if chosen:
            pictures = tuple(_picture(images, row, _findings(images, row)) for row in chosen)
            sheets.append(Sheet(name, pictures, len(rows)))
    return tuple(sheets)


def flagged(images: Images, checks: ImageChecks) -> tuple[Sheet, ...]:
    """The images that the checks complain of."""
    patients = images.rows.patients
    found: list[tuple[str, list[tuple[int, str]]]] = []
    for title, groups in (
        ("one picture, several patients", checks.across(patients)),
        ("one picture, one patient", checks.within(patients)),
    ):
        members = [
            (row, f"{place}: patient {patients[row]}; {_findings(images, row)}")
            for place, group in enumerate(groups, start=1)
            for row in group
        ]
        found.append((title, members))
    if (turned := checks.orientation) is not None:
        for place, kind in enumerate(ORIENTATIONS[1:], start=1):
            rows = np.flatnonzero(turned.kind == place)
            rows = rows[np.argsort(-turned.margin[rows], kind="stable")]
            found.append((kind, [(r, f"by {turned.margin[r]:.2f}") for r in rows.tolist()]))
    for place, kind in enumerate(BLANK, start=1):
        blank = np.flatnonzero(checks.blank == place).tolist()
        found.append((kind, [(r, _findings(images, r)) for r in blank]))
    return tuple(
        Sheet(title, tuple(_picture(images, r, note) for r, note in all_of[:FLAGGED]), len(all_of))
        for title, all_of in found
        if all_of
    )


def _picture(images: Images, row: int, note: str) -> SheetPicture:
    pixels = np.asarray(images.cache.images[images.place[row]])
    return SheetPicture(images.rows.names[row], note, resize(pixels, SHOWN_SIDE, SHOWN_SIDE))


def _findings(images: Images, row: int) -> str:
    data = images.rows
    marks = present(data.labels[row])
    doubts = np.zeros(len(marks), bool) if data.uncertain is None else data.uncertain[row]
    found = [
        f"{name.replace('_', ' ')}{' (uncertain)' * bool(doubt)}"
        for name, mark, doubt in zip(data.label_names, marks, doubts, strict=True)
        if mark or doubt
    ]
    return ", ".join(found) or NO_FINDING
