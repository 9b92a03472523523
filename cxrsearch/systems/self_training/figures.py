"""The figures of a self-training's page, each from a part of ``self-training.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from cxrsearch.show.panels.labels import readable
from cxrsearch.show.theme import BEST_COLOUR, QUIET, STYLES, figure, text

POSITIVE, NEGATIVE = "#d1495b", "#3a86c8"
ROLE_COLOURS = {"teacher": STYLES["complete"].colour, "student": BEST_COLOUR, "control": QUIET}


def precision_figure(labels: Sequence[Mapping[str, Any]], end: str) -> go.Figure:
    """Precision of the ``positive`` or ``negative`` pseudo-labels, with marks for chance.

    Args:
        labels: as from `cxrsearch.systems.self_training.precision.judge_pseudo`.
        end: which of the two.
    """
    shown = [d for d in labels if d[end]["taken"]]
    shown.sort(key=lambda d: d[end]["precision"] - d[end]["chance"])
    fig = figure(110 + 30 * len(shown))
    colour = POSITIVE if end == "positive" else NEGATIVE
    values = [d[end]["precision"] for d in shown]
    fig.add_scatter(
        x=values,
        y=list(range(len(shown))),
        name=f"{end}s that are right",
        mode="markers",
        marker={"color": colour, "size": 9},
        error_x=_bars(values, [d[end]["interval"] for d in shown], colour),
        text=[
            f"{text(readable(d['label']))}: {d[end]['right']} of {d[end]['taken']} right, "
            f"{d[end]['precision']:.3f}<br>at random {d[end]['chance']:.3f}"
            for d in shown
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    fig.add_scatter(
        x=[d[end]["chance"] for d in shown],
        y=list(range(len(shown))),
        name="at random" + (" (prevalence)" if end == "positive" else " (1 - prevalence)"),
        mode="markers",
        marker={"symbol": "line-ns", "size": 18, "line": {"width": 3, "color": QUIET}},
        hovertemplate="at random %{x:.3f}<extra></extra>",
    )
    _lines(fig, [d["label"] for d in shown])
    fig.update_xaxes(title_text=f"share of the pseudo-{end}s that are right", range=[-0.02, 1.02])
    return fig


def shares_figure(found: Sequence[Mapping[str, Any]], chosen: float) -> go.Figure:
    """Mean precision over the share taken at each end; the ``chosen`` share is marked."""
    fig = figure(360)
    known = [entry for entry in found if entry["positive"] is not None]
    shares = [entry["share"] for entry in known]
    for end, colour in (("positive", POSITIVE), ("negative", NEGATIVE)):
        fig.add_scatter(
            x=shares, y=[entry[end] for entry in known], name=f"{end}s", mode="lines+markers",
            line={"color": colour, "width": 2.5},
            hovertemplate=f"%{{x:.0%}} at each end: %{{y:.3f}} of the {end}s right<extra></extra>",
        )  # fmt: skip
        chance = [
            entry["prevalence"] if end == "positive" else 1 - entry["prevalence"] for entry in known
        ]
        fig.add_scatter(
            x=shares, y=chance, mode="lines", showlegend=False,
            line={"color": colour, "width": 1.4, "dash": "dot"},
            hovertemplate="at random %{y:.3f}<extra></extra>",
        )  # fmt: skip
    fig.add_vline(x=chosen, line={"width": 1, "dash": "dot"}, opacity=0.6)
    fig.update_xaxes(title_text="share taken at each end", tickformat=".0%", rangemode="tozero")
    fig.update_yaxes(title_text="mean precision", range=[0, 1.02])
    return fig


def counts_figure(counts: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Pseudo-labels of each label: positives to the right, negatives to the left."""
    shown = list(counts)[::-1]
    fig = figure(110 + 26 * len(shown), barmode="relative", bargap=0.35)
    for end, colour, sign in (("negative", NEGATIVE, -1), ("positive", POSITIVE, 1)):
        fig.add_bar(
            x=[sign * c[end] for c in shown], y=list(range(len(shown))), name=f"{end}s",
            orientation="h", marker={"color": colour},
            text=[
                f"{text(readable(c['label']))}: {c[end]} pseudo-{end}s" for c in shown
            ],
            textposition="none", hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    most = max((c[end] for c in shown for end in ("positive", "negative")), default=0)
    right = sorted({0, most // 2, most})
    ticks = [-t for t in right[:0:-1]] + right
    fig.update_xaxes(
        title_text="images", zeroline=True,
        tickvals=ticks, ticktext=[str(abs(t)) for t in ticks],
    )  # fmt: skip
    _lines(fig, [c["label"] for c in shown])
    return fig


def curves_figure(report: Mapping[str, Any]) -> go.Figure:
    """Validation AUROC of teacher, student and control over the images gone through."""
    fig = figure(400)
    for who in ("teacher", "control", "student"):
        found = report.get(who)
        if not found:
            continue
        curve = found["curve"]
        each = found["images_seen"] / max(1, len(curve))
        fig.add_scatter(
            x=[each * record["epoch"] for record in curve],
            y=[record["value"] for record in curve],
            name=who, mode="lines+markers",
            line={
                "color": ROLE_COLOURS[who], "width": 2.5,
                "dash": "dot" if who == "control" else None,
            },
            marker={
                "size": [11 if r["epoch"] == found["best_epoch"] else 5 for r in curve],
                "color": ROLE_COLOURS[who],
            },
            text=[f"{who}, epoch {r['epoch']}: {r['value']:.4f}" for r in curve],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    fig.update_xaxes(title_text="images gone through (the best epoch is large)", rangemode="tozero")
    fig.update_yaxes(title_text="mean AUROC (validation subset)")
    return fig


def differences_figure(found: Mapping[str, Any]) -> go.Figure:
    """The student's gain for each label, and on their mean."""
    shown = [
        (name, d["difference"], d["interval"])
        for name, d in found["labels"].items()
        if d["difference"] is not None
    ]
    shown.sort(key=lambda entry: entry[1])
    if found["difference"] is not None:
        shown.append(("mean", found["difference"], found["interval"]))
    fig = figure(100 + 30 * len(shown), showlegend=False)
    values = [value for _, value, _ in shown]
    fig.add_scatter(
        x=values, y=list(range(len(shown))), mode="markers",
        marker={
            "color": BEST_COLOUR, "size": [12 if name == "mean" else 9 for name, _, _ in shown],
            "symbol": ["diamond" if name == "mean" else "circle" for name, _, _ in shown],
        },
        error_x=_bars(values, [interval for _, _, interval in shown], BEST_COLOUR),
        text=[f"{text(readable(name))}: {value:+.4f}" for name, value, _ in shown],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    fig.add_vline(x=0, line={"width": 1, "dash": "dot"}, opacity=0.6)
    _lines(fig, [name for name, _, _ in shown])
    fig.update_xaxes(title_text="student's AUROC minus the other's")
    return fig


def _lines(fig: go.Figure, names: Sequence[str]) -> None:
    """A line for each of ``names``, from below."""
    fig.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[text(readable(name)) for name in names],
        range=[-0.6, len(names) - 0.4],
        automargin=True,
        zeroline=False,
    )
    fig.update_layout(margin={"l": 20, "r": 20, "t": 46, "b": 46})


def _bars(
    values: Sequence[float], intervals: Sequence[Sequence[float] | None], colour: str
) -> dict[str, Any]:
    """Plotly's error bars for ``intervals`` around ``values``."""
    ends = [i or (v, v) for v, i in zip(values, intervals, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - v for v, (_, high) in zip(values, ends, strict=True)],
        "arrayminus": [v - low for v, (low, _) in zip(values, ends, strict=True)],
        "color": colour,
        "thickness": 1.6,
        "width": 3,
    }
