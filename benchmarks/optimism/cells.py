"""Repetitions as lines of a file each, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import track

import search.optimism

from .alternatives import Reported
from .judging import Repetition

One = Callable[[int], Repetition]
"""Makes a repetition, from its number alone."""


def version() -> str:
    """Of the method: what its source says. Repetitions of another version are made again."""
    source = Path(search.optimism.__file__).read_bytes()
    return hashlib.sha256(source).hexdigest()[:12]


def collect(file: Path, name: str, one: One, count: int) -> list[Repetition]:
    """The repetitions 0 to ``count``, those that are missing made and added to ``file``.

    Args:
        file: a line each; made where needed.
        name: shown while it runs.
        one: makes them.
        count: how many.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    current = version()
    kept = file.read_text(encoding="utf-8") if file.exists() else ""
    found = {}
    for line in kept.splitlines():
        if line.endswith("}") and (row := json.loads(line))["version"] == current:
            found[int(row["number"])] = _read(row)
    missing = [number for number in range(count) if number not in found]
    with file.open("a", encoding="utf-8") as out:
        if kept and not kept.endswith("\n"):
            out.write("\n")  # a kill cut the last line off
        for number in _shown(missing, name):
            found[number] = one(number)
            out.write(json.dumps(_row(number, current, found[number])) + "\n")
            out.flush()
    return [found[number] for number in range(count)]


def _shown(numbers: list[int], name: str) -> Iterable[int]:
    return track(numbers, name, console=Console(stderr=True), transient=True)


def _row(number: int, current: str, made: Repetition) -> dict[str, object]:
    row = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(made).items()
    }
    return {"number": number, "version": current, **row}


def _read(row: dict[str, object]) -> Repetition:
    methods = row["methods"]
    assert isinstance(methods, dict)
    numbers = {
        name: math.nan if row[name] is None else float(str(row[name]))
        for name in ("true", "naive", "best", "luck")
    }
    return Repetition(**numbers, methods={name: Reported(**said) for name, said in methods.items()})
