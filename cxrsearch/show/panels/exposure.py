"""How often the best trial saw each label, beside how often the data has it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from cxrsearch.data.diseases import NO_FINDING
from cxrsearch.show.rows import Row
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import BEST_COLOUR, QUIET, figure, text
from cxrsearch.show.view import StudyView

from .labels import LABELS_DRAWN, named, readable


class Exposure(NamedTuple):
    """Shares of images with a label: as drawn in training, and as the data has it."""

    name: str
    drawn: float
    prevalence: float | None


def exposures(
    best: Row | None, counts: Mapping[str, int] | None = None, labels: Sequence[str] = ()
) -> list[Exposure]:
    """One entry a label of the ``best`` trial's exposure, the rarest in the data first.

    ``counts`` are the training part's images by label, and ``images`` in all; ``labels`` those of
    the data.
    """
    if best is None or not best.exposure:
        return []
    counts = counts or {}
    total = counts.get("images") or 0
    order = [*labels, NO_FINDING]
    found = [
        Exposure(name, drawn, counts[name] / total if total and name in counts else None)
        for name, drawn in best.exposure.items()
    ]
    found.sort(key=lambda e: order.index(e.name) if e.name in order else len(order))
    return sorted(found, key=lambda e: e.drawn if e.prevalence is None else e.prevalence)


def most_changed(numbers: Sequence[Exposure]) -> list[Exposure]:
    """``numbers``; of very many those that sampling changed most, in the same order."""

    def change(entry: Exposure) -> float:
        if not entry.drawn or not entry.prevalence:
            return 0.0
        return abs(math.log(entry.drawn / entry.prevalence))

    kept = {e.name for e in sorted(numbers, key=change, reverse=True)[:LABELS_DRAWN]}
    return [e for e in numbers if e.name in kept]


def exposures_figure(numbers: Sequence[Exposure]) -> go.Figure:
    """From each label's prevalence to its exposure, on a logarithmic axis."""
    fig = figure(100 + 28 * len(numbers))
    names = [text(readable(e.name)) for e in numbers]
    ends: list[float | None] = []
    labels: list[str | None] = []
    for name, entry in zip(names, numbers, strict=True):
        if entry.prevalence and entry.drawn:
            ends += [entry.prevalence, entry.drawn, None]
            labels += [name, name, None]
    fig.add_scatter(
        x=ends, y=labels, mode="lines", line={"color": QUIET, "width": 2}, hoverinfo="skip",
        showlegend=False,
    )  # fmt: skip
    points: list[tuple[str, str, str, list[float | None]]] = [
        ("in the training part", QUIET, "circle-open", [e.prevalence for e in numbers]),
        ("drawn by the best trial", BEST_COLOUR, "circle", [e.drawn for e in numbers]),
    ]
    for name, colour, symbol, values in points:
        if any(values):
            fig.add_scatter(
                x=[value or None for value in values],
                y=names,
                mode="markers",
                name=name,
                marker={
                    "color": colour,
                    "size": 10,
                    "symbol": symbol,
                    "line": {"width": 2, "color": colour},
                },
                hovertemplate="%{y}: %{x:.2%}<extra>" + name + "</extra>",
            )
    fig.update_layout(margin={"l": 20, "r": 20, "t": 40, "b": 46}, legend={"y": 1.0})
    fig.update_xaxes(
        type="log", tickformat="~%", title_text="share of images", dtick="D2", minor={"dtick": "D1"}
    )
    fig.update_yaxes(automargin=True, type="category", categoryorder="array", categoryarray=names)
    return fig


def sections(view: StudyView, now: float) -> list[Section]:
    """What the best trial was shown."""
    return [Section("exposure", "Exposure", "What the best trial was shown", [_panel(view)])]


def _panel(view: StudyView) -> Panel:
    found = exposures(view.best, view.counts.get("train"), view.labels)
    if not found:
        return Panel("", sentence="No complete trial has recorded what it was shown.")
    none = [e.name for e in found if not e.drawn]
    never = f" Never drawn: {named(none)}." if none else ""
    shown = most_changed(found)
    few = ""
    if len(shown) < len(found):
        few = f" Shown are the {len(shown)} of {len(found)} that this changed most."
    return Panel(
        "",
        exposures_figure(shown),
        caption="Share of the images drawn for training that carry a label, beside its share "
        f"in the training part: what seed and proportional sampling changed.{few}{never}",
    )
