"""Figures of the Pareto front."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from cxrsearch.objectives import MEASURES, Measure
from cxrsearch.show.rows import Row
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import BEST_COLOUR, QUIET, counted, faded, figure, hover
from cxrsearch.show.view import StudyView

from .front import Front, field, front, label, volumes


def axis(name: str) -> dict[str, object]:
    """Plotly's settings of an objective's axis."""
    measure: Measure | None = MEASURES.get(name)
    log = {"type": "log", "dtick": "D2"} if measure and measure.log else {}
    return {"title_text": label(name), **log}


def front_figure(numbers: Front, across: str) -> go.Figure:
    """The first objective over the objective ``across``; the front stands out, joined by steps."""
    fig = figure(460)
    first = next(iter(numbers.goals))
    for rows, name, colour, size in (
        (numbers.off, "dominated", faded(QUIET, 0.6), 8),
        (numbers.on, "Pareto front", BEST_COLOUR, 12),
    ):
        if rows:
            fig.add_scatter(
                x=[r.objectives[across] for r in rows],
                y=[r.objectives[first] for r in rows],
                text=[hover(r) for r in rows],
                name=name,
                mode="markers",
                marker={"color": colour, "size": size},
                hovertemplate="%{text}<extra></extra>",
            )
    if len(numbers.goals) == 2:
        steps = staircase(numbers, across)
        fig.add_scatter(
            x=[r.objectives[across] for r in steps],
            y=[r.objectives[first] for r in steps],
            name="reached so far",
            mode="lines",
            line={"shape": "hv", "width": 1.5, "dash": "dot", "color": BEST_COLOUR},
            hoverinfo="skip",
        )
    _name_ends(fig, numbers, first, across)
    fig.update_xaxes(**axis(across))
    fig.update_yaxes(**axis(first))
    return fig


def staircase(numbers: Front, across: str) -> list[Row]:
    """The front from the best value of the objective ``across`` to its worst.

    Joined by steps (first along, then up) it parts what is dominated from what is not.
    """
    up = numbers.goals[across] == "maximize"
    return sorted(numbers.on, key=lambda r: r.objectives[across], reverse=up)


def _name_ends(fig: go.Figure, numbers: Front, first: str, across: str) -> None:
    """Name the trials at the ends of the front; those between are in the hover texts."""
    log = across in MEASURES and MEASURES[across].log
    for row in dict.fromkeys([numbers.on[0].number, numbers.on[-1].number]):
        item = next(r for r in numbers.on if r.number == row)
        x = item.objectives[across]
        fig.add_annotation(
            x=math.log10(x) if log and x > 0 else x, y=item.objectives[first],
            text=f"#{item.number}", showarrow=False, yshift=17, font={"size": 11},
        )  # fmt: skip


def volume_figure(numbers: Front) -> go.Figure:
    """The share of the field that is dominated, by trial; see `volumes`."""
    complete = [*numbers.on, *numbers.off]
    course = volumes(complete, numbers.goals, field(complete, numbers.goals))
    fig = figure(340, showlegend=False)
    on = {r.number for r in numbers.on}
    xs, ys = [n for n, _ in course], [v for _, v in course]
    fig.add_scatter(
        x=xs, y=ys, mode="lines", line={"shape": "hv", "color": BEST_COLOUR, "width": 2.5},
        hoverinfo="skip",
    )  # fmt: skip
    marks = [(n, v) for n, v in course if n in on]
    fig.add_scatter(
        x=[n for n, _ in marks], y=[v for _, v in marks], mode="markers",
        marker={"color": BEST_COLOUR, "size": 9},
        text=[f"trial {n}, on the front: {v:.3f}" for n, v in marks],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    fig.update_xaxes(title_text="trial", rangemode="tozero", **counted(xs))
    fig.update_yaxes(title_text="hypervolume", range=[0, 1.02])
    return fig


def sections(view: StudyView, now: float) -> list[Section]:
    """The Pareto front, where there are several objectives."""
    if len(view.goals) < 2:
        return []
    numbers = front(view.rows, view.goals)
    panels = [Panel("", sentence="No trial is complete yet, so there is no front.")]
    if numbers.on:
        count, total = len(numbers.on), len(numbers.on) + len(numbers.off)
        caption = (
            f"{count} of {total} complete trials {'is' if count == 1 else 'are'} on the front: "
            "none is as good in every objective and better in one. Validation only, so its upper "
            "end flatters. Trials that were stopped early are not shown."
        )
        panels = [
            Panel(label(across), front_figure(numbers, across), caption=caption)
            for across in list(view.goals)[1:]
        ]
        panels.append(
            Panel(
                "hypervolume",
                volume_figure(numbers),
                caption="The share that the trials so far dominate of the box between the worst "
                "and the best value of each objective (time and size on a log scale). The dots are "
                "the trials on the front.",
            )
        )
    lead = "; ".join(f"{label(n)}: {MEASURES[n].meaning}" for n in view.goals if n in MEASURES)
    return [Section("front", "Front", "Pareto front", panels, f"{lead}.")]
