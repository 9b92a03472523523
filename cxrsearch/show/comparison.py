"""The page and the figures of a comparison."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import plotly.graph_objects as go

from .clock import SearchClock, unit_of
from .compare import (
    compare_views,
    fronts_of,
    lines,
    shared_field,
    unique_names,
    volume,
)
from .notes import moment
from .page import render
from .panels.front import Front, label
from .panels.front_figures import axis, staircase
from .panels.history import Best, history
from .section import Panel, Section
from .theme import faded, figure, hover, text
from .view import StudyView, read_view


def compare_page(folders: Sequence[Path], out: Path) -> Path:
    """Write the comparison of ``folders`` as one HTML page that works offline.

    Raises:
        search.errors.StudyError: where one of them is no study.
    """
    from .comparison import comparison_html
    from .page import write_page

    views = [read_view(Path(folder), curves=False) for folder in folders]
    return write_page(out, comparison_html(views, time.time()))


STUDY_COLOURS = (
    "#3a86c8",
    "#d9730d",
    "#2a9d7f",
    "#9a7fc4",
    "#d1495b",
    "#b59b2c",
    "#5fa8b8",
    "#a5668b",
)
DASHES = ("solid", "dash", "dot", "dashdot")


class Race(NamedTuple):
    """Best so far of every study on one axis, in one unit."""

    unit: str
    lines: list[tuple[str, list[Best]]]


def race(views: Sequence[StudyView], by: str, now: float) -> Race:
    """Best so far of ``views`` by ``trial`` or by ``time`` (in the longest study's unit)."""
    names = unique_names(views)
    if by == "trial":
        return Race("trial", [(n, history(v.rows).best) for n, v in zip(names, views, strict=True)])
    totals = [SearchClock(view.rows, now).total for view in views]
    length, unit = unit_of(max(totals, default=0.0))
    found = []
    for name, view, total in zip(names, views, totals, strict=True):
        own = unit_of(total)[0]
        best = history(view.rows, "time", now).best
        found.append((name, [point._replace(x=point.x * own / length) for point in best]))
    return Race(f"{unit} of search", found)


def race_figure(numbers: Race) -> go.Figure:
    """A step line a study, with the interval of its last best at its end."""
    fig = figure(440)
    for index, (name, best) in enumerate(numbers.lines):
        if not best:
            continue
        colour, dash = STUDY_COLOURS[index % 8], DASHES[index // 8 % 4]
        bars = [
            (0.0, 0.0) if p.interval is None or i < len(best) - 1
            else (p.interval[1] - p.value, p.value - p.interval[0])
            for i, p in enumerate(best)
        ]  # fmt: skip
        fig.add_scatter(
            x=[point.x for point in best],
            y=[point.value for point in best],
            name=text(name),
            mode="lines+markers",
            line={"shape": "hv", "color": colour, "width": 2.5, "dash": dash},
            marker={"size": 6, "color": colour},
            error_y={
                "type": "data", "symmetric": False, "array": [up for up, _ in bars],
                "arrayminus": [down for _, down in bars], "color": faded(colour, 0.6), "width": 4,
            },
            text=[f"{text(name)}<br>trial {p.trial}: {p.value:.4f}" for p in best],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    fig.update_xaxes(title_text=numbers.unit, rangemode="tozero")
    fig.update_yaxes(title_text="best mean AUROC so far (validation)")
    return fig


def comparison_html(views: Sequence[StudyView], now: float) -> str:
    """The page's text. ``now``: seconds since 1970."""
    found = compare_views(views)
    races = {by: race(views, by, now) for by in ("trial", "time")}
    return render(
        "compare.html",
        title=" and ".join(unique_names(views)) if len(views) < 3 else f"{len(views)} studies",
        warnings=found.warnings,
        names=[row.name for row in found.rows],
        lines=lines(found),
        sections=[
            Section("progress", "Progress", "Best so far", _panels(races)),
            *_fronts(views),
        ],
        written=moment(now),
    )


def _fronts(views: Sequence[StudyView]) -> list[Section]:
    """The studies' Pareto fronts in one figure, where they have the same several objectives."""
    shared = shared_field(views)
    if shared is None:
        return []
    names, found = unique_names(views), fronts_of(views)
    measured = [f"{text(n)} {volume(f, shared):.3f}" for n, f in zip(names, found, strict=True)]
    caption = (
        f"Hypervolume: {', '.join(measured)}: the share that a study dominates of the box between "
        "the worst and the best value of each objective over all studies."
    )
    panels = [
        Panel(label(across), fronts_figure(list(zip(names, found, strict=True)), across),
              caption=caption)
        for across in list(views[0].goals)[1:]
    ]  # fmt: skip
    return [Section("front", "Front", "Pareto fronts", panels)]


def fronts_figure(found: Sequence[tuple[str, Front]], across: str) -> go.Figure:
    """Each study's front: its first objective over the objective ``across``."""
    fig = figure(460)
    first = next(iter(found[0][1].goals))
    for index, (name, numbers) in enumerate(found):
        colour, dash = STUDY_COLOURS[index % 8], DASHES[index // 8 % 4]
        steps = staircase(numbers, across)
        line = {"shape": "hv", "color": colour, "width": 2, "dash": dash}
        fig.add_scatter(
            x=[r.objectives[across] for r in steps],
            y=[r.objectives[first] for r in steps],
            text=[f"{text(name)}<br>{hover(r)}" for r in steps],
            name=text(name),
            mode="lines+markers" if len(numbers.goals) == 2 else "markers",
            line=line,
            marker={"size": 9, "color": colour},
            hovertemplate="%{text}<extra></extra>",
        )
    fig.update_xaxes(**axis(across))
    fig.update_yaxes(**axis(first))
    return fig


def _panels(races: Mapping[str, Race]) -> list[Panel]:
    if not any(best for _, best in races["trial"].lines):
        return [Panel("", sentence="No study has a complete trial yet.")]
    caption = (
        "The bar at the end of a line is the 95% interval of that study's best. Each best is "
        "selected on validation; what is corrected, confirmed or on the test part is free of that."
    )
    return [Panel(f"by {by}", race_figure(r), caption=caption) for by, r in races.items()]
