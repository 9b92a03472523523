"""How figures look: colours by state, empty layouts, hover texts, escaping.

Colours that depend on light or dark (text, grid, background) are set by the page's
script from its CSS variables, so that one file suits both. The colours here are those of
the data; they stand out on white and on near-black, and differ for colour-blind eyes too
(Okabe & Ito's hues); states differ by their symbol besides.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import plotly.graph_objects as go

from .clock import duration
from .rows import Row


class Style(NamedTuple):
    """Colour and Plotly symbol of a state."""

    colour: str
    symbol: str


STYLES: Mapping[str, Style] = {
    "complete": Style("#3a86c8", "circle"),
    "pruned": Style("#d99a2b", "triangle-down"),
    "failed": Style("#d1495b", "x"),
    "repeated": Style("#8a97a8", "square-open"),
    "running": Style("#2a9d7f", "circle-open"),
    "paused": Style("#b5a642", "triangle-down-open"),
    "interrupted": Style("#9a7fc4", "diamond-open"),
}
BEST_COLOUR = "#d9730d"
"""Whatever belongs to the best trial."""
QUIET = "#8a97a8"
"""Whatever is background to the subject."""
TEST = "#8f5fbf"
"""Scores on the test part."""


def text(value: object) -> str:
    """``value`` as Plotly text: Plotly reads a subset of HTML in every label."""
    return html.escape(str(value), quote=False)


def show(value: object, digits: int = 4) -> str:
    """A parameter or a score as people write it."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.{digits}g}"


def score(value: float | None, interval: tuple[float, float] | None = None) -> str:
    """``0.712 (0.650 to 0.771)``; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def hover(row: Row, most: int = 14) -> str:
    """The hover text of a trial: state, value, how long, and its first ``most`` genes."""
    lines = [f"<b>trial {row.number}</b> · {row.state}{reason_of(row)}"]
    if row.value is not None:
        done = row.state in ("complete", "repeated")
        label = "AUROC" if done else "best AUROC so far"
        lines.append(f"{label} {score(row.value, row.interval)}")
    further = list(row.objectives.items())[1:]
    lines += [f"{text(name)} {show(value)}" for name, value in further]
    if row.seconds is not None:
        lines.append(f"{duration(row.seconds)}, generation {row.generation}")
    lines += [f"{text(name)}: {text(show(v))}" for name, v in list(row.params.items())[:most]]
    if len(row.params) > most:
        lines.append(f"and {len(row.params) - most} more genes")
    return "<br>".join(lines)


def reason_of(row: Row) -> str:
    """`` (nan)`` for a trial that failed so; empty without a reason."""
    return f" ({text(row.reason)})" if row.reason else ""


def figure(height: int, **layout: Any) -> go.Figure:
    """An empty figure of ``height`` pixels, transparent, without Plotly's default template."""
    base: dict[str, Any] = {
        "template": {},
        "height": height,
        "autosize": True,
        "margin": {"l": 64, "r": 20, "t": 14, "b": 52},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "traceorder": "normal",
        },
    }
    return go.Figure(layout=base | layout)


def counted(values: Iterable[float]) -> dict[str, Any]:
    """Settings of an axis that counts: no tick twice where there are only a few ``values``."""
    found = list(values)
    few = not found or max(found) - min(found) < 10
    return {"tickformat": "d", "dtick": 1} if few else {"tickformat": "d"}


def faded(colour: str, alpha: float) -> str:
    """``#rrggbb`` as an rgba() colour with opacity ``alpha``."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def blend(low: str, high: str, share: float) -> str:
    """The colour ``share`` of the way from ``low`` to ``high`` (both ``#rrggbb``)."""
    ends = ((int(low[i : i + 2], 16), int(high[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in ends)
