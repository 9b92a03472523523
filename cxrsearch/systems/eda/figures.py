"""Figures of a data set: its labels, which go together, in whom, and in which part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from cxrsearch.data.diseases import NO_FINDING
from cxrsearch.data.splits.counts import IMAGES, negatives
from cxrsearch.show.panels.labels import LABELS_DRAWN, readable
from cxrsearch.show.theme import BEST_COLOUR, QUIET, STYLES, TEST, counted, faded, figure, text

from .label_counts import Prevalence, Spread, Together
from .people import AGE_BAND, UNKNOWN_PERSON, Group

BLUE = STYLES["complete"].colour
PART_MARKERS = (
    ("train", BLUE, "circle"),
    ("val", BEST_COLOUR, "square"),
    ("test", TEST, "diamond"),
)
SCALE = [[0.0, "#f3f7fb"], [0.5, "#7fb2dc"], [1.0, "#1c5a92"]]
AROUND = [[0.0, "#1c5a92"], [0.5, "#f6f6f4"], [1.0, "#b3500a"]]
"""Blue: less often than by chance; orange: more often."""
PALETTE = (BLUE, BEST_COLOUR, STYLES["running"].colour, TEST, QUIET)
MOST_BARS = 30
"""Values of a count that get a bar of their own; the rest share the last."""
LONGEST_TEXT = 40
"""Characters of a label's name on an axis."""


def axis_texts(names: Sequence[str]) -> list[str]:
    """``names`` of labels as they stand on an axis: escaped, none too long, no two the same."""
    found: list[str] = []
    for place, name in enumerate(map(readable, names)):
        short = name if len(name) <= LONGEST_TEXT else f"{name[: LONGEST_TEXT - 1]}…"
        found.append(text(short if text(short) not in found else f"{short} ({place + 1})"))
    return found


def commonest(found: Sequence[Prevalence], by: str) -> list[Prevalence]:
    """Those that a figure shows, the rarest first, "No Finding" at the very first."""
    labels = sorted(found[:-1], key=lambda p: int(getattr(p, by)), reverse=True)[:LABELS_DRAWN]
    return [*found[-1:], *sorted(labels, key=lambda p: int(getattr(p, by)))]


def prevalence_figure(found: Sequence[Prevalence], by: str) -> go.Figure:
    """A bar a label, the commonest on top; ``by`` is ``images`` or ``patients``."""
    shown = commonest(found, by)
    fig = figure(90 + 28 * len(shown), barmode="stack", bargap=0.3)
    rows = axis_texts([p.name for p in shown])
    parts: list[tuple[str, list[int], str]] = [
        ("alone", [p.alone for p in shown], BLUE),
        ("with others", [p.images - p.alone for p in shown], faded(BLUE, 0.45)),
    ]
    if by == "patients":
        parts = [("patients", [p.patients for p in shown], BLUE)]
    for name, values, colour in parts:
        share = [p.share if by == "images" else p.patient_share for p in shown]
        last = name != "alone"
        fig.add_bar(
            y=rows,
            x=values,
            orientation="h",
            name=name,
            marker={"color": colour},
            text=[f"{getattr(p, by):,} ({s:.1%})" for p, s in zip(shown, share, strict=True)]
            if last
            else None,
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"%{{y}}, {name}: %{{x:,}}<extra></extra>",
        )
    fig.update_xaxes(title_text=by, range=[0, 1.16 * max(1, *(getattr(p, by) for p in shown))])
    fig.update_yaxes(automargin=True, showgrid=False)
    fig.update_layout(showlegend=by == "images")
    return fig


def conditional_figure(found: Together) -> go.Figure:
    """P(column | row) in percent; the diagonal is left empty."""
    values = 100 * found.conditional
    np.fill_diagonal(values, np.nan)
    single, names = np.diag(found.counts), axis_texts(found.names)
    hover = [
        [
            f"of {single[i]:,} images with {names[i]},<br>{found.counts[i, j]:,} also have "
            f"{names[j]}" + (f" ({values[i, j]:.1f}%)" if np.isfinite(values[i, j]) else "")
            for j in range(len(names))
        ]
        for i in range(len(names))
    ]
    fig = _heatmap(values, _cells(values, "{:.0f}", "{:.1f}"), names, hover, SCALE, "%")
    highest = np.nanmax(values, initial=0.0)
    fig.update_traces(zmin=0, zmax=max(1.0, float(highest)))
    fig.update_xaxes(title_text="… also have")
    fig.update_yaxes(title_text="Of the images with …")
    return fig


