"""What a command found: tables for the terminal, JSON for later, targets with their verdicts."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.measure import Spread
from search.files import write_json

from .material import Setup

Cell = str | int | float | Spread | None


@dataclass(frozen=True)
class Table:
    """Rows of figures.

    Args:
        title: what they are, with conditions.
        columns: the first names the row.
        rows: one value a column; a `Spread` is shown with its ends.
        digits: behind the point.
    """

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    digits: int = 2

    def add(self, *row: Cell) -> None:
        """One more row, with a value for each column."""
        if len(row) != len(self.columns):
            raise ValueError(f"{len(row)} values for {len(self.columns)} columns: {row}")
        self.rows.append(row)

    def text(self, value: Cell) -> str:
        """A value as it is shown."""
        if value is None:
            return "-"
        if isinstance(value, Spread):
            return value.text(self.digits)
        return f"{value:,.{self.digits}f}" if isinstance(value, float) else str(value)

    def show(self, console: Console) -> None:
        """Print it."""
        shown = RichTable(title=self.title, title_justify="left")
        for number, column in enumerate(self.columns):
            shown.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            shown.add_row(*map(self.text, row))
        console.print(shown)


@dataclass(frozen=True)
class Target:
    """A figure that is to be reached.

    Args:
        name: of what.
        value: measured.
        goal: wanted.
        most: whether the value may not exceed the goal, rather than not fall short of it.
    """

    name: str
    value: float
    goal: float
    most: bool = False

    @property
    def met(self) -> bool:
        """Whether the goal is reached; never by a value that is not a number."""
        return self.value <= self.goal if self.most else self.value >= self.goal

    def text(self, judged: bool) -> str:
        """A sentence."""
        wanted = f"at {'most' if self.most else 'least'} {self.goal:g}"
        verdict = ("reached" if self.met else "MISSED") if judged else "not judged with --fast"
        return f"{self.name}: {self.value:.4g}, {wanted}: {verdict}"


@dataclass
class Report:
    """All that one command found.

    Args:
        command: its name.
        where: how it was run.
        tables: in the order in which they are shown.
        targets: likewise.
        notes: what else has to be known to read the figures.
        failed: what could not be measured, and by what error.
    """

    command: str
    where: Setup
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def table(self, title: str, *columns: str, digits: int = 2) -> Table:
        """A new, empty table."""
        self.tables.append(Table(title, columns, digits=digits))
        return self.tables[-1]

    def target(self, name: str, value: float, goal: float, most: bool = False) -> None:
        """A figure and what it should be."""
        self.targets.append(Target(name, float(value), goal, most))

    @property
    def missed(self) -> bool:
        """Whether a target that counts was missed, or something could not be measured."""
        missed = not self.where.fast and any(not target.met for target in self.targets)
        return missed or bool(self.failed)

    def show(self, console: Console) -> None:
        """Print everything."""
        console.print(conditions(self.where), highlight=False)
        for table in self.tables:
            table.show(console)
        for note in self.notes:
            console.print(f"- {note}", highlight=False)
        for target in self.targets:
            colour = "green" if target.met else "yellow" if self.where.fast else "red"
            console.print(target.text(not self.where.fast), style=colour, highlight=False)
        for failure in self.failed:
            console.print(failure, style="red", highlight=False, markup=False)

    def save(self) -> Path:
        """Write ``COMMAND.json``, with ``-fast`` and ``-cuda`` in its name where it applies."""
        ends = "-fast" * self.where.fast + "-cuda" * (self.where.device.type == "cuda")
        path = self.where.out / f"{self.command}{ends}.json"
        values = {
            "command": self.command,
            "conditions": conditions(self.where),
            "date": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "tables": [asdict(table) for table in self.tables],
            "targets": [asdict(t) | {"met": t.met} for t in self.targets],
            "notes": self.notes,
            "failed": self.failed,
        }
        write_json(path, plain(values))
        return path


def conditions(where: Setup) -> str:
    """Device, threads, rounds, data and versions, in one line."""
    device = (
        torch.cuda.get_device_name(where.device)
        if where.device.type == "cuda"
        else f"{platform.machine()} CPU"
    )
    data = "drawn X-rays" if where.data is None else where.data.name
    return (
        f"{device}, {os.cpu_count()} cores, {where.threads} threads a trial; rounds: "
        f"{where.rounds}, interleaved, medians with smallest and largest; {data}; "
        f"torch {torch.__version__}"
    )


def plain(value: Any) -> Any:
    """The same in types that JSON has; infinite and undefined numbers become None."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
