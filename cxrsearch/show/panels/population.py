"""How the population improves and how alike its members become, by generation."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import plotly.graph_objects as go
from optuna.trial import FrozenTrial
from plotly.subplots import make_subplots

from cxrsearch.show.rows import Row
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import BEST_COLOUR, QUIET, STYLES, figure, hover
from cxrsearch.show.view import StudyView
from search.genetic.lineage import diversity

from .genes import searched

VALUED_STATES = ("complete", "pruned", "paused")
MOST_MEASURED = 100
"""Trials whose distances are measured, at most: the cost grows with the square."""


class GenerationSpread(NamedTuple):
    """One generation: its trials with a value, and how far apart they lie.

    ``diversity`` is the mean distance of two of its trials, ``kept`` that of the best
    trials of all generations so far (as many as a generation holds): 0 where all are
    equal, 1 where every gene differs by its whole range. None for fewer than two trials.
    """

    number: int
    rows: list[Row]
    median: float | None
    best: float | None
    diversity: float | None
    kept: float | None


def generations(
    rows: Sequence[Row], trials: Sequence[FrozenTrial], size: int
) -> list[GenerationSpread]:
    """The generations with at least one trial that has a value, in order.

    ``rows`` and ``trials`` are of the same study, ``size`` is its population.
    """
    genes, by_number = searched(trials), {t.number: t for t in trials}
    members: dict[int, list[Row]] = {}
    for item in rows:
        members.setdefault(item.generation, []).append(item)
    found, so_far = [], []
    for generation, group in sorted(members.items()):
        valued = [r for r in group if r.value is not None and r.state in VALUED_STATES]
        so_far += [r for r in valued if r.state == "complete"]
        if not valued:
            continue
        kept = sorted(so_far, key=lambda r: -(r.value or 0.0))[:size]
        values = [r.value or 0.0 for r in valued]
        found.append(
            GenerationSpread(
                generation,
                valued,
                median(values),
                max((r.value or 0.0 for r in valued if r.state == "complete"), default=None),
                *(
                    diversity(
                        [by_number[r.number] for r in some[:MOST_MEASURED] if r.params], genes
                    )
                    for some in (group, kept)
                ),
            )
        )
    return found


def population_figure(numbers: Sequence[GenerationSpread]) -> go.Figure:
    """Values by generation above, diversity below."""
    fig = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08,
                        row_heights=[0.64, 0.36], figure=figure(560))  # fmt: skip
    for state in VALUED_STATES:
        dots = [
            (g.number + 0.5 * ((i + 0.5) / len(g.rows) - 0.5), r)
            for g in numbers
            for i, r in enumerate(g.rows)
            if r.state == state
        ]
        if dots:
            fig.add_scatter(
                row=1, col=1, name=state, mode="markers",
                x=[x for x, _ in dots], y=[r.value for _, r in dots],
                marker={
                    "color": STYLES[state].colour, "symbol": STYLES[state].symbol, "size": 8,
                    "opacity": 0.75,
                },
                text=[hover(r) for _, r in dots], hovertemplate="%{text}<extra></extra>",
            )  # fmt: skip
    xs = [g.number for g in numbers]
    _line(fig, 1, xs, [g.median for g in numbers], "median", QUIET, "dash")
    _line(fig, 1, xs, [g.best for g in numbers], "best of the generation", BEST_COLOUR, "solid")
    _line(fig, 2, xs, [g.diversity for g in numbers], "diversity: its trials", QUIET, "dash")
    kept = STYLES["running"].colour
    _line(fig, 2, xs, [g.kept for g in numbers], "diversity: the best so far", kept, "solid")
    step = max(1, (len(xs) + 14) // 15)
    fig.update_xaxes(tickformat="d", dtick=step)
    fig.update_xaxes(title_text="generation", row=2, col=1)
    fig.update_yaxes(title_text="mean AUROC", row=1, col=1)
    fig.update_yaxes(title_text="mean distance", rangemode="tozero", row=2, col=1)
    return fig


def _line(
    fig: go.Figure,
    row: int,
    xs: Sequence[int],
    ys: Sequence[float | None],
    name: str,
    colour: str,
    dash: str,
) -> None:
    fig.add_scatter(
        row=row, col=1, x=list(xs), y=list(ys), name=name, mode="lines+markers",
        line={"color": colour, "width": 2, "dash": dash}, marker={"size": 5, "color": colour},
        connectgaps=True, hovertemplate=f"generation %{{x}}: %{{y:.3f}}<extra>{name}</extra>",
    )  # fmt: skip


def sections(view: StudyView, now: float) -> list[Section]:
    """How a population settles."""
    return [Section("population", "Population", "Population by generation", [_panel(view)])]


def _panel(view: StudyView) -> Panel:
    found = generations(view.rows, view.trials, view.record.config.population)
    if not found:
        return Panel("", sentence="No trial has a value yet.")
    return Panel(
        "",
        population_figure(found),
        caption="Diversity is the mean distance of two trials, each gene counted in [0, 1]: 0 "
        "where all are alike. It falls as the search settles.",
    )
