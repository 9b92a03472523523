"""The report of a folder of cells: tables, report.json and report.html."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from search.files import write_json, write_text

from . import cells, running, tables
from .compare import compare
from .contenders import entry
from .figures import html


def stale_cells(found: Mapping[str, Mapping[cells.Key, cells.Cell]]) -> dict[str, int]:
    """Number of cells of each sampler that come from other code than today's."""
    stale = {}
    for name, mine in found.items():
        today = _version(name)
        stale[name] = sum(running.is_stale(c, today or c.version) for c in mine.values())
    return stale


def _version(name: str) -> str:
    """Today's version of a sampler; ``""`` where it can't be known here."""
    try:
        made = entry(name)
    except (ValueError, TypeError):
        return ""
    return "" if made.missing() else made.version()


def report(
    folder: Path, out: Path, console: Console, title: str, problems: bool = False
) -> dict[str, Any]:
    """Print the tables and write ``report.json`` and ``report.html`` into ``out``.

    Args:
        folder: of the cells.
        out: where the report goes.
        console: where the tables go.
        title: of the page.
        problems: whether to print mean regrets by problem too.

    Raises:
        ValueError: the folder holds no cell.
    """
    found = cells.read_all(folder)
    if not found:
        raise ValueError(f"no cells in {folder}; run some first")
    figures = compare(found, stale_cells(found))
    tables.show(figures, console, problems)
    write_json(out / "report.json", plain(figures))
    write_text(out / "report.html", html(figures, title))
    return figures


def plain(value: Any) -> Any:
    """The same without NaN and infinities, which JSON does not know: None."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
