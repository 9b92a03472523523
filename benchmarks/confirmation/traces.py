"""Searches as they went, recorded once: every way to choose from them is then a matter of seconds.

The first 80 trials of a search of 100 do not depend on what follows, so that one trace of 100
holds the searches of all shorter budgets too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.search.contenders import entry
from benchmarks.search.problem import noise

from .problems import problem

TRACES = Path(__file__).parent / "traces"
TRIALS = 100


@dataclass(frozen=True)
class Trace:
    """One search.

    Args:
        sampler: its name.
        version: of its code.
        problem: its name.
        seed: of the sampler and of the noise.
        params: of each trial.
        observed: score of each trial, as the sampler was told.
        true: what the same recipe scores on average.
    """

    sampler: str
    version: str
    problem: str
    seed: int
    params: tuple[dict[str, Any], ...]
    observed: tuple[float, ...]
    true: tuple[float, ...]


def record(sampler: str, version: str, name: str, seed: int, trials: int = TRIALS) -> Trace:
    """Run one search."""
    this, params, observed, true = problem(name), [], [], []
    contender = entry(sampler).make(this, seed, trials)
    try:
        for trial in range(trials):
            key, asked = contender.ask()
            seen, real = this.evaluate(asked, noise(name, seed, trial))
            contender.tell(key, asked, seen)
            params.append(this.active(asked))
            observed.append(seen)
            true.append(real)
    finally:
        contender.close()
    return Trace(sampler, version, name, seed, tuple(params), tuple(observed), tuple(true))


def path_of(sampler: str, folder: Path = TRACES) -> Path:
    """The file of a sampler's traces."""
    return folder / f"{sampler}.jsonl"


def append(trace: Trace, folder: Path = TRACES) -> None:
    """Add a trace; it is on the disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
    with path_of(trace.sampler, folder).open("ab") as file:
        file.write((json.dumps(asdict(trace), separators=(",", ":")) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def read(sampler: str, folder: Path = TRACES) -> dict[tuple[str, int], Trace]:
    """The last trace of each (problem, seed); a last line that was cut off counts as none."""
    path = path_of(sampler, folder)
    if not path.exists():
        return {}
    found: dict[tuple[str, int], Trace] = {}
    text = path.read_text(encoding="utf-8")
    for line in text[: text.rfind("\n") + 1].splitlines():
        raw = json.loads(line)
        for name in ("params", "observed", "true"):
            raw[name] = tuple(raw[name])
        trace = Trace(**raw)
        found[trace.problem, trace.seed] = trace
    return found


def missing(
    samplers: list[str], problems: list[str], seeds: range, folder: Path = TRACES
) -> Iterator[tuple[str, str, str, int]]:
    """(sampler, version, problem, seed) of what is not recorded, seeds outermost."""
    there = {name: read(name, folder) for name in samplers}
    versions = {name: entry(name).version() for name in samplers}
    for seed in seeds:
        for where in problems:
            for name in samplers:
                old = there[name].get((where, seed))
                if old is None or old.version != versions[name]:
                    yield name, versions[name], where, seed
