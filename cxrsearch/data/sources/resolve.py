"""What ``--data`` points at: a folder, a table, or a dataset.yaml, as one description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cxrsearch.data.description import Description, LabelFrom
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.files import Found, archive_problem, find_images, folder_problem, remote_problem
from cxrsearch.data.labels.patients import KNOWN
from cxrsearch.data.labels.recognise import recognise
from cxrsearch.data.labels.tables import LabelTable, read_table
from cxrsearch.errors import InputError

from .given import lists_in
from .stated import ENDS, NAMES, Spot, Stated, described, stated_in

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
"""How the name of a table ends."""


@dataclass(frozen=True)
class Source:
    """A data set as it is going to be read.

    Args:
        label: what the user gave.
        base: the folder that paths of its description are relative to.
        description: how it is read.
        found: its image files.
        stated: the dataset.yaml; None where all was recognised.
        notes: what was decided here.
        stored: whether a study said all of it.
    """

    label: str
    base: Path
    description: Description
    found: Found = field(repr=False)
    stated: Stated | None = None
    notes: tuple[str, ...] = ()
    stored: bool = False


@dataclass(frozen=True)
class _Asked:
    """The places that the words of a user come to."""

    base: Path
    images: Path
    table: Path | None
    stated: Stated | None
    notes: tuple[str, ...] = ()


def resolve(
    data: Path,
    labels: Path | None = None,
    images: Path | None = None,
    stored: Mapping[str, Any] | None = None,
    *,
    without_images: bool = False,
) -> Source:
    """The data set that a user points at.

    Args:
        data: a folder, a label table, or a dataset.yaml.
        labels: the label table of a folder, where it lies elsewhere.
        images: the images of a table, where they lie elsewhere.
        stored: how a study has read it before, so that it is read in the same way; empty of
            one of an earlier version, which knew NIH's labels alone.
        without_images: whether a table will do whose images are not there.

    Raises:
        InputError: naming everything that cannot be used.
    """
    if stored:
        return _again(data, labels, images, stored)
    asked = _places(data, labels, images)
    stated = asked.stated
    if stated is not None:
        return _as_stated(str(data), asked, stated, without_images)
    found = _images_in(asked.images)
    if stored is not None:
        description = _as_before(recognise(asked.images, asked.table, found.files))
    else:
        description = recognise(asked.images, asked.table, found.files)
        folders = [asked.images, *(table.parent for table in description.table)]
        if description.split == "drawn" and lists_in(folders):
            description = replace(description, split="lists")
    return Source(
        str(data), asked.base, description, found, notes=asked.notes, stored=stored is not None
    )


def read_labels(source: Source) -> LabelTable:
    """The label table of a data set.

    Raises:
        InputError: with all that is wrong with it, by line.
    """
    table = _labels(source)
    if source.stated is not None:
        source.stated.check()
    return table


def _labels(source: Source) -> LabelTable:
    """The table, as far as it can be read; what is wrong with a stated one is noted there."""
    try:
        return read_table(source.description, source.found.files)
    except InputError as error:
        stated = source.stated
        if stated is None:
            raise
        places = stated.of_table(error.problems)
        # Without what is wrong with columns, what else is wrong comes to light.
        if (rest := _without(source.description, places)) != source.description:
            return _labels(replace(source, description=rest))
        stated.check()
        raise


def _without(description: Description, places: Sequence[Spot]) -> Description:
    """``description`` without the columns and filters that ``places`` of a file name."""
    wrong = {place[:2] for place in places}
    columns = {k: v for k, v in description.columns.items() if ("columns", k) not in wrong}
    kept = {k: v for k, v in description.filter.items() if ("filter", k) not in wrong}
    split = "drawn" if ("columns", "split") in wrong else description.split
    return replace(description, columns=columns, filter=kept, split=split)


def _as_stated(label: str, asked: _Asked, stated: Stated, without_images: bool) -> Source:
    """The data set that a file describes; what it does not say is recognised.

    Raises:
        InputError: with all that is wrong with it, by line.
    """
    found = _files(asked, stated, without_images)
    try:
        description = recognise(asked.images, asked.table, found.files, stated.fields)
    except InputError as error:
        stated.of_table(error.problems)
        stated.check()
        raise
    source = Source(label, asked.base, _over(description, stated), found, stated, asked.notes)
    if stated.problems:
        read_labels(source)  # so that what is wrong with the table is named with the rest
    return source


def _as_before(description: Description) -> Description:
    """``description`` as earlier versions read data: NIH's labels alone, drawn parts, no filter."""
    labels = tuple(LabelFrom(name, name) for name in DISEASES)
    columns = {role: column for role, column in description.columns.items() if role != "split"}
    patient = columns.get("patient")
    if not isinstance(patient, str) and not (patient and "NIH" in KNOWN.get(patient.regex, "")):
        columns["patient"] = columns["image"]  # each a patient of its own
    # A table with NIH's cells beside others' labels was read by NIH's.
    kind = description.format if description.format in ("nih", "one-hot") else "nih"
    return replace(
        description, format=kind, labels=labels, columns=columns, filter={}, split="drawn"
    )


