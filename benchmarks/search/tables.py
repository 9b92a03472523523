"""The comparison as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from .compare import best_peer


def interval(pair: tuple[float, float], digits: int = 3) -> str:
    """``0.10 to 0.20``."""
    return f"{pair[0]:.{digits}f} to {pair[1]:.{digits}f}"


def count(value: float, most: int) -> str:
    """A number of trials, ``more than 200`` where it was not reached."""
    return f"more than {most}" if value == float("inf") else f"{value:g}"


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print everything."""
    for group in ("all", "fast"):
        for budget, part in found[group].items():
            if part["cells"] and (group == "all" or part != found["all"].get(budget)):
                console.print(_standing(group, budget, part))
    for budget, rows in found["against"].items():
        if rows:
            console.print(_against(budget, rows))
            console.print(sentence(budget, rows), highlight=False)
    if found["to_random"]["samplers"]:
        console.print(_to_random(found["to_random"]))
    console.print(_costs(found["ask_tell"]))
    for name, row in found["samplers"].items():
        if row["stale"]:
            text = f"{name}: {row['stale']} of {row['cells']} cells are of other versions"
            console.print(text, style="yellow", highlight=False)


def sentence(budget: str, rows: Mapping[str, Any]) -> str:
    """What the pairwise comparison comes to, in words."""
    beaten = [name for name, row in rows.items() if row["beaten"]]
    beats = [name for name, row in rows.items() if row["beats"]]
    text = f"After {budget} trials genetic is beaten significantly by {_list(beaten)}"
    text += f" and beats {_list(beats)}."
    best = best_peer(rows)
    if best is not None:
        row = rows[best]
        text += (
            f" Its regret is {row['ratio']:.2f} ({interval(row['ratio_interval'], 2)}) of that "
            f"of the best peer, {best}."
        )
    return text


def _list(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for k, name in enumerate(columns):
        table.add_column(name, justify="right" if k else "left", no_wrap=k > 0)
    return table


def _standing(group: str, budget: str, part: Mapping[str, Any]) -> Table:
    who = {"all": "all samplers", "fast": "samplers that are fast to ask"}[group]
    table = _table(
        f"{budget} trials, {who}: {part['cells']} shared cells of {part['problems']} problems; "
        f"Friedman p {part['friedman_p']:.2g}, critical difference of the ranks over problems "
        f"{part['critical_difference']:.2f}",
        "sampler",
        "mean rank",
        "95%",
        "over problems",
        "regret",
        "95%",
    )
    for name, row in part["samplers"].items():
        table.add_row(
            name,
            f"{row['rank']:.2f}",
            interval(row["rank_interval"], 2),
            f"{part['problem_ranks'][name]:.2f}",
            f"{row['regret']:.4f}",
            interval(row["regret_interval"], 4),
        )
    return table


def _against(budget: str, rows: Mapping[str, Any]) -> Table:
    table = _table(
        f"{budget} trials, genetic against each on their shared cells",
        "sampler",
        "cells",
        "regret ratio",
        "95%",
        "win rate",
        "95%",
        "p regret",
        "p wins",
        "genetic",
    )
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["ratio"]):
        verdict = "beaten" if row["beaten"] else "better" if row["beats"] else "level"
        table.add_row(
            name,
            str(row["cells"]),
            f"{row['ratio']:.2f}",
            interval(row["ratio_interval"], 2),
            f"{row['win_rate']:.2f}",
            interval(row["win_interval"], 2),
            f"{row['p_regret']:.2g}",
            f"{row['p_win']:.2g}",
            verdict if not (row["beaten"] and row["beats"]) else "mixed",
        )
    return table


def _to_random(found: Mapping[str, Any]) -> Table:
    table = _table(
        f"Trials to reach random's result after 200, on {len(found['problems'])} problems where "
        f"random still improves (left out: {_list(found['left_out'])})",
        "sampler",
        "median",
        "of 200",
        "never",
        "runs",
    )
    for name, row in found["samplers"].items():
        known = row["median"] != float("inf")
        table.add_row(
            name,
            count(row["median"], row["trials"]),
            f"1/{1 / row['fraction']:.1f}" if known else "",
            f"{row['never']:.0%}",
            str(row["runs"]),
        )
    return table


def _costs(found: Mapping[str, Any]) -> Table:
    table = _table("Ask and tell, milliseconds a trial", "sampler", "median", "95th percentile")
    for name, row in sorted(found.items(), key=lambda item: item[1]["median"]):
        table.add_row(name, f"{row['median'] * 1e3:.2f}", f"{row['p95'] * 1e3:.2f}")
    return table
