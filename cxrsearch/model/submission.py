"""A competition's submission: the columns and rows of its sample, in the sample's order."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cxrsearch.data.labels.columns import IMAGE_COLUMNS
from cxrsearch.data.labels.names import plain_name, some_names
from cxrsearch.errors import InputError
from search.errors import did_you_mean

from .labels import known_label
from .predict import Predictions, image_files, image_names, score_cell, write_csv

LISTED = 10
"""Problems of one kind that are listed; the rest is counted."""


@dataclass(frozen=True)
class Sample:
    """What a submission must look like.

    Args:
        path: the sample's file.
        header: its columns.
        image: position of the one that names the image.
        labels: position of each other column -> which of the model's labels it holds.
        ids: the images, in the sample's order.
        files: the file of each, as a path below the folder of images.
    """

    path: Path
    header: tuple[str, ...]
    image: int
    labels: dict[int, int]
    ids: tuple[str, ...]
    files: tuple[str, ...]

    def write(self, out: Path, predictions: Predictions) -> None:
        """Write the submission.

        Args:
            out: CSV to write.
            predictions: for the ``files``.

        Raises:
            InputError: naming the images that got no prediction, with the reasons.
        """
        # Names are as short as the files that were predicted for allow.
        files = self.files
        names = dict(zip(sorted(set(files)), image_names(sorted(set(files))), strict=True))
        scores = dict(zip(predictions.names, predictions.scores, strict=True))
        reasons = dict(predictions.left_out)
        lost = [
            f"{one!r}: {reasons.get(names[file], 'no prediction')}"
            for one, file in zip(self.ids, files, strict=True)
            if names[file] not in scores
        ]
        if lost:
            raise InputError(
                f"{self.path}: {len(lost)} of its images got no prediction: {_some(lost)}; mend "
                "them, or take their rows out of the sample"
            )
        rows = []
        for one, file in zip(self.ids, files, strict=True):
            row = [one] * len(self.header)
            for column, label in self.labels.items():
                row[column] = score_cell(scores[names[file]][label])
            rows.append(row)
        write_csv(out, self.header, rows)


def read_sample(path: Path, folder: Path, labels: Sequence[str]) -> Sample:
    """Read a sample submission: an image column and a column for each label asked for.

    The image column is one called as in label tables (``Image Index``, ``image``, ``id``), or
    else the first. The other columns are found by the labels' names, whatever their case, spaces
    or underscores. A row names a file by its path below ``folder``, its base name or either
    without the extension, as long as it fits one file only.

    Args:
        path: the sample.
        folder: where the images lie.
        labels: what the model predicts.

    Raises:
        InputError: naming all columns and rows that are not understood, and all images that
            are not there.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except FileNotFoundError:
        raise InputError(f"--sample {path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--sample {path}: cannot be read as CSV ({error})") from error
    if len(rows) < 2:
        raise InputError(f"--sample {path}: must have a header and a row for each image")
    header = tuple(cell.strip() for cell in rows[0])
    image = _image_column(header, labels)
    columns, problems = _label_columns(path, header, image, labels)
    short = [str(line) for line, row in enumerate(rows[1:], 2) if len(row) <= image]
    if short:
        problems.append(f"--sample {path}: rows without an image: {_some(short)}")
    ids = tuple(row[image].strip() for row in rows[1:] if len(row) > image)
    twice = sorted(one for one, count in Counter(ids).items() if count > 1)
    if twice:
        problems.append(f"--sample {path}: images listed twice: {_some(list(map(repr, twice)))}")
    files, lost = _files(path, ids, folder)
    if problems or lost:
        raise InputError([*problems, *lost])
    return Sample(Path(path), header, image, columns, ids, files)


def _files(path: Path, ids: Sequence[str], folder: Path) -> tuple[tuple[str, ...], list[str]]:
    """The file below ``folder`` of each image, and what is wrong."""
    every = image_files(folder)[0]
    exact, places = set(every), defaultdict(set)
    for file in every:
        whole = PurePosixPath(file)
        for name in {file, whole.name, str(whole.with_suffix("")), whole.stem}:
            places[name].add(file)
    fits = [{one} if one in exact else places.get(one, set()) for one in ids]
    missing = [repr(one) for one, fit in zip(ids, fits, strict=True) if not fit]
    unclear = [
        f"{one!r} fits {' and '.join(sorted(fit)[:3])}"
        for one, fit in zip(ids, fits, strict=True)
        if len(fit) > 1
    ]
    problems = []
    if missing:
        problems.append(
            f"--sample {path}: {len(missing)} of its {len(ids)} images are not in {folder}: "
            f"{_some(missing)}"
        )
    if unclear:
        problems.append(
            f"--sample {path}: {len(unclear)} images are not clear: {_some(unclear)}; name them "
            "by their path"
        )
    return tuple(next(iter(fit), "") for fit in fits), problems


def _image_column(header: Sequence[str], labels: Sequence[str]) -> int:
    known = set(map(plain_name, labels))
    names = list(map(plain_name, header))
    places = (names.index(name) for name in IMAGE_COLUMNS if name in names and name not in known)
    return next(places, 0)


def _label_columns(
    path: Path, header: Sequence[str], image: int, labels: Sequence[str]
) -> tuple[dict[int, int], list[str]]:
    """Which label each column holds, and what is wrong."""
    found: dict[int, int] = {}
    problems = []
    for column, name in enumerate(header):
        if column == image:
            continue
        label = known_label(name, labels)
        if label is None:
            hint = did_you_mean(name, labels) or f"; it predicts {some_names(labels)}"
            problems.append(f"--sample {path}: column {name!r} is no label of the model{hint}")
        elif (place := labels.index(label)) in found.values():
            problems.append(f"--sample {path}: two columns for {label!r}")
        else:
            found[column] = place
    if not found and not problems:
        problems.append(f"--sample {path}: no column for a label")
    return found, problems


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - LISTED} more" if len(texts) > LISTED else ""
    return ", ".join(texts[:LISTED]) + more