def counts_figure(found: Together) -> go.Figure:
    """Images with both; on the diagonal those with the one. Coloured by the logarithm."""
    with np.errstate(divide="ignore"):
        colour = np.where(found.counts > 0, np.log10(found.counts), np.nan)
    names = axis_texts(found.names)
    hover = [
        [
            f"{names[i]} and {names[j]}: {found.counts[i, j]:,}" if i != j
            else f"{names[i]}: {found.counts[i, i]:,}"
            for j in range(len(names))
        ]
        for i in range(len(names))
    ]  # fmt: skip
    fig = _heatmap(colour, _cells(found.counts.astype(float), "{:,.0f}"), names, hover, SCALE, "")
    fig.update_traces(showscale=False)
    return fig


def lift_figure(found: Together) -> go.Figure:
    """How many times as often as by chance; coloured by the logarithm, up to eightfold."""
    with np.errstate(divide="ignore", invalid="ignore"):
        colour = np.clip(np.log2(found.lift), -3, 3)
    names = axis_texts(found.names)
    hover = []
    for i in range(len(names)):
        row = []
        for j in range(len(names)):
            lift, both = found.lift[i, j], found.counts[i, j]
            expected = both / lift if np.isfinite(lift) and lift > 0 else None
            words = f"{names[i]} and {names[j]}: {both:,}"
            row.append(words + (f", {expected:,.1f} by chance" if expected is not None else ""))
        hover.append(row)
    fig = _heatmap(colour, _cells(found.lift, "{:.1f}"), names, hover, AROUND, "")
    fig.update_traces(
        zmin=-3, zmax=3, colorbar={
            "tickvals": [-3, -2, -1, 0, 1, 2, 3],
            "ticktext": ["⅛ or less", "¼", "½", "1", "2", "4", "8 or more"],
            "title": {"text": "lift"}, "thickness": 14, "outlinewidth": 0,
        },
    )  # fmt: skip
    return fig


def _cells(values: np.ndarray, form: str, small: str = "") -> list[list[str]]:
    """``values`` as text, those below 10 as ``small`` has it; nothing for NaN."""
    return [
        ["" if np.isnan(v) else (small if small and v < 10 else form).format(v) for v in row]
        for row in values
    ]


def _heatmap(
    values: np.ndarray,
    cells: list[list[str]],
    names: list[str],
    hover: list[list[str]],
    scale: Any,
    unit: str,
) -> go.Figure:
    fig = figure(max(320, 190 + 32 * len(names)), showlegend=False)
    fig.add_heatmap(
        z=values,
        x=names,
        y=names,
        text=cells,
        texttemplate="%{text}",
        textfont={"size": 11},
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        colorscale=scale,
        xgap=1,
        ygap=1,
        hoverongaps=False,
        colorbar={"ticksuffix": unit, "thickness": 14, "outlinewidth": 0},
    )
    fig.update_xaxes(tickangle=-40, showgrid=False, automargin=True)
    fig.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    return fig


def spread_figure(found: Spread, what: str, of: str) -> go.Figure:
    """How many ``of`` (images, patients) have each value of a count."""
    by_value = dict(zip(found.values, found.counts, strict=True))
    values = range(found.values[0], found.values[-1] + 1)
    names, counts = [str(value) for value in values], [by_value.get(v, 0) for v in values]
    if len(values) > MOST_BARS:
        names = [*names[: MOST_BARS - 1], f"{values[MOST_BARS - 1]}+"]
        counts = [*counts[: MOST_BARS - 1], sum(counts[MOST_BARS - 1 :])]
    fig = figure(380, showlegend=False, bargap=0.2)
    total = sum(counts)
    fig.add_bar(
        x=names,
        y=counts,
        marker={"color": BLUE},
        text=[f"{count / total:.0%}" if count >= total / 200 else "" for count in counts],
        textposition="outside",
        cliponaxis=False,
        hovertemplate=f"{text(what)} %{{x}}: %{{y:,}} {of}<extra></extra>",
    )
    fig.update_xaxes(title_text=what, type="category", showgrid=False)
    fig.update_yaxes(title_text=of, **counted([0, *counts]))
    return fig


