"""Parallel coordinates over genes, with inactive genes on a tick of their own.

Drawn as plain lines rather than with Plotly's own parallel coordinates: those need
WebGL, have no hover text, and drop a trial that lacks a gene.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from cxrsearch.show.rows import Row
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import BEST_COLOUR, QUIET, blend, faded, figure, hover, show, text
from cxrsearch.show.view import StudyView

from .curves import chosen
from .importance import importance, importance_panel

GENES_A_PANEL = 12
"""Genes side by side; more come in further panels."""
INACTIVE = -0.14
"""Height at which an inactive gene lies, below the axis' lower end at 0."""


class Axis(NamedTuple):
    """One upright axis: its name, its ticks (height in [0, 1], label), and its kind."""

    name: str
    kind: str
    ticks: list[tuple[float, str]]
    inactive: bool


class Line(NamedTuple):
    """One trial: its height on every axis, and its share of the trials that were better."""

    row: Row
    heights: list[float]
    behind: float


class Parallel(NamedTuple):
    """Numbers of one panel; the last axis is the value. ``hidden``: trials without a value."""

    axes: list[Axis]
    lines: list[Line]
    hidden: int


def searched(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Every gene seen in ``trials`` that can take more than one value."""
    found: dict[str, BaseDistribution] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            if not distribution.single():
                found[name] = distribution
    return found


def ordered(genes: Mapping[str, Any], shares: Mapping[str, float]) -> list[str]:
    """The genes by importance; those without one after, as they come."""
    return sorted(genes, key=lambda name: -shares.get(name, -1.0))


def parallel(
    rows: Sequence[Row], genes: Mapping[str, BaseDistribution], names: Sequence[str]
) -> Parallel:
    """Heights of every trial with a value on the axes ``names`` and on the value's axis."""
    valued = [r for r in rows if r.value is not None and r.params]
    kept = chosen(valued)
    ranked = {r.number: i for i, r in enumerate(sorted(kept, key=lambda r: -(r.value or 0.0)))}
    values = [r.value or 0.0 for r in kept]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    axes = [_axis(name, genes[name], kept) for name in names]
    axes.append(Axis("AUROC", "value", _spread(low, high, False, False), False))
    lines = [
        Line(
            r,
            [*(_height(r, name, genes[name]) for name in names), share(r.value or 0.0, low, high)],
            ranked[r.number] / max(1, len(kept) - 1),
        )
        for r in sorted(kept, key=lambda r: r.value or 0.0)
    ]
    return Parallel(axes, lines, len(rows) - len(valued))


def _axis(name: str, distribution: BaseDistribution, rows: Sequence[Row]) -> Axis:
    inactive = any(name not in r.params for r in rows)
    if isinstance(distribution, CategoricalDistribution):
        count = len(distribution.choices)
        ticks = [((i + 0.5) / count, show(c)) for i, c in enumerate(distribution.choices)]
        return Axis(name, "categorical", ticks, inactive)
    numeric: Any = distribution
    whole = isinstance(numeric.low, int)
    ticks = _spread(numeric.low, numeric.high, numeric.log, whole)
    return Axis(name, "log" if numeric.log else "linear", ticks, inactive)


def _spread(low: float, high: float, log: bool, whole: bool) -> list[tuple[float, str]]:
    """Ticks of a numeric axis: both ends, and powers of ten or the middle between them."""
    if high <= low:
        return [(0.5, show(low))]
    if log:
        first, last = math.ceil(math.log10(low) + 0.15), math.floor(math.log10(high) - 0.15)
        inner: list[float] = [10.0**power for power in range(first, last + 1)]
    else:
        inner = [(low + high) / 2]
        if whole:
            inner = [float(round(inner[0]))] if high - low > 1 else []
    marks = [float(low), *inner, float(high)]
    return [(share(m, low, high, log), str(round(m)) if whole else show(m, 3)) for m in marks]


def share(value: float, low: float, high: float, log: bool = False) -> float:
    """Where ``value`` lies between ``low`` and ``high``, in [0, 1]; 0.5 where they are equal."""
    if high <= low:
        return 0.5
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _height(row: Row, name: str, distribution: BaseDistribution) -> float:
    # Lines through one tick are spread a little, in a fixed way, so that they can be told apart.
    spread = ((row.number * 0.618034) % 1.0 - 0.5) * 0.06
    if name not in row.params:
        return INACTIVE + spread
    value = row.params[name]
    if isinstance(distribution, CategoricalDistribution):
        if value not in distribution.choices:
            return INACTIVE + spread
        return (distribution.choices.index(value) + 0.5) / len(distribution.choices) + spread
    numeric: Any = distribution
    return share(float(value), float(numeric.low), float(numeric.high), numeric.log)


def parallel_figure(numbers: Parallel) -> go.Figure:
    """One line a trial; the better, the more orange. The best comes last, on top."""
    fig = figure(480)
    positions = list(range(len(numbers.axes)))
    for line in numbers.lines:
        good = 1.0 - line.behind
        dash = "dot" if line.row.state != "complete" else "solid"
        fig.add_scatter(
            x=positions,
            y=line.heights,
            mode="lines+markers",
            line={
                "color": faded(blend(QUIET, BEST_COLOUR, good), 0.3 + 0.6 * good**2),
                "width": 1.2 + 1.8 * good**4,
                "dash": dash,
            },
            marker={"size": 4, "color": blend(QUIET, BEST_COLOUR, good)},
            text=[hover(line.row)] * len(positions),
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
            meta={"behind": line.behind},
        )
    for position, axis in enumerate(numbers.axes):
        _draw_axis(fig, position, axis)
    last = len(positions) - 1
    fig.update_layout(margin={"l": 64, "r": 64, "t": 84, "b": 16})
    fig.update_xaxes(
        tickvals=positions,
        ticktext=[f"<b>{text(axis.name)}</b>" for axis in numbers.axes],
        tickangle=-25 if last > 5 else 0,
        side="top", range=[-0.25, last + 0.35], showgrid=False, zeroline=False,
        showline=False, fixedrange=True,
    )  # fmt: skip
    fig.update_yaxes(visible=False, range=[INACTIVE - 0.1, 1.06], fixedrange=True)
    return fig


def _draw_axis(fig: go.Figure, position: int, axis: Axis) -> None:
    fig.add_shape(
        type="line", x0=position, x1=position, y0=0, y1=1, layer="below",
        line={"width": 1.5, "color": QUIET},
    )  # fmt: skip
    ticks = [*axis.ticks, *([(INACTIVE, "n/a")] if axis.inactive else [])]
    for height, label in ticks:
        shown = label if len(label) <= 14 else label[:13] + "…"
        fig.add_annotation(
            x=position, y=height, text=text(shown), showarrow=False, name="tick",
            xanchor="left", xshift=5, font={"size": 11}, borderpad=1,
        )  # fmt: skip


def sections(view: StudyView, now: float) -> list[Section]:
    """How genes go with the score, and how much each matters."""
    numbers = importance(view.trials)
    genes = searched(view.trials)
    names = ordered(genes, numbers.shares)
    panels = []
    for first in range(0, len(names), GENES_A_PANEL):
        part = names[first : first + GENES_A_PANEL]
        lines = parallel(view.rows, genes, part)
        if lines.lines:
            hidden = f" {lines.hidden} trials without a value are not drawn." * bool(lines.hidden)
            panels.append(
                Panel(
                    f"genes {first + 1} to {first + len(part)}",
                    parallel_figure(lines),
                    caption="The better a trial, the more orange; trials that are not complete "
                    "are dotted. n/a: the gene was not active. Lines on one tick are spread a "
                    f"little.{hidden}",
                    wide=84 * (len(part) + 1),
                    shares=(("all", 1.0), ("best half", 0.5), ("best tenth", 0.1)),
                )
            )
    empty = "No trial has a value yet." if genes else "No gene takes more than one value yet."
    ranked = "the most important first" if numbers.shares else "in the order of the space"
    return [
        Section(
            "genes", "Genes", "Genes and score", panels or [Panel("", sentence=empty)],
            f"Each line is a trial; {ranked}.",
        ),
        Section("importance", "Importance", "Importance of the genes", [importance_panel(numbers)]),
    ]  # fmt: skip
