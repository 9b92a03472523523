"""What was recognised of a data set: counted, as plain data, and in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cxrsearch.data.description import Description, Pattern

from .resolve import Source
from .stated import listed


class Recognised(NamedTuple):
    """What reading a data set came to.

    Args:
        source: what was read, and how.
        images: images in the table.
        found: those whose file is there.
        patients: whom they show.
        labels: label -> `labels.tables.COUNTED` -> how many.
        split: part -> images; None where the parts are drawn.
        columns: columns of the table that say nothing here -> why.
        files: files that are left aside, in words.
        notes: what was assumed.
    """

    source: Source
    images: int
    found: int
    patients: int
    labels: Mapping[str, Mapping[str, int]]
    split: Mapping[str, int] | None
    columns: Mapping[str, str]
    files: Sequence[str]
    notes: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "format": self.source.description.format,
            "images": self.images,
            "found": self.found,
            "patients": self.patients,
            "labels": {name: dict(counts) for name, counts in self.labels.items()},
            "split": None if self.split is None else dict(self.split),
            "ignored": {"columns": dict(self.columns), "files": list(self.files)},
            "notes": list(self.notes),
        }


def part_counts(parts: Sequence[str]) -> dict[str, int]:
    """Images by part; those of none are to train on."""
    counts = Counter(part or "train" for part in parts)
    return {part: counts[part] for part in ("train", "val", "test") if counts[part]}


def roles_in_words(description: Description) -> str:
    """Which column says what, on one line."""
    said = [
        f"{role} from the path by {column.regex!r}"
        if isinstance(column, Pattern)
        else f"{role} {column!r}"
        for role, column in description.columns.items()
    ]
    return ", ".join(said)


def few_lines(source: Source, labels: Sequence[str]) -> list[str]:
    """What a data set without a description is taken for, before anything is done with it.

    Args:
        source: the data set.
        labels: the labels that are read.
    """
    description = source.description
    table = ", ".join(path.name for path in description.table)
    lines = [f"data: {source.label} is read as {description.format}{table and f' ({table})'}"]
    if roles := roles_in_words(description):
        lines.append(f"  {roles}")
    lines.append(f"  {len(labels)} label{'s' * (len(labels) != 1)}: {listed(labels)}")
    policies = {**description.uncertain}
    if policies:
        each = ", ".join(f"{label or 'all'} {policy}" for label, policy in policies.items())
        lines.append(f"  uncertain marks in training: {each}")
    if description.filter:
        kept = "; ".join(f"{c!r} is {listed(v)}" for c, v in description.filter.items())
        lines.append(f"  kept where {kept}")
    if description.split != "drawn":
        lines.append(f"  split given by {description.split}")
    lines.append(f"  to correct it: cxrsearch dataset {source.label} --out dataset.yaml")
    return lines
