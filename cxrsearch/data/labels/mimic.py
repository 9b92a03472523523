"""MIMIC-CXR: labels by study, images and views by the metadata, parts by a third table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxrsearch.errors import InputError

from .cells import Cells, TextColumn, read_cells
from .columns import place_of
from .folders import IMAGE_PATH

STUDY_KEYS = ("subjectid", "studyid")
_DICOM, _VIEW, _SPLIT = "dicomid", "viewposition", "split"
_PATH = re.compile(r"(?:^|/)p(\d{8})/s(\d+)/([^/]+?)(?:\.[A-Za-z]+)?$")


def kind_of(header: Sequence[str]) -> str:
    """Whether a header is that of MIMIC-CXR's "metadata", "split" or of neither, ""."""
    if None in (place_of(header, (key,)) for key in (*STUDY_KEYS, _DICOM)):
        return ""
    if place_of(header, (_SPLIT,)) is not None:
        return "split"
    return "metadata" if place_of(header, (_VIEW,)) is not None else ""


def joined(tables: Sequence[Path], files: Sequence[str]) -> Cells:
    """The label table with a row an image.

    Args:
        tables: the labels, and metadata and split where they are there.
        files: the images below their folder: where there is no metadata, they tell which images
            a study has.

    Raises:
        InputError: where nothing tells which images a study has.
    """
    labels = read_cells(tables[0])
    beside = {kind_of(cells.header): cells for cells in map(read_cells, tables[1:])}
    metadata = beside.get("metadata", beside.get("split"))
    if metadata is None:
        metadata = _of_paths(tables[0], files)
    studies = {key: row for row, key in enumerate(_keys(labels, STUDY_KEYS))}
    keys = _keys(metadata, STUDY_KEYS)
    at = np.array([studies.get(key, -1) for key in keys], np.int64)
    rows = np.flatnonzero(at >= 0)
    if not len(rows):
        raise InputError(
            f"{tables[0]}: none of its {len(studies):,} studies is among those of the images; are "
            "the tables of one data set?"
        )
    cells = labels.taking(at[rows])
    header, columns = list(labels.header), list(cells.columns)
    for name, column in zip(metadata.header, metadata.columns, strict=True):
        if name not in header:
            header.append(name)
            columns.append(column.taking(rows))
    dicoms = column_at(metadata, _DICOM).taking(rows).list()
    subjects, numbers = (column_at(cells, key).list() for key in STUDY_KEYS)
    header.append(IMAGE_PATH)
    columns.append(TextColumn.of(_names(dicoms, subjects, numbers, files)))
    split = beside.get("split")
    if split is not None and split is not metadata:
        parts = dict(zip(column_at(split, _DICOM).list(), column_at(split, _SPLIT).list(),
                         strict=True))  # fmt: skip
        header.append("split")
        columns.append(TextColumn.of([parts.get(dicom, "") for dicom in dicoms]))
    notes = list(cells.notes)
    if len(rows) < len(keys):
        notes.append(f"{len(keys) - len(rows):,} images are of studies without labels")
    studied = len(set(at[rows].tolist()))
    if studied < len(studies):
        notes.append(f"{len(studies) - studied:,} studies with labels have no image")
    return Cells(labels.path, header, columns, cells.rows, tuple(notes), labels.places)


def column_at(cells: Cells, name: str) -> TextColumn:
    """The column of that name, as `plain` writes it, which is there."""
    place = place_of(cells.header, (name,))
    if place is None:
        raise InputError(f"{cells.path}: no column {name!r}")
    return cells.columns[place]


def _keys(cells: Cells, names: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(*(column_at(cells, name).list() for name in names), strict=True))


def _of_paths(table: Path, files: Sequence[str]) -> Cells:
    """Which images there are, by their paths: p10/p10000032/s50414267/DICOM.jpg."""
    found = [match.groups() for file in files if (match := _PATH.search(file))]
    if not found:
        raise InputError(
            f"{table}: it names studies, and no images; put MIMIC-CXR's metadata table "
            "(mimic-cxr-2.0.0-metadata.csv.gz) beside it, or name it: table: [LABELS, METADATA]"
        )
    columns = dict(zip(("subject_id", "study_id", "dicom_id"), zip(*found, strict=True),
                       strict=True))  # fmt: skip
    every = [TextColumn.of(cells) for cells in columns.values()]
    return Cells(table, list(columns), every, np.arange(len(found)))


def _names(
    dicoms: Sequence[str], subjects: Sequence[str], studies: Sequence[str], files: Sequence[str]
) -> list[str]:
    """The images' paths as MIMIC-CXR lays them out; only their own names where files lie flat."""
    if files and not any(_PATH.search(file) for file in files):
        return list(dicoms)
    return [
        f"files/p{subject[:2]}/p{subject}/s{study}/{dicom}.jpg"
        for dicom, subject, study in zip(dicoms, subjects, studies, strict=True)
    ]
