"""Learning curves: the validation score, and the training loss, by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from cxrsearch.show.rows import Row, best_row
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import BEST_COLOUR, STYLES, counted, figure, hover
from cxrsearch.show.view import CurvePoint, StudyView

MOST_CURVES = 300
"""Trials drawn at most; beyond it the best and the latest, half and half."""


class Curve(NamedTuple):
    """One trial's values by epoch."""

    row: Row
    epochs: list[int]
    values: list[float]
    best: bool


def chosen(rows: Sequence[Row], most: int = MOST_CURVES) -> list[Row]:
    """``rows`` where they are at most ``most``; else the best half and the latest half."""
    if len(rows) <= most:
        return list(rows)
    ranked = sorted(rows, key=lambda r: (r.value is None, -(r.value or 0.0)))
    kept = {r.number for r in ranked[: most // 2]} | {r.number for r in rows[-(most // 2) :]}
    return [r for r in rows if r.number in kept]


def value_curves(rows: Sequence[Row]) -> list[Curve]:
    """The validation score of every trial with at least one epoch; the best trial last."""
    best = best_row(rows)
    number = None if best is None else best.number
    curves = [
        Curve(r, list(r.curve), list(r.curve.values()), r.number == number)
        for r in chosen([r for r in rows if r.curve])
    ]
    return sorted(curves, key=lambda curve: curve.best)


def loss_curves(rows: Sequence[Row], epochs: Mapping[int, Iterable[CurvePoint]]) -> list[Curve]:
    """The training loss of every trial whose curve.json has one; the best trial last."""
    best = best_row(rows)
    number = None if best is None else best.number
    curves = []
    for r in chosen([r for r in rows if r.number in epochs]):
        points = [(e.epoch, e.loss) for e in epochs[r.number] if e.loss is not None]
        if points:
            curves.append(
                Curve(r, [x for x, _ in points], [y for _, y in points], r.number == number)
            )
    return sorted(curves, key=lambda curve: curve.best)


def curves_figure(curves: Sequence[Curve], title: str) -> go.Figure:
    """One line a trial: pruned ones dashed, the best one bold."""
    fig = figure(420)
    named: set[str] = set()
    for curve in curves:
        state = curve.row.state
        name = f"best (trial {curve.row.number})" if curve.best else state
        colour = BEST_COLOUR if curve.best else STYLES[state].colour
        text = hover(curve.row)
        fig.add_scatter(
            x=curve.epochs,
            y=curve.values,
            name=name,
            legendgroup=name,
            showlegend=name not in named,
            mode="lines+markers",
            opacity=1.0 if curve.best else 0.55,
            line={
                "color": colour,
                "width": 3.5 if curve.best else 1.4,
                "dash": "dash" if state in ("pruned", "paused") else "solid",
            },
            marker={"size": 7 if curve.best else 4, "color": colour},
            text=[
                f"epoch {x}: {y:.4f}<br>{text}"
                for x, y in zip(curve.epochs, curve.values, strict=True)
            ],
            hovertemplate="%{text}<extra></extra>",
        )
        named.add(name)
    fig.update_xaxes(title_text="epoch", **counted(x for c in curves for x in c.epochs))
    fig.update_yaxes(title_text=title)
    return fig


def sections(view: StudyView, now: float) -> list[Section]:
    """Validation and training loss by epoch."""
    return [Section("curves", "Curves", "Learning curves", _panels(view))]


def _panels(view: StudyView) -> list[Panel]:
    def panel(label: str, curves: list[Curve], title: str, sentence: str) -> Panel:
        if not curves:
            return Panel(label, sentence=sentence)
        drawn = (
            f" Drawn: the best and the latest, {MOST_CURVES} at most."
            if len(curves) >= MOST_CURVES
            else ""
        )
        return Panel(
            label, curves_figure(curves, title), caption=f"Pruned trials are dashed.{drawn}"
        )

    values = value_curves(view.rows)
    losses = loss_curves(view.rows, view.epochs)
    found = [panel("validation", values, "mean AUROC (validation)", "No epoch is finished yet.")]
    if losses:
        found.append(panel("training loss", losses, "training loss", ""))
    return found
