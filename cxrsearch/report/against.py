"""What a model is compared with on the same images: another model, or a table of marks."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.labels.columns import IMAGE_COLUMNS
from cxrsearch.data.labels.names import plain_name, some_names
from cxrsearch.data.marks import absent, present
from cxrsearch.errors import InputError
from cxrsearch.model.labels import shared_labels
from cxrsearch.model.unseen import UnseenImages, look_at
from cxrsearch.study.inference.counting import count_look
from cxrsearch.study.inference.opening import OpenedModel, open_with_data

from .evidence import Evidence
from .looking import judged_of

MOST_TABLE = 200_000_000
"""Bytes of a table that is read."""

LINES_NAMED = 5
"""Faulty lines that are named; the rest is counted."""


@dataclass(frozen=True, eq=False)
class OtherReader:
    """What another said of the images that are judged.

    Args:
        name: of the model's folder, or of the table.
        kind: "model" or "table".
        scores: (n, k) from 0 to 1, of the images and labels that are judged, in their order; NaN
            where it said nothing.
        looks: which look at these data its own was; None for a table, or before it is counted.
        notes: what the user should know.
        seen: what a model saw, all of it; None for a table.
    """

    name: str
    kind: str
    scores: np.ndarray
    looks: int | None
    notes: tuple[str, ...]
    seen: UnseenImages | None = None

    def described(self) -> dict[str, Any]:
        """For JSON."""
        images = int(np.isfinite(self.scores).any(axis=1).sum())
        return {
            "name": self.name, "kind": self.kind, "looks": self.looks, "images": images,
            "notes": list(self.notes),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class OpenedOther:
    """A second model with the same data, or a table, before anything is compared.

    Args:
        path: the model's folder, or the table.
        opened: the model; None for a table.
        maps: which labels of the data the model calls otherwise.
    """

    path: Path
    opened: OpenedModel | None
    maps: tuple[str, ...]

    def said(self, evidence: Evidence) -> OtherReader:
        """What it says of the images that are judged; a model's look is not counted yet.

        Raises:
            InputError: where a table has cells that cannot be used, a model may not be judged on
                these images, or nothing is said of them.
        """
        if self.opened is None:
            names, labels = evidence.seen.names, evidence.judged.label_names
            scores, notes = read_reader(self.path, names, labels)
            return OtherReader(str(self.path), "table", scores, None, tuple(notes))
        return _model_said(self.path, self.opened, evidence, self.maps)

    def counted(self, said: OtherReader) -> OtherReader:
        """``said`` with the look of a model counted.

        Raises:
            InputError: where it cannot be counted.
        """
        if self.opened is None or said.seen is None:
            return said
        return replace(said, looks=count_look(self.opened, said.seen)["looks"])


def open_other(
    path: Path, own: OpenedModel, maps: tuple[str, ...] = (), precision: str = "auto"
) -> OpenedOther:
    """Open what a model is compared with: a second model's folder, or a table.

    Args:
        path: a model's folder, or a CSV table with a row an image, a column that names it, and a
            column of probabilities, or of 0 and 1, for each label.
        own: the model that is judged, with the data.
        maps: which labels of the data the second model calls otherwise.
        precision: of its computing.

    Raises:
        InputError: where it cannot be used.
    """
    if not path.exists():
        raise InputError(f"--against {path}: no such model folder or CSV file")
    if not path.is_dir():
        _rows(path)
        return OpenedOther(path, None, maps)
    request = own.request
    try:
        opened = open_with_data(
            path, request.data, request.labels, precision=precision, maps=maps,
            images=request.images,
        )  # fmt: skip
    except InputError as error:
        raise InputError([f"--against {path}: {one}" for one in error.problems]) from None
    return OpenedOther(path, opened, maps)


def _model_said(
    path: Path, opened: OpenedModel, evidence: Evidence, maps: tuple[str, ...]
) -> OtherReader:
    """What a second model says of the very same images."""
    try:
        seen = look_at(opened.model, opened.dataset, opened.cache, maps=maps)
    except InputError as error:
        raise InputError([f"--against {path}: {one}" for one in error.problems]) from None
    said = judged_of(seen)
    rows = {name: row for row, name in enumerate(seen.names)}
    names = evidence.seen.names
    there = np.array([name in rows for name in names])
    notes = []
    if not there.any():
        raise InputError(
            f"--against {path}: judged on none of the {len(names):,} images of "
            f"{evidence.opened.model.folder}: their test parts do not meet, or it was trained on "
            "the others"
        )
    marks = seen.marks[:, list(seen.objective)]
    if not (present(marks).any(axis=0) & absent(marks).any(axis=0)).any():
        raise InputError(
            f"--against {path}: none of its labels has both positives and negatives in "
            f"{opened.dataset.label}"
        )
    if not there.all():
        notes.append(
            f"compared on {int(there.sum()):,} of {len(names):,} images: it may not be judged on "
            "the others"
        )
    shared = shared_labels(evidence.judged.label_names, said.label_names)
    scores = np.full(evidence.judged.scores.shape, np.nan)
    take = [rows[name] for name in np.array(names, object)[there].tolist()]
    for ours, theirs in zip(shared.ours, shared.theirs, strict=True):
        scores[there, ours] = said.scores[take, theirs]
    if shared.only_model:
        notes.append(f"it says nothing of {some_names(shared.only_model)}")
    return OtherReader(str(path), "model", scores, None, tuple(notes), seen)


def read_reader(
    path: Path, names: Sequence[str], labels: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """What a table says of images: a row an image, a column a label.

    Args:
        path: a CSV file.
        names: (n,) of the images.
        labels: (k,) that are wanted.

    Returns:
        (n, k) numbers from 0 to 1, NaN where the table says nothing; and notes.

    Raises:
        InputError: naming the lines that cannot be used, or where it says nothing of the images.
    """
    header, rows = _rows(path)
    image = _image_place(header, labels)
    shared = shared_labels(labels, [name for place, name in enumerate(header) if place != image])
    places = [place for place in range(len(header)) if place != image]
    columns = {ours: places[t] for ours, t in zip(shared.ours, shared.theirs, strict=True)}
    wanted = _wanted(names)
    scores = np.full((len(names), len(labels)), np.nan)
    problems: list[str] = []
    others, found = 0, set[int]()
    for line, row in rows:
        name = row[image].strip() if image < len(row) else ""
        place = wanted.get(name.removeprefix("./"))
        if place is None:
            others += 1
            continue
        if place in found:
            problems.append(f"--against {path}, line {line}: {name!r} for the second time")
        found.add(place)
        for ours, column in columns.items():
            text = row[column].strip() if column < len(row) else ""
            value = _probability(text)
            if value is None:
                problems.append(
                    f"--against {path}, line {line}: {header[column]} is {text[:40]!r}; it must be "
                    "from 0 to 1, or blank where nothing was said"
                )
            else:
                scores[place, ours] = value
    if problems:
        more = len(problems) - LINES_NAMED
        raise InputError([*problems[:LINES_NAMED], *([f"and {more} more"] if more > 0 else [])])
    if not np.isfinite(scores).any():
        raise InputError(
            f"--against {path}: says nothing of the {len(scores):,} images that are judged, such "
            f"as {names[0]!r}"
        )
    notes = []
    if others:
        notes.append(f"{others:,} of its rows are of other images")
    if len(found) < len(scores):
        notes.append(f"compared on {len(found):,} of {len(scores):,} images: it has no others")
    if shared.only_model:
        notes.append(f"it says nothing of {some_names(shared.only_model)}")
    return scores, notes


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and rows of a CSV file, with their lines."""
    try:
        if path.stat().st_size > MOST_TABLE:
            raise InputError(f"--against {path}: more than {MOST_TABLE:,} bytes; cut it down")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            every = [(reader.line_num, row) for row in reader if any(c.strip() for c in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--against {path}: cannot be read as CSV ({error})") from error
    if len(every) < 2:
        raise InputError(f"--against {path}: must have a header and a row for each image")
    return [cell.strip() for cell in every[0][1]], every[1:]


def _image_place(header: Sequence[str], labels: Sequence[str]) -> int:
    """The column that names the image: one called so, or else the first."""
    names, known = list(map(plain_name, header)), set(map(plain_name, labels))
    places = (names.index(name) for name in IMAGE_COLUMNS if name in names and name not in known)
    return next(places, 0)


def _wanted(names: Sequence[str]) -> Mapping[str, int]:
    """What may name an image -> its row: its name, or the last part of it where that is clear."""
    found = {name: row for row, name in enumerate(names)}
    last: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        last.setdefault(name.rsplit("/", 1)[-1], []).append(row)
    return {short: rows[0] for short, rows in last.items() if len(rows) == 1} | found


def _probability(text: str) -> float | None:
    """A cell as a number from 0 to 1, NaN where it is blank; None where it is neither."""
    if not text:
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
