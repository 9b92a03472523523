"""The tables beside augmented copies: their labels, and what happened to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.description import Description, LabelFrom
from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.data.labels.columns import IMAGE_COLUMNS, LABEL_COLUMNS, PATIENT_COLUMNS, plain
from cxrsearch.data.labels.recognise import NIH_TABLE
from cxrsearch.data.labels.table_text import csv_text, image_cell, number_cell
from cxrsearch.data.marks import all_known
from cxrsearch.data.sources.written import yaml_text
from cxrsearch.learn.augment.draws import Parameters

from .copies import described
from .copying import CopyTask

TABLE_COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
OWN_TABLE, OWN_DESCRIPTION = "labels.csv", "dataset.yaml"
"""The label table where the labels are not NIH's, and how it is read."""
IMAGE_COLUMN, PATIENT_COLUMN, SPLIT_COLUMN = "image", "patient", "split"
DOUBT_CELL = "-1"
STEPS_HEAD = ("copy", "file", "image", "number")


def is_nih(dataset: Dataset) -> bool:
    """Whether NIH's label table can say all that is known of the images of ``dataset``."""
    doubts = dataset.uncertain is not None and bool(dataset.uncertain.any())
    return (
        dataset.label_names == DISEASES
        and all_known(dataset.labels)
        and not doubts
        and dataset.parts is None
    )


def label_files(
    names: Sequence[str], dataset: Dataset, kept: np.ndarray, copies: int, out: Path
) -> dict[str, str]:
    """The label table of the copies, with what says how it is read: name of a file -> its text.

    They say of each copy what is known of its image: labels, patient, part, and all other
    columns. NIH's labels are written as NIH does.

    Args:
        names: of the copies, those of an image after one another.
        dataset: the images.
        kept: rows of those that have copies.
        copies: of each.
        out: the folder of the copies, absolute.

    Returns:
        the label table last.
    """
    if is_nih(dataset):
        return {NIH_TABLE: _nih_table(names, dataset, kept, copies)}
    return {
        OWN_DESCRIPTION: yaml_text(_description(dataset, out), out),
        OWN_TABLE: _own_table(names, dataset, kept, copies),
    }


def _description(dataset: Dataset, out: Path) -> Description:
    """How `_own_table` is read."""
    columns = {IMAGE_COLUMN: IMAGE_COLUMN, PATIENT_COLUMN: PATIENT_COLUMN}
    columns |= {role: column for role, column in dataset.roles.items() if column in dataset.extra}
    if dataset.parts is not None:
        columns[SPLIT_COLUMN] = SPLIT_COLUMN
    return Description(
        images=out,
        table=(out / OWN_TABLE,),
        format="one-hot",
        columns=columns,
        labels=tuple(LabelFrom(name, name) for name in dataset.label_names),
        uncertain=dict(zip(dataset.label_names, dataset.uncertain_as, strict=False)),
        blank={"": "ignore"},
        split="drawn" if dataset.parts is None else "column",
    )


def _own_table(names: Sequence[str], dataset: Dataset, kept: np.ndarray, copies: int) -> str:
    """A column a label: 1, 0, a share of the readers, -1 where it is uncertain, or nothing."""
    first = [IMAGE_COLUMN, PATIENT_COLUMN, *([] if dataset.parts is None else [SPLIT_COLUMN])]
    taken = {plain(name) for name in (*first, *dataset.label_names)}
    others = [name for name in dataset.extra if plain(name) not in taken]
    marks = dataset.labels
    doubts = np.zeros(marks.shape, bool) if dataset.uncertain is None else dataset.uncertain

    def lines() -> Iterator[list[object]]:
        for position, row in enumerate(kept.tolist()):
            cells = map(_mark, marks[row], doubts[row])
            parts = [] if dataset.parts is None else [dataset.parts[row]]
            said = (dataset.extra[name][row] for name in others)
            rest = [dataset.patients[row], *parts, *cells, *said]
            for name in names[position * copies : (position + 1) * copies]:
                yield [image_cell(name), *rest]

    return csv_text([*first, *dataset.label_names, *others], lines())


def _mark(mark: np.floating, doubt: bool) -> str:
    """A mark as a cell."""
    if doubt:
        return DOUBT_CELL
    if np.isnan(mark):
        return ""
    return str(int(mark)) if mark in (0, 1) else number_cell(mark)


def _nih_table(names: Sequence[str], dataset: Dataset, kept: np.ndarray, copies: int) -> str:
    """NIH's label table."""
    taken = {*IMAGE_COLUMNS, *LABEL_COLUMNS, *PATIENT_COLUMNS, *map(plain, DISEASES)}
    others = [name for name in dataset.extra if plain(name) not in taken]

    def lines() -> Iterator[list[object]]:
        for position, row in enumerate(kept.tolist()):
            found = [d for d, has in zip(DISEASES, dataset.labels[row], strict=True) if has]
            label = "|".join(found) or NO_FINDING
            rest = [label, dataset.patients[row], *(dataset.extra[name][row] for name in others)]
            for name in names[position * copies : (position + 1) * copies]:
                yield [image_cell(name), *rest]

    return csv_text([*TABLE_COLUMNS, *others], lines())


def parameter_table(
    names: Sequence[str], tasks: Sequence[CopyTask], draw: Callable[[CopyTask], Parameters]
) -> str:
    """What happened to each copy: a column a parameter.

    Args:
        names: of the copies, those of an image after one another.
        tasks: the images.
        draw: gives an image's parameters, fields of shape (copies,).
    """

    def lines() -> Iterator[list[object]]:
        following = iter(names)
        for task in tasks:
            parameters = draw(task)
            for number, file in enumerate(task.copies, 1):
                values = described(parameters, number - 1)
                yield [
                    image_cell(next(following)),
                    image_cell(file),
                    image_cell(task.name),
                    number,
                    *values.values(),
                ]

    return csv_text([*STEPS_HEAD, *(field.name for field in fields(Parameters))], lines())
