"""Best so far, by trial, by generation and by time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from cxrsearch.show.clock import SearchClock, unit_of
from cxrsearch.show.rows import STATES, Interval, Row
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import BEST_COLOUR, STYLES, counted, faded, figure, hover
from cxrsearch.show.view import StudyView

AXES = ("trial", "generation", "time")


class Dot(NamedTuple):
    """A trial at ``x``; ``row.value`` is None where it never had a value."""

    x: float
    row: Row


class Best(NamedTuple):
    """From ``x`` on, ``trial`` was the best complete trial."""

    x: float
    value: float
    interval: Interval | None
    trial: int


class BestSoFar(NamedTuple):
    """Numbers of one best-so-far figure. ``best`` ends with a repeat at the last ``x``."""

    by: str
    unit: str
    dots: list[Dot]
    best: list[Best]


def history(rows: Sequence[Row], by: str = "trial", now: float | None = None) -> BestSoFar:
    """Best value so far over ``by`` (one of `AXES`).

    By generation the best counts from the generation's end, since its trials have no
    order; by time a trial counts from the moment it finished.
    """
    if by == "trial":
        dots, unit = [Dot(float(r.number), r) for r in rows], "trial"
    elif by == "generation":
        dots, unit = _by_generation(rows), "generation"
    else:
        dots, unit = _by_time(rows, now)
    dots.sort(key=lambda dot: (dot.x, dot.row.number))
    return BestSoFar(by, unit, dots, _best(dots, by))


def _by_generation(rows: Sequence[Row]) -> list[Dot]:
    members: dict[int, list[Row]] = {}
    for item in rows:
        members.setdefault(item.generation, []).append(item)
    return [
        Dot(generation + 0.6 * ((i + 0.5) / len(group) - 0.5), item)
        for generation, group in members.items()
        for i, item in enumerate(group)
    ]


def _by_time(rows: Sequence[Row], now: float | None) -> tuple[list[Dot], str]:
    clock = SearchClock(rows, now)
    length, unit = unit_of(clock.total)
    dots = []
    for item in rows:
        last = max((span.end for span in item.spans), default=item.start)
        moment = clock.end if item.state == "running" else (item.end or last)
        if moment is not None:
            dots.append(Dot(clock(moment) / length, item))
    return dots, unit


def _best(dots: Sequence[Dot], by: str) -> list[Best]:
    found: list[Best] = []
    for dot in dots:
        value = dot.row.value if dot.row.state == "complete" else None
        if value is not None and (not found or value > found[-1].value):
            x = float(dot.row.generation) if by == "generation" else dot.x
            found.append(Best(x, value, dot.row.interval, dot.row.number))
    if found:
        last = float(dots[-1].row.generation) if by == "generation" else dots[-1].x
        found.append(found[-1]._replace(x=max(last, found[-1].x)))
    return found


def history_figure(numbers: BestSoFar) -> go.Figure:
    """The figure of ``numbers``. Trials that never had a value lie on a line at the bottom."""
    fig = figure(420)
    valued = [dot.row.value for dot in numbers.dots if dot.row.value is not None]
    low, high = (min(valued), max(valued)) if valued else (0.0, 1.0)
    bottom = low - 0.12 * max(high - low, 0.02)
    _add_best(fig, numbers.best)
    for state in STATES:
        dots = [dot for dot in numbers.dots if dot.row.state == state]
        if dots:
            style = STYLES[state]
            fig.add_scatter(
                x=[dot.x for dot in dots],
                y=[bottom if dot.row.value is None else dot.row.value for dot in dots],
                text=[hover(dot.row) for dot in dots],
                name=state,
                mode="markers",
                cliponaxis=False,
                marker={
                    "color": style.colour,
                    "symbol": style.symbol,
                    "size": 9,
                    "line": {"width": 1.5 if style.symbol.endswith("open") else 0},
                },
                hovertemplate="%{text}<extra></extra>",
            )
    if any(dot.row.value is None for dot in numbers.dots):
        fig.add_hline(y=bottom, line={"width": 1, "dash": "dot"}, opacity=0.4)
        fig.add_annotation(
            x=1, xref="paper", xanchor="right", y=bottom, yanchor="bottom",
            text="without a value", showarrow=False, font={"size": 11},
        )  # fmt: skip
    title = f"{numbers.unit} of search" if numbers.by == "time" else numbers.unit
    whole = {} if numbers.by == "time" else counted(dot.x for dot in numbers.dots)
    fig.update_xaxes(title_text=title, rangemode="tozero", **whole)
    fig.update_yaxes(title_text="mean AUROC (validation)")
    return fig


def _add_best(fig: go.Figure, best: Sequence[Best]) -> None:
    if not best:
        return
    xs = [point.x for point in best]
    if all(point.interval for point in best):
        for bound, fill in ((0, None), (1, "tonexty")):
            fig.add_scatter(
                x=xs,
                y=[point.interval[bound] for point in best if point.interval],
                mode="lines",
                line={"shape": "hv", "width": 0},
                fill=fill,
                fillcolor=faded(BEST_COLOUR, 0.14),
                name="95% interval of the best",
                showlegend=bound == 1,
                hoverinfo="skip",
            )
    fig.add_scatter(
        x=xs,
        y=[point.value for point in best],
        text=[f"best so far: trial {point.trial}, {point.value:.4f}" for point in best],
        mode="lines",
        line={"shape": "hv", "color": BEST_COLOUR, "width": 2.5},
        name="best so far",
        hovertemplate="%{text}<extra></extra>",
    )


def sections(view: StudyView, now: float) -> list[Section]:
    """The best so far, by trial, generation and time."""
    return [Section("progress", "Progress", "Best so far", _panels(view, now))]


def _panels(view: StudyView, now: float) -> list[Panel]:
    if not view.rows:
        return [Panel("", sentence="No trial has started yet.")]
    caption = (
        "The best so far counts complete trials only. A pruned trial shows its best epoch. "
        "Every value is on the validation part, from which the best is selected."
    )
    return [
        Panel(f"by {by}", history_figure(history(view.rows, by, now)), caption=caption)
        for by in ("trial", "generation", "time")
    ]
