"""AUROC by label, with intervals, on validation and, once evaluated, on the test part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from cxrsearch.data.labels.names import some_names
from cxrsearch.show.rows import Interval, Row
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import STYLES, TEST, figure, score, text
from cxrsearch.show.view import Look, StudyView

LABELS_DRAWN = 40
"""Labels that a figure shows at most: more of them cannot be read."""


class LabelScore(NamedTuple):
    """Scores of one label; None where it has none. ``positives`` counts validation images."""

    name: str
    validation: float | None
    interval: Interval | None
    test: float | None
    test_interval: Interval | None
    positives: int | None


class LabelScores(NamedTuple):
    """Judged labels, the best on top, and the names of those that could not be judged."""

    judged: list[LabelScore]
    not_judged: list[str]


def label_scores(
    best: Row | None,
    look: Look | None = None,
    counts: Mapping[str, int] | None = None,
    labels: Sequence[str] = (),
) -> LabelScores:
    """The scores of the ``best`` trial, and of its latest ``look`` at the test part.

    A label is judged where it has an AUROC on validation or on test.

    Args:
        best: the trial.
        look: at the test part, with a model of it.
        counts: positives of the validation part by label.
        labels: of the data.
    """
    if best is None or not best.auroc:
        return LabelScores([], [])
    test = {} if look is None else look.auroc
    test_intervals = {} if look is None else look.intervals
    names = list(dict.fromkeys([*labels, *best.auroc]))
    every = [
        LabelScore(
            name,
            best.auroc.get(name),
            best.intervals.get(name),
            test.get(name),
            test_intervals.get(name),
            (counts or {}).get(name),
        )
        for name in names
    ]
    judged = [d for d in every if d.validation is not None or d.test is not None]
    known = {d.name for d in judged}
    judged.sort(key=lambda d: -(d.test or 0.0 if d.validation is None else d.validation))
    return LabelScores(judged, [name for name in names if name not in known])


def readable(name: str) -> str:
    """``Pleural_Thickening`` as ``Pleural Thickening``."""
    return name.replace("_", " ")


def named(names: Sequence[str], most: int = 20) -> str:
    """``names`` as people read them, the first ``most`` of them, and how many more there are."""
    return some_names([readable(name) for name in names], most)


def shown_in_figure(numbers: LabelScores) -> list[LabelScore]:
    """The judged labels, the best first; of very many those with the most positives."""
    surest = sorted(numbers.judged, key=lambda d: -(d.positives or 0))[:LABELS_DRAWN]
    kept = {d.name for d in surest}
    return [d for d in numbers.judged if d.name in kept]


def labels_figure(numbers: LabelScores) -> go.Figure:
    """A dot and its interval for each label; the line at 0.5 is guessing."""
    shown = shown_in_figure(numbers)[::-1]
    fig = figure(110 + 34 * len(shown))
    parts = [("validation", STYLES["complete"].colour, 0.0, "circle")]
    if any(d.test is not None for d in shown):
        parts = [
            ("validation (selected)", STYLES["complete"].colour, 0.14, "circle"),
            ("test", TEST, -0.14, "diamond"),
        ]
    for name, colour, shift, symbol in parts:
        _add_scores(fig, shown, name, colour, shift, symbol)
    fig.add_vline(x=0.5, line={"width": 1, "dash": "dot"}, opacity=0.6)
    fig.add_annotation(
        x=0.5, y=1, yref="paper", yanchor="bottom", text="guessing", showarrow=False,
        font={"size": 11},
    )  # fmt: skip
    fig.update_layout(
        margin={"l": 20, "r": 20, "t": 46, "b": 46},
        legend={"x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
    )
    fig.update_xaxes(title_text="AUROC")
    fig.update_yaxes(
        tickvals=list(range(len(shown))),
        ticktext=[text(readable(d.name)) for d in shown],
        range=[-0.6, len(shown) - 0.4],
        automargin=True,
        zeroline=False,
    )
    return fig


def _add_scores(
    fig: go.Figure, shown: Sequence[LabelScore], name: str, colour: str, shift: float, symbol: str
) -> None:
    test = name == "test"
    points = []
    for i, d in enumerate(shown):
        found = d.test if test else d.validation
        if found is not None:
            points.append((i, d, found, d.test_interval if test else d.interval))
    fig.add_scatter(
        x=[value for _, _, value, _ in points],
        y=[i + shift for i, _, _, _ in points],
        name=name,
        mode="markers",
        marker={"color": colour, "size": 9, "symbol": symbol},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [interval[1] - value if interval else 0 for _, _, value, interval in points],
            "arrayminus": [
                value - interval[0] if interval else 0 for _, _, value, interval in points
            ],
            "color": colour,
            "thickness": 1.6,
            "width": 3,
        },
        text=[
            f"{text(readable(d.name))}, {name}: {score(value, interval)}"
            + (f"<br>{d.positives} positives in validation" if d.positives and not test else "")
            for _, d, value, interval in points
        ],
        hovertemplate="%{text}<extra></extra>",
    )


def sections(view: StudyView, now: float) -> list[Section]:
    """The best trial's scores, on the test part too where it was evaluated."""
    look = (view.looks_at(None if view.best is None else view.best.number) or (None,))[-1]
    found = label_scores(view.best, look, view.counts.get("val"), view.labels)
    values = {"scores": found, "readable": readable, "score": score}
    return [
        Section("labels", "Labels", "AUROC by label", [_panel(found)],
                macro="scores_table", values=values)
    ]  # fmt: skip


def _panel(numbers: LabelScores) -> Panel:
    if not numbers.judged:
        return Panel("", sentence="No complete trial has scores by label yet.")
    missing = ""
    if numbers.not_judged:
        missing = f" Not judged, for want of positives or negatives: {named(numbers.not_judged)}."
    few = ""
    if len(numbers.judged) > LABELS_DRAWN:
        few = (
            f" Drawn are the {LABELS_DRAWN} of {len(numbers.judged)} labels that have the most "
            "positives; the table has them all."
        )
    return Panel(
        "",
        labels_figure(numbers),
        caption=f"The best trial, with 95% intervals over patients.{few}{missing}",
    )
