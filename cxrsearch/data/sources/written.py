"""A description as plain data, for a study, and as a commented ``dataset.yaml``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cxrsearch.data.description import Description, LabelFrom, Pattern

from .stated import ALL_OTHERS, KEYS

ABOUT = {
    "images": "the folder of the images, at any depth; relative to this file",
    "table": "the label table",
    "format": "how the table is written",
    "columns": "which column says what: image, patient, split, age, sex, view;\n"
    "a column's name, or {pattern: 'REGEX'} over the image's path",
    "labels": "what is learnt: names, or {name: NEW, from: COLUMN OR WORD}; take out what you do\n"
    "not want",
    "uncertain": "uncertain marks in training: ignore, positive, negative or soft; for all\n"
    "labels, or LABEL: WORD each. Validation and test never use them",
    "blank": "blank cells: negative, or ignore (not known); for all labels, or by label",
    "readers": "where several readers marked an image: majority, any or mean",
    "filter": "images that are kept: COLUMN: [VALUES]",
    "split": "drawn (by patient), column (columns: split), folders (called train, val, test), or\n"
    "lists (train_val_list.txt and test_list.txt)",
    "options": "what only this format knows",
}
"""The comment above each key."""
_HEAD = """\
# How this data set is read. Change what is wrong, and give this file as --data, or leave it in
# the folder of the data: a folder that holds dataset.yaml is read as it says.
"""
_LINE = "  {}"


def plain(description: Description, base: Path) -> dict[str, Any]:
    """``description`` as `cxrsearch.data.sources.stated.described` reads it again.

    Args:
        description: the record.
        base: folder that paths below it are written relative to, so that both can move.

    Returns:
        plain lists, mappings and texts, in the order of the keys; what is empty is left out.
    """
    found: dict[str, Any] = {
        "images": _placed(description.images, base),
        "table": [_placed(path, base) for path in description.table],
        "format": description.format,
        "columns": {
            role: {"pattern": column.regex} if isinstance(column, Pattern) else column
            for role, column in description.columns.items()
        },
        "labels": [_label(label) for label in description.labels],
        "uncertain": _policies(description.uncertain),
        "blank": _policies(description.blank),
        "readers": description.readers,
        "filter": {column: list(values) for column, values in description.filter.items()},
        "split": description.split,
        "options": dict(description.options),
    }
    if len(description.table) == 1:
        found["table"] = found["table"][0]
    return {key: found[key] for key in KEYS if found[key]}


def yaml_text(
    description: Description, base: Path, beside: Callable[[str], str] = lambda label: ""
) -> str:
    """The text of a ``dataset.yaml``, with comments that say what each key is for.

    Args:
        description: the record.
        base: the folder it will lie in.
        beside: what to say beside a label, such as its counts.
    """
    given = plain(description, base)
    given.setdefault("filter", {})
    blocks = [_HEAD]
    for key in KEYS:
        comment = "".join(f"# {line}\n" for line in ABOUT[key].split("\n"))
        if key in given:
            blocks.append(f"{comment}{_entry(key, given[key], beside)}")
        elif key in ("uncertain", "blank"):
            blocks.append(f"{comment}# {key}: {'ignore' if key == 'uncertain' else 'negative'}\n")
    return "\n".join(blocks)


def _placed(path: Path, base: Path) -> str:
    """``path`` relative to ``base`` where it lies below it."""
    try:
        return path.relative_to(base).as_posix()
    except ValueError:
        return str(path)


def _label(label: LabelFrom) -> str | dict[str, str]:
    if label.name == label.source:
        return label.name
    return {"name": label.name, "from": label.source}


def _policies(given: Mapping[str, str]) -> str | dict[str, str]:
    if list(given) == [""]:
        return given[""]
    return {label or ALL_OTHERS: policy for label, policy in given.items()}


def _entry(key: str, value: Any, beside: Callable[[str], str]) -> str:
    if isinstance(value, Mapping) and value:
        rows = [f"{_flow(name)}: {_flow(one)}" for name, one in value.items()]
    elif isinstance(value, list) and value:
        rows = _list_rows(key, value, beside)
    else:
        return f"{key}: {_flow(value)}\n"
    return f"{key}:\n" + "".join(f"{_LINE.format(row)}\n" for row in rows)


def _list_rows(key: str, value: Sequence[Any], beside: Callable[[str], str]) -> list[str]:
    texts = [f"- {_flow(one)}" for one in value]
    if key != "labels":
        return texts
    names = [one if isinstance(one, str) else one["name"] for one in value]
    said = [beside(name) for name in names]
    wide = min(60, max(map(len, texts)))
    return [
        f"{text:<{wide}}  # {words}" if words else text
        for text, words in zip(texts, said, strict=True)
    ]


def _flow(value: Any) -> str:
    """A value on one line, in YAML."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("...").rstrip("\n")
