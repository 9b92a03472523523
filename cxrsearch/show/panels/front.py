"""Several objectives: the Pareto front, and how much of the field it dominates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cxrsearch.objectives import MEASURES
from cxrsearch.show.rows import Row
from search.trials.pareto import fronts, hypervolume


class Front(NamedTuple):
    """The complete trials of a study of several objectives, and who is on the front.

    Args:
        goals: the objectives, name -> ``maximize`` or ``minimize``, the first one first.
        on: trials that none dominates, the best in the first objective first.
        off: the other complete trials, by number.
    """

    goals: Mapping[str, str]
    on: list[Row]
    off: list[Row]


def front(rows: Sequence[Row], goals: Mapping[str, str]) -> Front:
    """The front of ``rows``; empty where there is a single objective or no complete trial."""
    complete = [r for r in rows if r.worth]
    if len(goals) < 2 or not complete:
        return Front(goals, [], [])
    first = fronts([r.worth for r in complete], ["maximize"] * len(goals))[0]
    numbers = {complete[i].number for i in first}
    on = [r for r in complete if r.number in numbers]
    on.sort(key=lambda r: ([-w for w in r.worth], r.number))
    off = [r for r in complete if r.number not in numbers]
    return Front(goals, on, off)


Field = list[tuple[float, float]]


def field(rows: Sequence[Row], goals: Mapping[str, str]) -> Field:
    """(worst, best) of each objective over the complete ``rows``, as `_scaled` has them."""
    columns = zip(*(_scaled(r, goals) for r in rows), strict=True)
    return [(min(column), max(column)) for column in columns]


def _scaled(row: Row, goals: Mapping[str, str]) -> list[float]:
    """More is better; logarithms of what spans orders of magnitude."""
    found = []
    for (name, value), direction in zip(row.objectives.items(), goals.values(), strict=True):
        ratio = name in MEASURES and MEASURES[name].log and value > 0
        scaled = math.log(value) if ratio else value
        found.append(scaled if direction == "maximize" else -scaled)
    return found


def volumes(rows: Sequence[Row], goals: Mapping[str, str], ends: Field) -> list[tuple[int, float]]:
    """The share of the field that is dominated after each complete trial, in order.

    The field is the box between the worst and the best value of each objective, ``ends``: 1
    would be a trial that is the best in everything.
    """
    seen: list[list[float]] = []
    found = []
    up = ["maximize"] * len(goals)
    for row in sorted((r for r in rows if r.worth), key=lambda r: r.number):
        unit = [
            (value - low) / (high - low) if high > low else 1.0
            for value, (low, high) in zip(_scaled(row, goals), ends, strict=True)
        ]
        seen = [p for p in seen if any(a > b for a, b in zip(p, unit, strict=True))] + [unit]
        found.append((row.number, hypervolume(seen, up, [0.0] * len(goals))))
    return found


def label(name: str) -> str:
    """An objective's name on an axis."""
    return MEASURES[name].label if name in MEASURES else name


def value_text(name: str, value: float) -> str:
    """An objective's value as people write it."""
    if name == "auroc":
        return f"{value:.4f}"
    return f"{value:,.0f}" if name == "parameters" else f"{value:.3g}"