def age_figure(age: np.ndarray, sex: np.ndarray | None) -> go.Figure:
    """Images by age, a bar for two years, stacked by sex where that is known."""
    fig = figure(380, barmode="stack", bargap=0.05)
    edges = np.arange(0, 112, 2)
    names = np.unique(sex[np.isfinite(age)]).tolist() if sex is not None else [UNKNOWN_PERSON]
    for place, name in enumerate(names):
        inside = np.isfinite(age) if sex is None else np.isfinite(age) & (sex == name)
        counts, _ = np.histogram(age[inside], edges)
        label = text(name or ("images" if sex is None else "unknown"))
        fig.add_bar(
            x=(edges[:-1] + 1).tolist(),
            y=counts.tolist(),
            name=label,
            marker={"color": PALETTE[place % len(PALETTE)]},
            customdata=[f"{edge} to {edge + 1}" for edge in edges[:-1]],
            hovertemplate=f"{label}, %{{customdata}} years: %{{y:,}} images<extra></extra>",
        )
    top = float(np.nanmax(age)) if np.isfinite(age).any() else 100.0
    fig.update_xaxes(title_text="age in years", range=[0, top + 3])
    fig.update_yaxes(title_text="images")
    fig.update_layout(showlegend=sex is not None)
    return fig


def groups_figure(groups: Sequence[Group], label_names: Sequence[str]) -> go.Figure:
    """The share of each group's images that have a label, a dot a group."""
    order = _commonest_last(groups)
    names = axis_texts([label_names[i] for i in order])
    fig = figure(110 + 30 * (len(order) + 1))
    for place, group in enumerate(groups[: len(PALETTE)]):
        label = text(group.name or "unknown")
        fig.add_scatter(
            x=(100 * group.shares[order]).tolist(),
            y=names,
            mode="markers",
            name=f"{label} ({group.images:,} images of {group.patients:,} patients)",
            marker={"size": 10, "color": PALETTE[place], "symbol": place},
            customdata=[f"{group.positives[i]:,}" for i in order],
            hovertemplate=f"%{{y}}, {label}: %{{x:.2f}}% (%{{customdata}})<extra></extra>",
        )
    fig.update_xaxes(title_text="% of the group's images", rangemode="tozero")
    fig.update_yaxes(automargin=True)
    return fig


def bands_figure(bands: Sequence[Group], label_names: Sequence[str]) -> go.Figure:
    """The share of each age group's images that have a label, in percent."""
    order = _commonest_last(bands)[::-1]
    values = np.array([[100 * b.shares[i] for b in bands] for i in order])
    names = [text(band.name) for band in bands]
    fig = figure(max(300, 120 + 31 * len(order)), showlegend=False)
    fig.add_heatmap(
        z=values,
        x=names,
        y=axis_texts([label_names[i] for i in order]),
        text=_cells(values, "{:.1f}"),
        texttemplate="%{text}",
        textfont={"size": 11},
        customdata=[
            [
                f"{b.positives[i]:,} of {b.known[i]:,} images ({b.patients:,} patients)"
                for b in bands
            ]
            for i in order
        ],
        hovertemplate="%{y}, age %{x}: %{z:.1f}%<br>%{customdata}<extra></extra>",
        colorscale=SCALE,
        xgap=1,
        ygap=1,
        colorbar={"ticksuffix": "%", "thickness": 14, "outlinewidth": 0},
    )
    fig.update_xaxes(title_text=f"age, groups of {AGE_BAND} years", type="category", showgrid=False)
    fig.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    return fig


def _commonest_last(groups: Sequence[Group]) -> np.ndarray:
    """Places of the labels that are shown: of very many those with the most positives."""
    total = np.sum([group.positives for group in groups], axis=0)
    order: np.ndarray = np.argsort(total, kind="stable")
    return order[-LABELS_DRAWN:]


def balance_figure(
    counts: Mapping[str, Mapping[str, int]], label_names: Sequence[str]
) -> go.Figure:
    """The share of each part's images that have a label: equal where the split is balanced."""
    names = sorted(label_names, key=lambda name: counts["train"][name])[-LABELS_DRAWN:]
    names = sorted((*names, NO_FINDING), key=lambda name: counts["train"][name])
    rows = axis_texts(names)
    fig = figure(110 + 30 * len(names))
    for part, colour, symbol in PART_MARKERS:
        here = counts[part]
        if not here[IMAGES]:
            continue
        share = [
            here[name]
            / max(1, here[IMAGES] if name == NO_FINDING else here[name] + negatives(here, name))
            for name in names
        ]
        fig.add_scatter(
            x=[100 * s for s in share],
            y=rows,
            mode="markers",
            name=f"{part} ({here[IMAGES]:,} images)",
            marker={"size": 10, "color": faded(colour, 0.8), "symbol": symbol},
            customdata=[f"{here[name]:,}" for name in names],
            hovertemplate=f"%{{y}}, {part}: %{{x:.2f}}% (%{{customdata}})<extra></extra>",
        )
    fig.update_xaxes(title_text="% of the part's images", rangemode="tozero")
    fig.update_yaxes(automargin=True)
    return fig
