"""The tables of `benchmarks.search.stopping`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = {
    "epochs": ("epochs", 3),
    "seconds": ("seconds", 3),
    "final": ("final, points", 2),
    "test": ("test, points", 2),
    "near": ("within 0.2", 2),
    "reached": ("until there", 3),
    "lost": ("best lost", 2),
    "survived": ("top tenth kept", 2),
    "pauses": ("pauses", 0),
}


def show(rows: Iterable[Mapping[str, Any]], console: Console) -> None:
    """A table for each sampler and noise: the median task, and the lowest and highest."""
    kinds: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for row in rows:
        kinds.setdefault((row["sampler"], row["noise"]), []).append(row)
    for (sampler, noise), group in kinds.items():
        title = f"{sampler}, noise {noise:g} sd of the top tenth, {group[0]['runs']} runs a policy"
        table = Table(title=title, title_justify="left", box=None)
        table.add_column("policy", no_wrap=True)
        for name, _ in COLUMNS.values():
            table.add_column(name, justify="right")
        for row in group:
            table.add_row(row["policy"], *(_cell(key, row[key]) for key in COLUMNS))
        console.print(table)


def _cell(key: str, found: Mapping[str, float]) -> str:
    scale = 100 if key in ("final", "test") else 1
    digits = COLUMNS[key][1]
    if key == "lost":  # of all runs, so that one task cannot hide behind the others
        return f"{found['median']:.2f} (mean {found['mean']:.2f})"
    low, high = (f"{scale * found[end]:.{digits}f}" for end in ("low", "high"))
    return f"{scale * found['median']:.{digits}f} ({low} to {high})"
