"""What each piece of the genetic sampler is worth: the sampler without it, against itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from search.files import write_json

from . import compare, stats
from .cells import BUDGETS
from .compare import OURS
from .pieces import piece_of


def variant(piece: str) -> str:
    """The name of the contender that lacks ``piece``."""
    return f"{OURS}:without={piece}"


def report(cells: compare.Cells, names: Sequence[str], target: Path, console: Console) -> None:
    """Print a table and write it as JSON.

    Args:
        cells: of the sampler and of its variants.
        names: the pieces.
        target: the file to write.
        console: where the table goes.
    """
    rows = [row(cells, name) for name in names]
    budgets = sorted({int(budget) for each in rows for budget in each["budgets"]})
    table = Table(title="Regret without a piece, in units of the regret with it")
    for head in ("without", "in its place", "cells", *(f"{b} trials" for b in budgets), "wins"):
        table.add_column(head)
    for each in rows:
        found = [each["budgets"].get(str(budget)) for budget in budgets]
        ratios = [
            "" if f is None else "{:.2f} ({:.2f} to {:.2f})".format(*f["ratio"]) for f in found
        ]
        wins = f"{found[-1]['wins']:.0%}" if found and found[-1] else ""
        table.add_row(each["piece"], each["instead"], str(each["cells"]), *ratios, wins)
    console.print(table)
    console.print("wins: of the sampler with the piece, at the last budget; ties count half")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, {"pieces": rows})
    console.print(f"Written: {target}", highlight=False, soft_wrap=True)


def row(cells: compare.Cells, name: str) -> dict[str, Any]:
    """A piece's figures on the cells that both variants ran.

    Returns:
        ``budgets`` by number of trials: ``ratio``, the mean regret without the piece divided by
        that with it, and its interval; ``wins``, the share of cells in which the sampler with
        the piece is better.
    """
    budgets, count = {}, 0
    for budget in BUDGETS:
        pair = compare.shared(cells, [OURS, variant(name)], budget)
        if len(pair.samplers) < 2 or not pair.keys:
            continue
        ours, theirs = pair.regret.T
        won = stats.win_rates(pair.true[:, 0], pair.true[:, 1])
        count = max(count, len(pair.keys))
        budgets[str(budget)] = {
            "ratio": stats.ratio(theirs, ours, pair.problems, stats.bootstrap(pair.problems)),
            "wins": float(stats.weights(pair.problems) @ won),
        }
    return {"piece": name, "instead": piece_of(name).instead, "cells": count, "budgets": budgets}
