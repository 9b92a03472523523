"""What labels may be called, and how one name is told from another."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from cxrsearch.data.diseases import NO_FINDING

LONGEST_LABEL = 100
"""Characters of a label's name, at most."""
OUR_COLUMNS = ("image", "images", "patients")
"""Names of columns and rows beside those of labels, in predictions and tables of counts."""
_TAG = re.compile(r"<[A-Za-z/!?]")


def gene_part(label: str) -> str:
    """``label`` as it stands in the name of a gene: ``Pleural_Effusion``, of letters and digits."""
    return re.sub(r"\W+", "_", label).strip("_")


def folder_part(label: str, column: int) -> str:
    """``label`` as the name of a folder, which none of the other labels has.

    Args:
        label: its name, which a data set has by `name_problems`.
        column: its place among the data set's labels.
    """
    part = gene_part(label)
    return part if part.isascii() else f"label-{column + 1}"


def name_problems(names: Sequence[str]) -> list[str]:
    """What is wrong with the names of a data set's labels, all of it.

    A name becomes a column of tables, a word of ``--objective`` and part of a gene's name: so it
    is printable, has no comma, colon or equals sign, is no path and no markup, is not that of "no
    finding", and differs from each other name in more than case and marks.
    """
    problems = [problem for name in names if (problem := _wrong(name))]
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[gene_part(name).lower()].append(name)
    for same in alike.values():
        if len(same) > 1:
            problems.append(
                f"labels {' and '.join(_short(name) for name in same)} are too alike: names must "
                "differ in more than case and marks; rename one (name: NEW, from: OLD)"
            )
    return problems


def _wrong(name: str) -> str | None:
    """What is wrong with one name."""
    rename = "rename it (name: NEW, from: OLD)"
    if not name.strip():
        return f"label {name!r} is empty; give it a name"
    if len(name) > LONGEST_LABEL:
        return (
            f"label {_short(name)} has {len(name):,} characters; {LONGEST_LABEL} at most: {rename}"
        )
    if not name.isprintable() or name != name.strip():
        return f"label {_short(name)} has characters that cannot be seen: {rename}"
    if _TAG.search(name):
        return f"label {_short(name)} looks like HTML: {rename}"
    if set(name) & set(",:=|\\") or name.startswith(("/", "-", "+", "@", ".")) or "//" in name:
        return f"label {_short(name)} cannot be told from a path, a list or a formula: {rename}"
    if name.endswith("/") or ".." in name.split("/"):
        return f"label {_short(name)} cannot be told from a path: {rename}"
    if not gene_part(name):
        return f"label {_short(name)} has no letter or digit: {rename}"
    if name.lower() in OUR_COLUMNS:
        return f"label {name!r} is what a column of our own tables is called: {rename}"
    if gene_part(name).lower() == gene_part(NO_FINDING).lower():
        return f"label {name!r} is what the absence of all others is called: {rename}"
    return None


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:60]}...")


def plain_name(name: str) -> str:
    """What is left of ``name`` without case, spaces, underscores and other marks."""
    return re.sub(r"[\W_]+", "", name).lower()


def by_plain_name(names: Iterable[str]) -> dict[str, str]:
    """Names by what they have in common however they are written: ``pleuraleffusion``."""
    return {plain_name(name): name for name in names}


def some_names(names: Sequence[str], most: int = 20) -> str:
    """``names`` in a row, the first ``most`` of them, and how many more there are."""
    more = len(names) - most
    listed = ", ".join(names[:most])
    return f"{listed} and {more} more" if more > 0 else listed
