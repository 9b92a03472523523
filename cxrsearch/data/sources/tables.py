"""From a description to what its table says of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cxrsearch.data.description import Description, LabelFrom
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.labels.tables import LabelTable as OldTable
from cxrsearch.data.labels.tables import find_table, read_table


@dataclass(frozen=True, eq=False)
class ReadTable(OldTable):
    """As the formats give it."""

    label_names: tuple[str, ...] = DISEASES
    uncertain: np.ndarray | None = None
    parts: np.ndarray | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def recognise(images: Path, table: Path | None, files: Sequence[str]) -> Description:
    """What lies in ``images``, by itself."""
    path = table or find_table(images)
    labels = tuple(LabelFrom(name, name) for name in DISEASES)
    return Description(images=images, table=(path.absolute(),), format="nih", labels=labels)


def read_labels(description: Description, files: Sequence[str]) -> ReadTable:
    """What the table says."""
    table = read_table(description.table[0])
    marks = table.labels
    counts = {
        name: {
            "positive": int((marks[:, k] == 1).sum()),
            "negative": int((marks[:, k] == 0).sum()),
            "uncertain": 0,
            "blank": 0,
        }
        for k, name in enumerate(DISEASES)
    }
    return ReadTable(**vars(table), ignored=tuple(table.extra), counts=counts)
