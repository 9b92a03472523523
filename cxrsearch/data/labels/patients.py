"""Whom each image shows: by a column, by a pattern over its path, or not known."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from cxrsearch.data.description import Pattern
from cxrsearch.data.files import stem
from cxrsearch.data.patterns import distinct_found

from .cells import Cells
from .columns import column_of
from .problems import LONGEST_ID, TableProblems, short, too_long

NIH_NAME = re.compile(r"(\d{8})_\d{3}")
"""NIH's file names: eight digits of the patient, three of the follow-up."""
KNOWN = {
    r"(?:^|/)(?=\d{8}_\d{3}(?:\.\w+)?$)0*(\d+)_": "NIH's file names (00000001_000.png)",
    r"(?:^|/)(patient\d+)(?=/)": "the folders of CheXpert's paths (patient00001)",
    r"(?:^|/)(p\d{8})(?=/)": "the folders of MIMIC-CXR's paths (p10000032)",
}
"""Patterns over the paths of images that are known, and what they are."""
EACH_ITS_OWN = (
    "no patient column: every image counts as a patient of its own. Where patients have "
    "several images, scores on validation and test will be too good"
)
NO_PATIENT = ("", "nan", "na", "none", "null")


def known_pattern(images: Sequence[str]) -> Pattern | None:
    """The known pattern that tells a patient of each of ``images``, or None."""
    for regex in KNOWN:
        search = re.compile(regex).search
        if images and all(search(image) for image in images):
            return Pattern(regex)
    return None


def image_paths(images: Sequence[str], files: Sequence[str]) -> list[str]:
    """The path of each image: as it is called, or of its file where that says less.

    Args:
        images: names in a table.
        files: paths of image files, with ``/``.
    """
    paths = [image.replace("\\", "/") for image in images]
    if not files or all("/" in path for path in paths):
        return paths
    lookup: dict[str, list[str]] = {}
    for file in files:
        lookup.setdefault(stem(file.rpartition("/")[2]), []).append(file)
    places = [[] if "/" in path else lookup.get(stem(path), []) for path in paths]
    return [
        found[0] if len(found) == 1 else path for path, found in zip(paths, places, strict=True)
    ]


def read_patients(
    given: str | Pattern | None,
    cells: Cells,
    images: Sequence[str],
    problems: TableProblems,
    paths: Sequence[str] = (),
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Whom each image shows, ``(n,)`` str, and what had to be assumed.

    Args:
        given: the column, or a pattern over the paths; None: nothing says.
        cells: a row an image.
        images: their names.
        problems: takes what is wrong.
        paths: what a pattern is looked for in, as `image_paths` gives them.
    """
    if given is None:
        return patients_by_name(images)
    if isinstance(given, Pattern):
        return _by_pattern(given, paths or images, problems)
    values = column_of(cells, given).list()
    for row, value in enumerate(values):
        if value.lower() in NO_PATIENT:
            problems.add("patient", row, "no patient; an image of an unknown patient leaks")
        elif len(value) > LONGEST_ID:
            problems.add("long", row, too_long("patient", value))
            values[row] = ""
    return np.array(values), ()


def patients_by_name(images: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Whom each image shows, ``(n,)`` str, where nothing says, and what had to be assumed.

    Names that are known tell it, also where only some are, as in folders gathered from several
    sources; each other image counts as a patient of its own.
    """
    patients = [name[:LONGEST_ID] for name in images]
    notes = []
    left = set(range(len(images)))
    for regex, what in KNOWN.items():
        found = {row: match[1] for row in left if (match := re.search(regex, images[row]))}
        if found:
            notes.append(
                f"no patient column; patients of {len(found):,} images are told from {what}"
            )
        for row, patient in found.items():
            patients[row] = patient[:LONGEST_ID]
        left -= found.keys()
    if left and notes:
        notes.append(
            f"each of the other {len(left):,} images counts as a patient of its own. Where they "
            "are of fewer patients, scores on validation and test will be too good"
        )
    return np.array(patients), tuple(notes) or (EACH_ITS_OWN,)


def _by_pattern(
    pattern: Pattern, images: Sequence[str], problems: TableProblems
) -> tuple[np.ndarray, tuple[str, ...]]:
    paths = [image.replace("\\", "/") for image in images]
    notes: tuple[str, ...] = ()
    if pattern.regex in KNOWN:
        find = re.compile(pattern.regex).findall
        found = [hits if len(hits) < 2 else list(dict.fromkeys(hits)) for hits in map(find, paths)]
        notes = (f"no patient column; patients are told from {KNOWN[pattern.regex]}",)
    else:
        found = distinct_found(pattern.regex, paths)
    what = f"columns: patient: pattern {short(pattern.regex)}"
    for row, values in enumerate(found):
        if not values or not values[0]:
            problems.add("none", row, f"{what} finds no patient in {short(images[row])}")
        elif len(values) > 1:
            both = f"two patients, {short(values[0])} and {short(values[1])},"
            problems.add("two", row, f"{what} finds {both} in {short(images[row])}")
    return np.array([values[0][:LONGEST_ID] if values else "" for values in found]), notes
