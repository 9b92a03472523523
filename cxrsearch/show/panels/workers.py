"""What ran when on which worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from cxrsearch.show.clock import SearchClock, duration, unit_of
from cxrsearch.show.rows import STATES, Row
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import STYLES, figure, hover, text
from cxrsearch.show.view import StudyView

UNKNOWN = "now: trial "
"""Start of the row of a trial that runs, whose worker is known only once it ends."""


class Bar(NamedTuple):
    """A trial on a worker from ``start`` for ``length``, both in the schedule's unit."""

    worker: str
    row: Row
    start: float
    length: float
    seconds: float


class Schedule(NamedTuple):
    """Bars by worker; ``busy`` is the share of the search's time that a worker worked."""

    unit: str
    workers: list[str]
    bars: list[Bar]
    busy: dict[str, float]
    paused: float


def schedule(rows: Sequence[Row], now: float | None = None) -> Schedule:
    """The schedule from the trials' spans. A running trial without one runs since its start."""
    now = time.time() if now is None else now
    clock = SearchClock(rows, now)
    length, unit = unit_of(clock.total)
    bars = []
    for item in rows:
        spans = [(s.worker, s.start, s.end) for s in item.spans]
        if item.state == "running" and item.start is not None:
            since = max([item.start, *(s.end for s in item.spans)])
            spans.append((f"{UNKNOWN}{item.number}", since, max(since, now)))
        for worker, start, end in spans:
            begin = clock(start)
            bars.append(
                Bar(worker, item, begin / length, (clock(end) - begin) / length, end - start)
            )
    workers = sorted(
        {bar.worker for bar in bars}, key=lambda w: (w.startswith(UNKNOWN), _natural(w))
    )
    total = clock.total / length or 1.0
    busy = {
        worker: min(1.0, sum(b.length for b in bars if b.worker == worker) / total)
        for worker in workers
        if not worker.startswith(UNKNOWN)
    }
    return Schedule(unit, workers, bars, busy, clock.paused)


def _natural(name: str) -> tuple[str, int, str]:
    """``worker 10`` after ``worker 9``."""
    head = name.rstrip("0123456789")
    tail = name[len(head) :]
    return head, int(tail) if tail else -1, name


def schedule_figure(numbers: Schedule) -> go.Figure:
    """One row a worker, one bar a trial, coloured by state."""
    fig = figure(110 + 40 * len(numbers.workers), barmode="overlay", bargap=0.3)
    for state in STATES:
        bars = [bar for bar in numbers.bars if bar.row.state == state]
        if not bars:
            continue
        fig.add_bar(
            orientation="h",
            name=state,
            y=[text(bar.worker) for bar in bars],
            base=[bar.start for bar in bars],
            x=[bar.length for bar in bars],
            text=[str(bar.row.number) for bar in bars],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": "#ffffff"},
            marker={"color": STYLES[state].colour, "line": {"width": 0.5, "color": "#ffffff55"}},
            hovertext=[f"{hover(bar.row, 6)}<br>here {duration(bar.seconds)}" for bar in bars],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    fig.update_layout(
        uniformtext={"mode": "hide", "minsize": 9},
        margin={"l": 20, "r": 20, "t": 40, "b": 48},
        legend={"y": 1.0},
    )
    fig.update_xaxes(title_text=f"{numbers.unit} of search", rangemode="tozero")
    fig.update_yaxes(
        type="category", automargin=True, showgrid=False,
        categoryorder="array", categoryarray=[text(w) for w in numbers.workers[::-1]],
    )  # fmt: skip
    return fig


def sections(view: StudyView, now: float) -> list[Section]:
    """What ran when, and where."""
    return [Section("workers", "Workers", "What ran when, and where", [_panel(view, now)])]


def _panel(view: StudyView, now: float) -> Panel:
    numbers = schedule(view.rows, now)
    if not numbers.bars:
        return Panel("", sentence="Nothing has run on a worker yet.")
    busy = ", ".join(f"{name} {share:.0%}" for name, share in numbers.busy.items())
    pauses = f" Pauses of {duration(numbers.paused)} are left out." if numbers.paused else ""
    return Panel("", schedule_figure(numbers), caption=f"Busy: {busy or 'not known yet'}.{pauses}")
