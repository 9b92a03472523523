"""The tables beside augmented copies: their labels, and what happened to each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from cxrsearch.copying import Task
from cxrsearch.data.columns import IMAGE_COLUMNS, LABEL_COLUMNS, PATIENT_COLUMNS, plain
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.learn.augment import Parameters
from cxrsearch.learn.copies import described

HEAD = ("Image Index", "Finding Labels", "Patient ID")


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
    lines: list[list[object]] = []
    for position, row in enumerate(kept.tolist()):
        found = [d for d, has in zip(DISEASES, dataset.labels[row], strict=True) if has]
        label = "|".join(found) or NO_FINDING
        rest = [label, dataset.patients[row], *(dataset.extra[name][row] for name in others)]
        lines += [[name, *rest] for name in names[position * copies : (position + 1) * copies]]
    return _csv([*HEAD, *others], lines)


def parameter_table(
    names: Sequence[str], tasks: Sequence[Task], draws: Sequence[Parameters]
) -> str:
    """What happened to each copy, in the order of ``names``: a column a parameter."""
    rows = [
        (task, number, values)
        for task, parameters in zip(tasks, draws, strict=True)
        for number, values in enumerate(_numbers(parameters, len(task.copies)), 1)
    ]
    lines: list[list[object]] = [
        [name, path, task.name, number, *values.values()]
        for name, path, (task, number, values) in zip(
            names, (copy for task in tasks for copy in task.copies), rows, strict=True
        )
    ]
    return _csv(["copy", "file", "image", "number", *rows[0][2]], lines)


def _numbers(parameters: Parameters, count: int) -> list[dict[str, float | int]]:
    return [described(parameters, number) for number in range(count)]


def _csv(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return text.getvalue()
