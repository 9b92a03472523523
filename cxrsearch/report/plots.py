"""The report's plots: curves of each label, drawn by Plotly on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from cxrsearch.show.panels.labels import readable
from cxrsearch.show.theme import BEST_COLOUR, QUIET, STYLES, TEST, faded, figure, text

BLUE_LINE = STYLES["complete"].colour
CURVE_COLOURS = (
    BLUE_LINE, BEST_COLOUR, STYLES["running"].colour, TEST, STYLES["failed"].colour,
    STYLES["pruned"].colour, "#5b7083", "#b5a642",
)  # fmt: skip
CURVE_DASHES = ("solid", "dash", "dot", "dashdot")
"""Lines of one colour differ by these, and colours by hue for colour-blind eyes."""


def curves_figure(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    titles: tuple[str, str],
    *,
    diagonal: bool = False,
) -> go.Figure:
    """A curve a label.

    Args:
        curves: label -> ``x`` and ``y``.
        titles: of the axes.
        diagonal: whether the line of chance is drawn.
    """
    fig = figure(460)
    if diagonal:
        line = {"color": QUIET, "dash": "dot", "width": 1}
        fig.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip",
                        showlegend=False)  # fmt: skip
    for place, (label, points) in enumerate(curves.items()):
        if not points.get("x"):
            continue
        fig.add_scatter(
            x=list(points["x"]), y=list(points["y"]), mode="lines", name=text(readable(label)),
            line={**_look(place), "width": 2},
            hovertemplate=f"{text(readable(label))}: %{{y:.3f}} at %{{x:.3f}}<extra></extra>",
        )  # fmt: skip
    fig.update_xaxes(title_text=titles[0], range=[-0.01, 1.01], constrain="domain")
    fig.update_yaxes(title_text=titles[1], range=[-0.01, 1.02])
    return fig


def _look(place: int) -> dict[str, Any]:
    """Colour and dash of the line at ``place``."""
    count = len(CURVE_COLOURS)
    return {
        "color": CURVE_COLOURS[place % count],
        "dash": CURVE_DASHES[place // count % len(CURVE_DASHES)],
    }


def auroc_figure(content: Mapping[str, Any]) -> go.Figure:
    """AUROC of each label with its interval, over all images and among the sick."""
    labels = content["labels"]
    names = [name for name in labels if (labels[name].get("auroc") or {}).get("value") is not None]
    names.sort(key=lambda name: labels[name]["auroc"]["value"])
    sick = (content.get("case_mix") or {}).get("labels") or {}
    fig = figure(110 + 38 * max(1, len(names)))
    rows = [text(readable(name)) for name in names]
    for title, found, colour, symbol, shift in (
        ("all images", labels, BLUE_LINE, "circle", 0.0),
        ("images with a finding", sick, BEST_COLOUR, "diamond", -0.26),
    ):
        there = [
            (place, found[name]["auroc"])
            for place, name in enumerate(names)
            if (found.get(name, {}).get("auroc") or {}).get("value") is not None
        ]
        if not there:
            continue
        fig.add_scatter(
            x=[one["value"] for _, one in there], y=[place + shift for place, _ in there],
            mode="markers", name=title, marker={"color": colour, "size": 9, "symbol": symbol},
            error_x=_bars([one for _, one in there], colour),
            customdata=[[rows[place], _interval(one)] for place, one in there],
            hovertemplate="%{customdata[0]}: %{x:.3f} %{customdata[1]}<extra></extra>",
        )  # fmt: skip
    fig.add_vline(x=0.5, line={"color": QUIET, "dash": "dot", "width": 1})
    fig.update_xaxes(title_text="AUROC, 95% interval over patients")
    fig.update_yaxes(tickvals=list(range(len(rows))), ticktext=rows, zeroline=False)
    return fig


def _bars(figures: Sequence[Mapping[str, Any]], colour: str) -> dict[str, Any]:
    """Error bars of figures; none where there is no interval."""
    up, down = [], []
    for one in figures:
        low, high = one.get("low"), one.get("high")
        none = low is None or high is None
        up.append(0.0 if none else float(high or 0.0) - one["value"])
        down.append(0.0 if none else one["value"] - float(low or 0.0))
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down,
            "color": faded(colour, 0.6), "thickness": 2, "width": 4}  # fmt: skip


def _interval(one: Mapping[str, Any]) -> str:
    if one.get("low") is None or one.get("high") is None:
        return "(no interval)"
    return f"({one['low']:.3f} to {one['high']:.3f})"


def decision_figure(label: str, points: Mapping[str, Sequence[float]]) -> go.Figure:
    """Net benefit of a label's model beside treating all and none."""
    fig = figure(400)
    x = list(points["x"])
    if points.get("low"):
        band = [*points["high"], *reversed(points["low"])]
        fig.add_scatter(x=[*x, *reversed(x)], y=band, fill="toself", mode="lines",
                        line={"width": 0}, fillcolor=faded(BLUE_LINE, 0.15), hoverinfo="skip",
                        showlegend=False)  # fmt: skip
    for key, title, look in (
        ("y", "the model", {"color": BLUE_LINE, "width": 2.5}),
        ("treat_all", "treat all", {"color": BEST_COLOUR, "dash": "dash", "width": 1.5}),
        ("treat_none", "treat none", {"color": QUIET, "dash": "dot", "width": 1.5}),
    ):
        if points.get(key):
            fig.add_scatter(x=x, y=list(points[key]), mode="lines", name=title, line=look)
    seen = [value for value in [*points["y"], 0.0] if value is not None]
    most = max(seen) or 0.01
    fig.update_xaxes(
        title_text=f"probability of {text(readable(label))} from which one would treat"
    )
    fig.update_yaxes(title_text="net benefit", range=[-0.35 * most, 1.25 * most])
    return fig