def _again(
    data: Path, labels: Path | None, images: Path | None, stored: Mapping[str, Any]
) -> Source:
    """The data set as a study has read it, wherever it lies now."""
    base = data if data.is_dir() else data.parent
    if not data.exists():
        raise InputError(_not_there(data))
    description = described(stored, "the study's description of its data", base.absolute())
    if images is not None:
        description = replace(description, images=images.absolute())
    if labels is not None:
        description = replace(description, table=(labels.absolute(), *description.table[1:]))
    missing = [str(table) for table in description.table if not table.is_file()]
    if missing:
        raise InputError(
            [f"{table}: the label table is not there; say where with --labels" for table in missing]
        )
    return Source(str(data), base, description, _images_in(description.images), stored=True)


def _places(data: Path, labels: Path | None, images: Path | None) -> _Asked:
    """Which folder, table and description ``data`` and the options beside it are."""
    problems = []
    if labels is not None and (problem := _table_problem(labels)):
        problems.append(problem)
    if images is not None and (problem := folder_problem(images)):
        problems.append(f"--images {problem}")
    try:
        folder, file = data.is_dir(), data.is_file()
    except OSError as error:
        raise InputError(
            f"{data}: cannot be read ({error.strerror}); check its permissions"
        ) from None
    if folder:
        asked = _folder(data, labels, images, problems)
    elif file and data.name.lower().endswith(ENDS):
        if labels is not None:
            problems.append(f"{data} says which table it is: leave out --labels {labels}")
        stated = stated_in(data)
        own = stated.fields.get("images", stated.base)
        table = stated.fields.get("table") or (None,)
        asked = _Asked(stated.base, images.absolute() if images else own, table[0], stated)
    elif file and data.name.lower().endswith(TABLES):
        if labels is not None:
            problems.append(f"{data} is a label table already: leave out --labels {labels}")
        base = data.absolute().parent
        asked = _Asked(base, images.absolute() if images else base, data.absolute(), None)
    else:
        raise InputError([_not_there(data), *problems])
    if problems:
        raise InputError(problems)
    return asked


def _folder(data: Path, labels: Path | None, images: Path | None, problems: list[str]) -> _Asked:
    if problem := folder_problem(data):
        problems.append(problem)
    if images is not None:
        problems.append(
            f"--images {images}: {data} is the folder of the images already; name the table "
            "instead (--data TABLE), or leave out --images"
        )
    base = data.absolute()
    description = next((data / name for name in NAMES if (data / name).is_file()), None)
    if description is None or labels is not None:
        left = (
            ()
            if description is None
            else (f"{description} is not used, as --labels names another table",)
        )
        return _Asked(base, base, labels.absolute() if labels else None, None, left)
    stated = stated_in(description)
    table = stated.fields.get("table") or (None,)
    note = f"read as {description} says"
    return _Asked(base, stated.fields.get("images", base), table[0], stated, (note,))


def _not_there(data: Path) -> str:
    """Why ``data`` cannot be a data set, in words."""
    if not data.exists():
        return remote_problem(data) or f"{data}: no such folder; check its name"
    return archive_problem(data) or (
        f"{data}: a file, but a folder of images is wanted, a label table ({', '.join(TABLES)}) or "
        "a dataset.yaml"
    )


def _table_problem(labels: Path) -> str | None:
    try:
        if labels.is_file():
            return None
        return remote_problem(labels) or f"{labels}: no such label table; name a CSV file"
    except OSError as error:
        return f"{labels}: cannot be read ({error.strerror}); check its permissions"


def _images_in(folder: Path) -> Found:
    return find_images(folder) if folder.is_dir() else Found((), ())


def _files(asked: _Asked, stated: Stated, without_images: bool) -> Found:
    """The image files, with what is wrong with the places of a description by line.

    Raises:
        InputError: where one of them is not there, with all other faults of the file.
    """
    missing = len(stated.problems)
    if not asked.images.is_dir() and not without_images:
        stated.fault(("images",), folder_problem(asked.images) or f"{asked.images}: no folder")
    for row, table in enumerate(stated.fields.get("table", ())):
        if problem := _table_problem(table):
            stated.fault(("table", row), problem)
    if len(stated.problems) > missing:
        stated.check()
    return _images_in(asked.images)


def _over(description: Description, stated: Stated) -> Description:
    """``description`` but for what a file states."""
    fields = dict(stated.fields)
    if "columns" in fields:
        every = {**description.columns, **fields["columns"]}
        fields["columns"] = {role: column for role, column in every.items() if column is not None}
    return replace(description, **fields)
