"""How a data set is to be read: the one record that every command takes it by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

POLICIES = ("ignore", "positive", "negative", "soft")
"""What an uncertain mark may count as in training: `docs/datasets.md` says what each does."""
BLANKS = ("negative", "ignore")
"""What a blank cell may count as."""
READERS = ("majority", "any", "mean")
"""How several readers' marks become one."""
SPLIT_BY = ("drawn", "column", "folders", "lists")
"""How the parts come about: drawn by patient; by ``columns: split``; by a folder called train, val
or test in the images' paths; by ``train_val_list.txt`` and ``test_list.txt`` beside the table."""
ROLES = ("image", "patient", "split", "age", "sex", "view")
"""What a column may be, in ``columns``."""


@dataclass(frozen=True)
class Pattern:
    """A regular expression over an image's path, whose one group (or whole match) is the value."""

    regex: str


@dataclass(frozen=True)
class LabelFrom:
    """A label of the data set.

    Args:
        name: what it is called here, and in all that is made of the data.
        source: the column, or the word in a list of labels, that it is read from.
    """

    name: str
    source: str


@dataclass(frozen=True)
class Description:
    """A data set as recognised from what is there, or as ``dataset.yaml`` says.

    Args:
        images: the folder of the images, absolute.
        table: the label table(s), absolute; the first holds the labels. Empty for class folders
            and labels in file names.
        format: name out of the formats' registry.
        columns: role -> column, or a pattern over the path.
        labels: the labels, in order; empty: those that the format finds.
        uncertain: label -> one of `POLICIES`; ``""`` stands for all others.
        blank: label -> one of `BLANKS`; ``""`` stands for all others.
        readers: one of `READERS`.
        filter: column -> values that are kept.
        split: one of `SPLIT_BY`.
        options: what only this format knows, such as the separator of a list.
        reason: by what the format was told; empty where a user named it.
    """

    images: Path
    table: tuple[Path, ...]
    format: str
    columns: Mapping[str, str | Pattern] = field(default_factory=dict)
    labels: tuple[LabelFrom, ...] = ()
    uncertain: Mapping[str, str] = field(default_factory=dict)
    blank: Mapping[str, str] = field(default_factory=dict)
    readers: str = "majority"
    filter: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    split: str = "drawn"
    options: Mapping[str, str] = field(default_factory=dict)
    reason: str = field(default="", compare=False)
