"""The comparison as Plotly figures and one self-contained page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from cxrsearch.show.comparison import DASHES, STUDY_COLOURS
from cxrsearch.show.page import render
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import BEST_COLOUR, QUIET, figure, text

from . import tables
from .compare import OURS

PEERS = tuple(colour for colour in STUDY_COLOURS if colour != BEST_COLOUR)


def course(found: Mapping[str, Any], group: str, what: str) -> go.Figure:
    """``what``, rank or regret, of each sampler of a group over the budgets.

    The interval of ours is drawn, those of the others are in the hover texts.
    """
    fig = figure(480, hovermode="closest")
    budgets = [b for b, part in found[group].items() if part["cells"]]
    names = list(dict.fromkeys(n for b in budgets for n in found[group][b]["samplers"]))
    # Ours in the best colour and on top of the others.
    names.sort(key=lambda name: name == OURS)
    for k, name in enumerate(names):
        rows = [(b, found[group][b]["samplers"].get(name)) for b in budgets]
        points = [(b, row[what], *row[f"{what}_interval"]) for b, row in rows if row]
        fig.add_scatter(
            x=[b for b, *_ in points],
            y=[value for _, value, *_ in points],
            error_y={
                "visible": name == OURS,
                "type": "data",
                "symmetric": False,
                "array": [high - value for _, value, _, high in points],
                "arrayminus": [value - low for _, value, low, _ in points],
                "thickness": 1,
                "width": 3,
            },
            name=text(name),
            mode="lines+markers",
            line={
                "color": BEST_COLOUR if name == OURS else PEERS[k % len(PEERS)],
                "width": 3.5 if name == OURS else 1.6,
                "dash": DASHES[k // len(PEERS) % len(DASHES)] if name != OURS else "solid",
            },
            customdata=[tables.interval(ends, 4) for _, _, *ends in points],
            hovertemplate=f"{text(name)}<br>%{{x}} trials: %{{y:.4f}} (%{{customdata}})"
            "<extra></extra>",
        )
    fig.update_xaxes(title="trials", type="category")
    fig.update_yaxes(title={"rank": "mean rank", "regret": "mean regret"}[what])
    if what == "regret":
        fig.update_yaxes(type="log")
    return fig


def forest(rows: Mapping[str, Any]) -> go.Figure:
    """Ratio of our regret to each other's, with intervals; left of 1 ours is smaller."""
    known = {n: row for n, row in rows.items() if math.isfinite(row["ratio"])}
    ordered = sorted(known.items(), key=lambda item: item[1]["ratio"])
    fig = figure(120 + 26 * len(ordered), showlegend=False)
    fig.add_scatter(
        x=[row["ratio"] for _, row in ordered],
        y=[text(name) for name, _ in ordered],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [row["ratio_interval"][1] - row["ratio"] for _, row in ordered],
            "arrayminus": [row["ratio"] - row["ratio_interval"][0] for _, row in ordered],
            "thickness": 1.5,
        },
        mode="markers",
        marker={"size": 9, "color": BEST_COLOUR},
        hovertemplate="%{y}: %{x:.2f}<extra></extra>",
    )
    fig.add_vline(x=1, line={"color": QUIET, "width": 1, "dash": "dot"})
    fig.update_xaxes(title="regret of genetic / regret of the other", type="log")
    fig.update_yaxes(type="category")
    return fig


def heat(found: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Mean regret by problem and sampler."""
    samplers = list(next(iter(found.values())))
    values = [[row[name] for name in samplers] for row in found.values()]
    fig = figure(240 + 24 * len(found), showlegend=False)
    fig.add_heatmap(
        x=[text(_short(name)) for name in samplers],
        y=list(found),
        z=[_scaled(row) for row in values],
        customdata=values,
        colorscale=[[0, "#2a9d7f"], [0.5, "#e8e2c8"], [1, "#d1495b"]],
        showscale=False,
        xgap=1,
        ygap=1,
        hovertemplate="%{y}, %{x}: %{customdata:.4f}<extra></extra>",
    )
    fig.update_xaxes(type="category", tickangle=-90)
    fig.update_yaxes(type="category")
    return fig


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _scaled(row: list[float]) -> list[float]:
    """From 0 for the lowest regret of a problem to 1 for its highest."""
    low, high = min(row), max(row)
    return [(value - low) / (high - low) if high > low else 0.5 for value in row]


def html(found: Mapping[str, Any], title: str) -> str:
    """The page. ``found`` is what `compare.compare` returned."""
    standing, versus, problems = [], [], []
    for group, who in tables.GROUPS.items():
        if found[group] != found["all"] or group == "all":
            for what in ("rank", "regret"):
                standing.append(Panel(f"{what}, {who}", course(found, group, what)))
    for budget, rows in found["against"].items():
        if rows:
            said = tables.sentence(budget, rows)
            versus.append(Panel(f"{budget} trials", forest(rows), caption=said))
    for budget, part in found["problems"].items():
        if part:
            problems.append(Panel(f"{budget} trials", heat(part)))
    reach = found["to_random"]
    sections = [
        (
            Section("standing", "Standing", "Ranks and regret", standing, STANDING),
            list(tables.standings(found)),
        ),
        (
            Section("pairs", "Pairs", "Genetic against each", versus, PAIRS),
            [tables.pairs(budget, rows) for budget, rows in found["against"].items() if rows],
        ),
        (
            Section("groups", "Kinds", "By kind of problem", (), KINDS),
            [tables.groups(budget, rows) for budget, rows in found["groups"].items() if rows],
        ),
        (
            Section("choices", "Choice", "Recommended beside observed", (), CHOICES),
            [tables.choices(budget, rows) for budget, rows in found["choices"].items() if rows],
        ),
        (Section("problems", "Problems", "Problem by problem", problems, PROBLEMS), []),
        (
            Section("random", "Random", "Trials to reach random's result after 200", (), RANDOM),
            [tables.to_random(reach)] if reach["samplers"] else [],
        ),
        (Section("cost", "Cost", "Ask and tell"), [tables.costs(found["ask_tell"])]),
        (Section("ran", "What ran", "What ran"), [tables.samplers(found["samplers"])]),
    ]
    sections = [(part, grids) for part, grids in sections if part.panels or grids]
    return render(
        "report.html",
        Path(__file__).parent,
        title=title,
        sections=[section for section, _ in sections],
        grids={section.anchor: grids for section, grids in sections},
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


STANDING = (
    "The configuration with the highest observed score is chosen; its true score is ranked among "
    "the samplers within each cell (problem, seed), and measured as regret: 0 is the best score "
    "there is, 1 that of a typical random configuration. Means give each problem the same weight; "
    "95% intervals are from a bootstrap over problems and seeds."
)
PAIRS = (
    "On the cells that both ran. p regret: Wilcoxon's signed-rank test over the problems' mean "
    "regrets; p wins: bootstrap of the share of cells won; both after Holm's correction."
)
PROBLEMS = "Mean regret, coloured within each problem from the lowest (green) to the highest (red)."
KINDS = (
    "Regret of genetic over that of each other on the cells that both ran, with 95% intervals: "
    "below 1 it is genetic's that is smaller."
)
CHOICES = (
    "The regret of the trial that the product recommends, by what is expected of it, and that of "
    "the trial with the best observed score, on the same cells."
)
RANDOM = (
    "The target of a problem is the mean true score that random search's choice has after 200 "
    "trials. A run reaches it at the first budget at which its own choice is as good; runs that "
    "never do count as more than their number of trials."
)
