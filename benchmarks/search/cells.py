"""Finished cells on disk: one run of one sampler on one problem with one seed is one line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from search.files import write_text

Key = tuple[str, int]
"""(problem, seed)."""
BUDGETS = (25, 50, 100, 200)
"""Numbers of trials after which a run is judged."""
Improvements = tuple[tuple[int, float, float], ...]
"""(trial, observed, true) of each trial whose observed score was above all earlier ones."""


@dataclass(frozen=True)
class Cell:
    """One run.

    Args:
        sampler: its name.
        version: what `Entry.version` said.
        slow: whether the sampler counts as slow.
        problem: its name.
        definition: names the problem's definition, see `running.definition`.
        seed: of the sampler and of the evaluations' noise.
        trials: that were asked.
        best: ``(trial, observed, true)`` of each trial whose observed score is above all
            earlier ones. The configuration chosen at any budget is the last of them within
            it, so that this is all that judges a run and the files stay small. Where trials
            are promoted, ``trial`` is the latest that was asked for by then.
        seconds: in ask and tell, summed over the first 25, 50, 100 and 200 trials, as far
            as there were so many.
        ask_tell: median and 95th percentile of the seconds in ask and tell a trial.
        recommended: in a situation, true score of the trial that the product recommends after
            each of `BUDGETS`, as far as there were so many.
        rule: names the code of that recommendation.
    """

    sampler: str
    version: str
    slow: bool
    problem: str
    definition: str
    seed: int
    trials: int
    best: Improvements
    seconds: tuple[float, ...]
    ask_tell: tuple[float, float]
    recommended: tuple[float, ...] = ()
    rule: str = ""

    @property
    def key(self) -> Key:
        """(problem, seed)."""
        return self.problem, self.seed

    def line(self) -> str:
        """One line of JSON."""
        left_out = () if self.rule else ("recommended", "rule")
        found = {name: value for name, value in asdict(self).items() if name not in left_out}
        return json.dumps(found, separators=(",", ":")) + "\n"


class Course(NamedTuple):
    """How a run went: the parts of a `Cell` that are its result.

    Args:
        best: as in `Cell`.
        spent: seconds in ask and tell, by trial.
        recommended, rule: as in `Cell`.
    """

    best: Improvements
    spent: list[float]
    recommended: tuple[float, ...] = ()
    rule: str = ""


def improvements(scores: Iterable[tuple[int, float, float]]) -> Improvements:
    """Those of ``scores``, (trial, observed, true) each, that are observed above all before."""
    found: list[tuple[int, float, float]] = []
    for trial, seen, real in scores:
        if not found or seen > found[-1][1]:
            found.append((trial, seen, real))
    # Rounded last, so that rounding makes no ties.
    return tuple((trial, _short(seen), _short(real)) for trial, seen, real in found)


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def path_of(folder: Path, sampler: str) -> Path:
    """The file of a sampler's cells."""
    return folder / f"{sampler.replace(':', '@')}.jsonl"


def read(path: Path) -> dict[Key, Cell]:
    """The last cell of each (problem, seed). A last line that was cut off counts as none."""
    found: dict[Key, Cell] = {}
    for line in _whole_lines(path):
        raw = json.loads(line)
        raw["best"] = tuple((int(t), float(o), float(r)) for t, o, r in raw["best"])
        for name in ("seconds", "ask_tell", "recommended"):
            raw[name] = tuple(raw.get(name, ()))
        cell = Cell(**raw)
        found[cell.key] = cell
    return found


def read_all(folder: Path) -> dict[str, dict[Key, Cell]]:
    """The cells of every sampler in a folder, by its name."""
    found = [read(path) for path in sorted(folder.glob("*.jsonl"))]
    return {next(iter(cells.values())).sampler: cells for cells in found if cells}


def append(path: Path, cell: Cell) -> None:
    """Add a cell; it is on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(cell.line().encode())
        file.flush()
        os.fsync(file.fileno())


def tidy(path: Path) -> None:
    """Leave only the last cell of each (problem, seed), in order, and no torn line."""
    if not path.exists():
        return
    cells = sorted(read(path).values(), key=lambda cell: (cell.seed, cell.problem))
    write_text(path, "".join(cell.line() for cell in cells))


def _whole_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()
