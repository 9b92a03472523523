"""The tables beside augmented copies: their labels, and what happened to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields

import numpy as np

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.data.labels.columns import IMAGE_COLUMNS, LABEL_COLUMNS, PATIENT_COLUMNS, plain
from cxrsearch.data.labels.table_text import csv_text, image_cell
from cxrsearch.learn.augment import Parameters

from .copies import described
from .copying import CopyTask

TABLE_COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
STEPS_HEAD = ("copy", "file", "image", "number")


def label_table(names: Sequence[str], dataset: Dataset, kept: np.ndarray, copies: int) -> str:
    """NIH's label table of the copies: labels, patient and all other columns of their image.

    Args:
        names: of the copies, those of an image after one another.
        dataset: the images.
        kept: rows of those that have copies.
        copies: of each.
    """
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
