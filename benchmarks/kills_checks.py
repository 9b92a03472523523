"""What must hold of a search that was killed and resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from search.study import read_study

from . import kills_search

IGNORED = {"attempt", "spans", "started", "deaths", "died_at"}
"""Trial attributes that tell of the kills themselves."""


@dataclass
class Result:
    """What one row of the table counts."""

    name: str
    kills: int = 0
    searches: int = 0
    trials: int = 0
    redone: int = 0
    violations: list[str] = field(default_factory=list)
    compared: int = 0


def history(folder: Path) -> list[dict[str, Any]]:
    """All that a trial's history should say whatever was killed, by trial."""
    return [fate(trial) for trial in read_study(folder / "study").trials]


def fate(trial: FrozenTrial) -> dict[str, Any]:
    """One trial's history."""
    attrs = {k: v for k, v in trial.user_attrs.items() if k not in IGNORED}
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "params": trial.params,
        "steps": trial.intermediate_values,
        "attrs": attrs,
        "system": trial.system_attrs,
    }


def finished(folder: Path) -> dict[int, dict[str, Any]]:
    """The trials that have ended; none while there is no study yet."""
    if not (folder / "study" / "history.db").exists():
        return {}
    done = ("COMPLETE", "PRUNED", "FAIL")
    return {t["number"]: t for t in history(folder) if t["state"] in done}


def differences(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> list[str]:
    """Where a history first differs from the one that nobody interrupted."""
    for mine, other in zip(found, wanted, strict=False):
        for key in mine:
            if mine[key] != other[key]:
                return [f"trial {mine['number']}: {key} {mine[key]}, uninterrupted {other[key]}"]
    return [] if len(found) == len(wanted) else [f"{len(found)} trials, not {len(wanted)}"]


def ledger(folder: Path) -> Iterator[tuple[str, int, int, int, int]]:
    """What the objective did: (run or saved, trial, step, attempt, process)."""
    file = folder / kills_search.LEDGER
    for line in file.read_text().splitlines() if file.exists() else ():
        what, number, step, attempt, process = json.loads(line)
        yield what, number, step, attempt, process


def check_ledger(folder: Path, kills: int, result: Result) -> None:
    """Steps done again, and trials that did not go on where they were."""
    saved: dict[int, int] = {}
    runs: dict[tuple[int, int], int] = {}
    for what, number, step, _, _ in ledger(folder):
        if what == "saved":
            saved[number] = step
            continue
        runs[number, step] = runs.get((number, step), 0) + 1
        last = saved.get(number, 0)
        # Killed between the rename and this note, a step is saved without a note.
        if step not in (last + 1, last + 2):
            result.violations.append(f"trial {number} ran step {step} after step {last} was saved")
    again = sum(count - 1 for count in runs.values())
    result.redone += again
    if again > kills * 2:
        result.violations.append(f"{again} steps were run again after {kills} kills")


def check_end(folder: Path, trials: int, result: Result) -> None:
    """States and values of a search that has come to its end."""
    found = history(folder)
    result.trials += len(found)
    if len(found) != trials:
        result.violations.append(f"{len(found)} trials instead of {trials}")
    for trial in found:
        number, state = trial["number"], trial["state"]
        if state not in ("COMPLETE", "PRUNED"):
            result.violations.append(f"trial {number} is {state} at the end")
        params, seed = trial["attrs"]["params"], trial["attrs"]["seed"]
        for step, value in trial["steps"].items():
            if value != kills_search.value_of(params, seed, step):
                result.violations.append(f"trial {number}: a wrong value at step {step}")
        if state == "COMPLETE" and len(trial["steps"]) != kills_search.STEPS:
            result.violations.append(f"trial {number}: reports of some steps are missing")


def check_kept(before: dict[int, Any], folder: Path, result: Result) -> dict[int, Any]:
    """Whether what had ended before is there still, as it was; what has ended by now."""
    now = finished(folder)
    for number, trial in before.items():
        if now.get(number) != trial:
            result.violations.append(f"trial {number} had ended and is not what it was")
    return now
