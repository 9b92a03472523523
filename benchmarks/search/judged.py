"""The judging half's rule: no setting may be chosen on it, and every look at it is on record."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .compare import OURS

LOG = Path(__file__).with_name("judged.jsonl")
"""One line a look; committed."""


def refuse_variants(samplers: Iterable[str]) -> None:
    """The judging half sees samplers with their defaults only.

    Raises:
        ValueError: one of ``samplers`` is named with options.
    """
    for name in samplers:
        if ":" in name:
            raise ValueError(
                f"{name!r} may not run on the judging half: settings are chosen on the half tune"
            )


def record(figures: Mapping[str, Any], product: bool = False, log: Path = LOG) -> dict[str, Any]:
    """Append a look to the log: when, at which commit, and what was seen.

    Args:
        figures: what `compare.compare` found.
        product: whether on problems as users have them.
        log: the file.

    Returns:
        What was appended.
    """
    look = {
        "product": product,
        "cells": {name: row["cells"] for name, row in figures["samplers"].items()},
        "stale": {n: row["stale"] for n, row in figures["samplers"].items() if row["stale"]},
        "versions": figures["samplers"].get(OURS, {}).get("versions", []),
        "standing": {
            group: {budget: _standing(part) for budget, part in figures[group].items()}
            for group in ("all", "fast")
        },
        "ratio": {
            budget: {name: _finite(round(row["ratio"], 4)) for name, row in rows.items()}
            for budget, rows in figures["against"].items()
        },
        "to_random": {
            name: _finite(row["median"]) for name, row in figures["to_random"]["samplers"].items()
        },
    }
    return append(look, log)


def append(seen: Mapping[str, Any], log: Path) -> dict[str, Any]:
    """Append what was ``seen`` to ``log``, with the date and the commit, and return the line."""
    hash_, dirty = commit()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    look = {"date": date, "commit": hash_, "dirty": dirty, **seen}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(look, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return look


def _standing(part: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cells": part["cells"],
        "samplers": {
            name: {"rank": round(row["rank"], 3), "regret": round(row["regret"], 5)}
            for name, row in part["samplers"].items()
        },
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def commit() -> tuple[str, bool]:
    """(commit, whether anything but the judging half's own files differs from it)."""
    here = Path(__file__).parent
    try:
        found = _git("rev-parse", "HEAD").strip()
        changed = _git(
            "status", "--porcelain", "--", ":/", f":!{here / 'cells'}", f":!{LOG}"
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown", True
    return found, bool(changed)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
