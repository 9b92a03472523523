"""The parts of a methods section: sentences with keys, in sections, as Markdown."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.files import shown


@dataclass(frozen=True)
class Sentence:
    """One statement of a methods section.

    Args:
        key: by which checklist items refer to it, ``section.what``.
        text: Markdown, in one paragraph.
        table: head and rows below it; empty: none.
    """

    key: str
    text: str
    table: tuple[Sequence[object], ...] = ()


@dataclass(frozen=True)
class MethodsSection:
    """A heading with its sentences.

    Args:
        key: before the dot of its sentences' keys.
        title: the heading.
        sentences: in their order.
    """

    key: str
    title: str
    sentences: tuple[Sentence, ...]


def not_recorded(what: str) -> str:
    """A sentence on what is not known."""
    return f"Not recorded: {what}."


def author_writes(what: str) -> str:
    """A sentence on what only the author knows."""
    return f"**The author must write:** {what}."


def table_lines(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def words(value: object) -> str:
    """Text of others in one line, with nothing in it that Markdown or HTML would act on."""
    text = html.escape(shown(str(value)), quote=False)
    for mark in ("\\", "`", "*", "_", "[", "]"):
        text = text.replace(mark, f"\\{mark}")
    return text


def _cell(value: object) -> str:
    return str(value).replace("\n", " ").replace("|", "\\|")


def listed(names: Iterable[object], most: int = 40) -> str:
    """Names after one another; of more than ``most``, how many there are besides."""
    every = [words(name) for name in names]
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + rest


def at(value: Any, *keys: str) -> Any:
    """What lies in nested mappings; None where one is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def interval_text(figure: Any, digits: int = 3) -> str:
    """A figure of ``report.json`` in words; empty where it has no value."""
    value, low, high = (at(figure, key) for key in ("value", "low", "high"))
    if value is None:
        return ""
    ends = "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f}{ends}"
