"""The comparison as tables and sentences, for the terminal and for the page alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from .compare import best_peer

GROUPS = {"all": "all samplers", "fast": "the samplers that are fast to ask"}


class Grid(NamedTuple):
    """A table: what it shows, and its rows of texts; the first column names, the rest count."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def interval(pair: Sequence[float], digits: int) -> str:
    """``0.10 to 0.20``."""
    return f"{pair[0]:.{digits}f} to {pair[1]:.{digits}f}"


def standings(found: Mapping[str, Any]) -> Iterator[Grid]:
    """Rank and regret at each budget, of each group that differs."""
    for budget in found["all"]:
        for group, who in GROUPS.items():
            part = found[group][budget]
            if part["cells"] and (group == "all" or part != found["all"][budget]):
                yield _standing(f"{budget} trials, {who}", part)


def _standing(what: str, part: Mapping[str, Any]) -> Grid:
    title = (
        f"{what}: {part['cells']} shared cells of {part['problems']} problems. Ranks over "
        f"problems: Friedman p {part['friedman_p']:.2g}, critical difference "
        f"{part['critical_difference']:.2f}"
    )
    rows = [
        [
            name,
            f"{row['rank']:.2f}",
            interval(row["rank_interval"], 2),
            f"{part['problem_ranks'][name]:.2f}",
            f"{row['regret']:.4f}",
            interval(row["regret_interval"], 4),
        ]
        for name, row in part["samplers"].items()
    ]
    return Grid(title, ("sampler", "mean rank", "95%", "over problems", "regret", "95%"), rows)


PAIRS = (
    "sampler", "cells", "regret ratio", "95%", "win rate", "95%", "p regret", "p wins", "genetic",
)  # fmt: skip


def pairs(budget: str, rows: Mapping[str, Any]) -> Grid:
    """Our sampler against each other one, the strongest first."""
    found = [
        [
            name,
            str(row["cells"]),
            f"{row['ratio']:.2f}",
            interval(row["ratio_interval"], 2),
            f"{row['win_rate']:.2f}",
            interval(row["win_interval"], 2),
            f"{row['p_regret']:.2g}",
            f"{row['p_win']:.2g}",
            _verdict(row),
        ]
        for name, row in sorted(rows.items(), key=lambda item: -item[1]["ratio"])
    ]
    return Grid(f"{budget} trials, genetic against each on their shared cells", PAIRS, found)


def _verdict(row: Mapping[str, Any]) -> str:
    if row["beaten"] and row["beats"]:
        return "both"
    return "beaten" if row["beaten"] else "better" if row["beats"] else "level"


def groups(budget: str, rows: Mapping[str, Mapping[str, Any]]) -> Grid:
    """Our regret over each other's, by group of problems, a column a sampler."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    found = [[group, *(over(row.get(name, {})) for name in names)] for group, row in rows.items()]
    title = f"{budget} trials, regret of genetic over that of each other, by kind of problem"
    return Grid(title, ("problems", *names), found)


def choices(budget: str, rows: Mapping[str, Any]) -> Grid:
    """The product's recommendation beside the choice by observed score."""
    found = [
        [
            name,
            str(row["over"]["cells"]),
            f"{row['observed']:.4f}",
            f"{row['recommended']:.4f}",
            over(row["over"]),
            over(row["ours"]),
        ]
        for name, row in rows.items()
    ]
    return Grid(
        f"{budget} trials, regret of the trial that is recommended beside the best one observed",
        ("sampler", "cells", "observed", "recommended", "recommended / observed",
         "genetic / sampler, both recommended"),
        found,
    )  # fmt: skip


def over(row: Mapping[str, Any]) -> str:
    """A ratio with its interval."""
    return f"{row['ratio']:.2f} ({interval(row['ratio_interval'], 2)})" if row else ""


def sentence(budget: str, rows: Mapping[str, Any]) -> str:
    """What the pairwise comparison comes to, in words."""
    beaten = [name for name, row in rows.items() if row["beaten"]]
    beats = [name for name, row in rows.items() if row["beats"]]
    text = f"After {budget} trials genetic is beaten significantly by {listed(beaten)}"
    text += f" and beats {listed(beats)}."
    best = best_peer(rows)
    if best is not None:
        row = rows[best]
        text += (
            f" Its regret is {row['ratio']:.2f} ({interval(row['ratio_interval'], 2)}) of that "
            f"of the best peer, {best}."
        )
    return text


def listed(names: Sequence[str]) -> str:
    """The names with commas; ``none``."""
    return ", ".join(names) or "none"


def to_random(found: Mapping[str, Any]) -> Grid:
    """Trials until random's result is reached."""
    title = (
        "Trials to reach what random reaches after 200, median over runs, on "
        f"{len(found['problems'])} problems where random still improves "
        f"(left out: {listed(found['left_out'])})"
    )
    rows = []
    for name, row in found["samplers"].items():
        known = math.isfinite(row["median"])
        rows.append([
            name,
            f"{row['median']:g}" if known else f"more than {row['trials']}",
            f"1/{1 / row['fraction']:.1f}" if known else "",
            f"{row['never']:.0%}",
            str(row["runs"]),
        ])  # fmt: skip
    return Grid(title, ("sampler", "trials", "of 200", "never", "runs"), rows)


def costs(found: Mapping[str, Any]) -> Grid:
    """Ask and tell."""
    rows = [
        [name, f"{row['median'] * 1e3:.2f}", f"{row['p95'] * 1e3:.2f}"]
        for name, row in sorted(found.items(), key=lambda item: item[1]["median"])
    ]
    return Grid(
        "Ask and tell, milliseconds a trial", ("sampler", "median", "95th percentile"), rows
    )


def by_problem(budget: str, found: Mapping[str, Mapping[str, float]]) -> Grid:
    """Mean regret of each problem, a column a sampler."""
    names = list(next(iter(found.values()), {}))
    rows = [[name, *(f"{row[n]:.4f}" for n in names)] for name, row in found.items()]
    return Grid(f"{budget} trials, mean regret by problem", ("problem", *names), rows)


def samplers(found: Mapping[str, Any]) -> Grid:
    """What ran."""
    rows = [
        [
            name,
            str(row["cells"]),
            str(row["trials"]),
            "yes" if row["slow"] else "",
            str(row["stale"] or ""),
            "; ".join(row["versions"]),
        ]
        for name, row in found.items()
    ]
    return Grid("What ran", ("sampler", "cells", "trials", "slow", "stale cells", "version"), rows)


def show(found: Mapping[str, Any], console: Console, problems: bool) -> None:
    """Print everything; mean regrets by problem only if ``problems``."""
    console.print(rich(samplers(found["samplers"])))
    for grid in standings(found):
        console.print(rich(grid))
    for budget, part in found["problems"].items():
        if problems and part:
            console.print(rich(by_problem(budget, part)))
    if found["to_random"]["samplers"]:
        console.print(rich(to_random(found["to_random"])))
    console.print(rich(costs(found["ask_tell"])))
    for budget, rows in found["against"].items():
        if rows:
            console.print(rich(pairs(budget, rows)))
            console.print(sentence(budget, rows), highlight=False)
    for make in (groups, choices):
        for budget, rows in found[make.__name__].items():
            if rows:
                console.print(rich(make(budget, rows)))


def rich(grid: Grid) -> Table:
    """A grid for the terminal."""
    table = Table(title=grid.title, title_justify="left")
    for k, name in enumerate(grid.columns):
        table.add_column(name, justify="right" if k else "left", no_wrap=k > 0)
    for row in grid.rows:
        table.add_row(*row)
    return table
