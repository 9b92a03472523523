"""A competition's submission: the columns and rows of its sample, in the sample's order."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cxrsearch.data.columns import IMAGE_COLUMNS, plain
from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.predict import Predictions, image_files, image_names, write_csv
from search.errors import did_you_mean

SHOWN = 10
"""Problems of one kind that are listed; the rest is counted."""


@dataclass(frozen=True)
class Sample:
    """What a submission must look like.

    Args:
        path: the sample's file.
        header: its columns.
        image: position of the one that names the image.
        diseases: position of each other column -> which disease it holds.
        ids: the images, in the sample's order.
    """

    path: Path
    header: tuple[str, ...]
    image: int
    diseases: dict[int, int]
    ids: tuple[str, ...]

    def files(self, folder: Path) -> tuple[str, ...]:
        """The file below ``folder`` of each row, as a path below it.

        A row names a file by its path, its base name or either without the extension, as long
        as it fits one file only.

        Raises:
            InputError: naming the rows that fit no file, or several.
        """
        places: dict[str, set[str]] = defaultdict(set)
        every = image_files(folder)[0]
        for file in every:
            path = PurePosixPath(file)
            for name in {file, path.name, str(path.with_suffix("")), path.stem}:
                places[name].add(file)
        exact = set(every)
        found: list[str] = []
        missing: list[str] = []
        unclear: list[str] = []
        for one in self.ids:
            fits = {one} if one in exact else places.get(one, set())
            if len(fits) == 1:
                found.append(next(iter(fits)))
            elif fits:
                unclear.append(f"{one!r} fits {' and '.join(sorted(fits)[:3])}")
            else:
                missing.append(repr(one))
        problems = []
        if missing:
            problems.append(
                f"{self.path}: {len(missing)} of its {len(self.ids)} images are not in {folder}: "
                f"{_some(missing)}"
            )
        if unclear:
            problems.append(
                f"{self.path}: {len(unclear)} images are not clear: {_some(unclear)}; name them "
                "by their path"
            )
        if problems:
            raise InputError(problems)
        return tuple(found)

    def write(self, out: Path, predictions: Predictions, files: Sequence[str]) -> None:
        """Write the submission.

        Args:
            out: CSV to write.
            predictions: for the ``files``.
            files: as from `files`.

        Raises:
            InputError: naming the images that got no prediction, with the reasons.
        """
        # Names are as short as the files that were predicted for allow.
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
            for column, disease in self.diseases.items():
                row[column] = f"{scores[names[file]][disease]:.6f}"
            rows.append(row)
        write_csv(out, self.header, rows)


def read_sample(path: Path) -> Sample:
    """Read a sample submission: an image column and a column for each disease asked for.

    The image column is one called as in label tables (``Image Index``, ``image``, ``id``), or
    else the first. Disease columns are found by NIH's names, whatever their case, spaces or
    underscores.

    Raises:
        InputError: naming all columns and rows that are not understood.
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
    image = _image_column(header)
    diseases, problems = _disease_columns(path, header, image)
    short = [str(line) for line, row in enumerate(rows[1:], 2) if len(row) <= image]
    if short:
        problems.append(f"--sample {path}: rows without an image: {_some(short)}")
    ids = tuple(row[image].strip() for row in rows[1:] if len(row) > image)
    twice = sorted(one for one, count in Counter(ids).items() if count > 1)
    if twice:
        problems.append(f"--sample {path}: images listed twice: {_some(list(map(repr, twice)))}")
    if problems:
        raise InputError(problems)
    return Sample(Path(path), header, image, diseases, ids)


def _image_column(header: Sequence[str]) -> int:
    known = {plain(disease) for disease in DISEASES}
    names = [plain(name) for name in header]
    places = (names.index(name) for name in IMAGE_COLUMNS if name in names and name not in known)
    return next(places, 0)


def _disease_columns(
    path: Path, header: Sequence[str], image: int
) -> tuple[dict[int, int], list[str]]:
    """Which disease each column holds, and what is wrong."""
    known = {plain(disease): i for i, disease in enumerate(DISEASES)}
    found: dict[int, int] = {}
    problems = []
    for column, name in enumerate(header):
        if column == image:
            continue
        disease = known.get(plain(name))
        if disease is None:
            hint = did_you_mean(name, DISEASES)
            problems.append(f"--sample {path}: column {name!r} is none of NIH's 14 diseases{hint}")
        elif disease in found.values():
            problems.append(f"--sample {path}: two columns for {DISEASES[disease]!r}")
        else:
            found[column] = disease
    if not found and not problems:
        problems.append(f"--sample {path}: no column for a disease")
    return found, problems


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more