def reliability_figure(curves: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Observed over predicted shares, a line a series."""
    fig = figure(440)
    line = {"color": QUIET, "dash": "dot", "width": 1}
    fig.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip",
                    showlegend=False)  # fmt: skip
    for place, (name, points) in enumerate(curves.items()):
        if not points.get("x"):
            continue
        look = _look(place)
        error = None
        if points.get("low"):
            error = _bars(
                [
                    {"value": y, "low": low, "high": high}
                    for y, low, high in zip(points["y"], points["low"], points["high"], strict=True)
                ],
                look["color"],
            )
        fig.add_scatter(
            x=list(points["x"]), y=list(points["y"]), mode="lines+markers", name=text(name),
            line={**look, "width": 1.5}, marker={"size": 7}, error_y=error,
            hovertemplate="predicted %{x:.3f}, observed %{y:.3f}<extra></extra>",
        )  # fmt: skip
    fig.update_xaxes(title_text="mean predicted probability")
    fig.update_yaxes(title_text="observed share")
    return fig


def groups_figure(groups: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """How far the AUROC of each group is from the rest, by label.

    Args:
        groups: group -> ``labels`` (label -> figures).
    """
    labels = dict.fromkeys(label for group in groups.values() for label in group["labels"])
    shown = [
        label
        for label in labels
        if any(_apart(group, label) is not None for group in groups.values())
    ]
    fig = figure(120 + max(24, 16 * len(groups)) * max(1, len(shown)))
    step = 0.7 / max(1, len(groups))
    for place, (name, group) in enumerate(groups.items()):
        there = [
            (row + 0.35 - step * (place + 0.5), label, found)
            for row, label in enumerate(shown)
            if (found := _apart(group, label)) is not None
        ]
        if not there:
            continue
        look = _look(place)
        fig.add_scatter(
            x=[found["value"] for _, _, found in there], y=[row for row, _, _ in there],
            mode="markers", name=text(name), marker={"color": look["color"], "size": 8},
            error_x=_bars([found for _, _, found in there], look["color"]),
            customdata=[[text(readable(label)), _interval(found)] for _, label, found in there],
            hovertemplate="%{customdata[0]}: %{x:+.3f} %{customdata[1]}<extra></extra>",
        )  # fmt: skip
    fig.add_vline(x=0, line={"color": QUIET, "dash": "dot", "width": 1})
    fig.update_xaxes(title_text="AUROC less that of the rest")
    rows = [text(readable(label)) for label in shown]
    fig.update_yaxes(tickvals=list(range(len(rows))), ticktext=rows, zeroline=False)
    return fig


def _apart(group: Mapping[str, Any], label: str) -> Mapping[str, Any] | None:
    """The difference of a group's AUROC, where there is one."""
    found = group["labels"].get(label, {}).get("auroc_difference")
    return found if found and found.get("value") is not None else None
