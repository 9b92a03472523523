"""What an arm of an ablation is, and the shortest of them: the baseline with some genes changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .cell import Cell, CellRun
from .plan import Plan


def _anywhere(plan: Plan) -> str | None:
    return None


@dataclass(frozen=True)
class Arm:
    """One system.

    Args:
        title: its name for people.
        sentence: what it does, in one sentence.
        train: trains a cell and returns its scores.
        missing: why it cannot be had with this plan, or None.
    """

    title: str
    sentence: str
    train: Callable[[Cell], CellRun]
    missing: Callable[[Plan], str | None] = _anywhere


def changed(**genes: Any) -> Callable[[Cell], CellRun]:
    """Trains the baseline with some genes changed, for the whole budget."""

    def train(cell: Cell) -> CellRun:
        return (yield from cell.fit("model", replace(cell.recipe, **genes)))

    return train
