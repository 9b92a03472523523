"""Which column of a label table is what."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.errors import InputError
from search.errors import did_you_mean

IMAGE_COLUMNS = (
    "imageindex", "image", "imageid", "imagename", "imagefile", "imagepath",
    "filename", "filepath", "file", "path", "dicomid", "name", "id",
)  # fmt: skip
"""Names of the image column, as `plain` writes them; the first that is there is taken."""
PATIENT_COLUMNS = ("patientid", "patient", "subjectid", "subject", "pid")
LABEL_COLUMNS = ("findinglabels", "labels")


def plain(name: str) -> str:
    """``name`` without case, spaces, underscores, hyphens and other marks."""
    return re.sub(r"[\W_]+", "", name).lower()


@dataclass(frozen=True)
class Columns:
    """Positions of the columns that matter: ``labels`` is NIH's one, or ``diseases`` the 14."""

    image: int
    patient: int | None
    labels: int | None
    diseases: tuple[int, ...]
    no_finding: int | None

    @property
    def used(self) -> set[int]:
        """All of them: the other columns are kept as they are."""
        single = (self.image, self.patient, self.labels, self.no_finding)
        return {*self.diseases, *(column for column in single if column is not None)}


def find_columns(path: Path, header: Sequence[str]) -> Columns:
    """Which column is what. Raises `InputError` naming all that are missing or double."""
    places: dict[str, list[int]] = defaultdict(list)
    for column, name in enumerate(header):
        places[plain(name)].append(column)

    def first(known: Sequence[str]) -> int | None:
        return next((places[name][0] for name in known if places.get(name)), None)

    image, labels = first(IMAGE_COLUMNS), first(LABEL_COLUMNS)
    diseases = [first([plain(disease)]) for disease in DISEASES]
    problems = []
    if image is None:
        problems.append(
            f"{path}: no image column; wanted is 'Image Index', 'image', 'id', 'path' or "
            f"'filename', and the columns are {_listed(header)}"
        )
    if labels is None and None in diseases:
        problems.append(_missing_labels(path, header, diseases))
    wanted = [d for d in DISEASES if labels is None and len(places.get(plain(d), ())) > 1]
    problems += [f"{path}: two columns are called {disease!r}; keep one" for disease in wanted]
    if problems or image is None:
        raise InputError(problems)
    one_hot = (
        () if labels is not None else tuple(column for column in diseases if column is not None)
    )
    return Columns(
        image=image,
        patient=first(PATIENT_COLUMNS),
        labels=labels,
        diseases=one_hot,
        no_finding=first([plain(NO_FINDING)]) if one_hot else None,
    )


def _missing_labels(path: Path, header: Sequence[str], diseases: Sequence[int | None]) -> str:
    """The message for a table with neither kind of label columns."""
    missing = [d for d, column in zip(DISEASES, diseases, strict=True) if column is None]
    if len(missing) == len(DISEASES):
        return (
            f"{path}: no 'Finding Labels' column{did_you_mean('Finding Labels', header)} and no "
            f"disease columns; the columns are {_listed(header)}; name one 'Finding Labels', or "
            "add a column of 0 and 1 for each of NIH's 14 diseases"
        )
    hints = "; ".join(f"{disease!r}{did_you_mean(disease, header)}" for disease in missing)
    return (
        f"{path}: {len(missing)} of the 14 disease columns missing: {hints}; "
        "add them, with 0 and 1 in every row"
    )


def _listed(header: Sequence[str]) -> str:
    return ", ".join(map(repr, header[:20])) + (", ..." if len(header) > 20 else "")
