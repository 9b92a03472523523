"""How the population improves and how alike its members become, by generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean, median
from typing import Any, NamedTuple

import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, CategoricalDistribution
from plotly.subplots import make_subplots

from .genes import share
from .rows import Row
from .theme import BEST, QUIET, STYLES, figure, hover

STATES = ("complete", "pruned")


class Generation(NamedTuple):
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


def distance(a: Row, b: Row, genes: Mapping[str, BaseDistribution]) -> float:
    """Mean over genes of how far apart two trials lie, each gene in [0, 1].

    Numbers: the share of the (logarithmic) range between them. Choices: 0 or 1. A gene
    active in one of the two only: 1. In neither: the gene is not counted.
    """
    parts = [
        _apart(d, a.params[name], b.params[name]) if name in a.params and name in b.params else 1.0
        for name, d in genes.items()
        if name in a.params or name in b.params
    ]
    return fmean(parts) if parts else 0.0


def _apart(distribution: BaseDistribution, first: Any, second: Any) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return float(first != second)
    numeric: Any = distribution
    low, high, log = float(numeric.low), float(numeric.high), bool(numeric.log)
    return abs(share(float(first), low, high, log) - share(float(second), low, high, log))


def diversity(
    rows: Sequence[Row], genes: Mapping[str, BaseDistribution], most: int = 60
) -> float | None:
    """Mean distance over all pairs of ``rows``; of an even selection beyond ``most``."""
    if len(rows) > most:
        rows = [rows[i * len(rows) // most] for i in range(most)]
    pairs = list(combinations(rows, 2))
    return fmean(distance(a, b, genes) for a, b in pairs) if pairs else None


def generations(
    rows: Sequence[Row], genes: Mapping[str, BaseDistribution], size: int | None = None
) -> list[Generation]:
    """The generations with at least one trial that has a value, in order.

    ``size`` is the population; by default that of the largest generation.
    """
    members: dict[int, list[Row]] = {}
    for item in rows:
        members.setdefault(item.generation, []).append(item)
    size = size or max((len(group) for group in members.values()), default=0)
    found, so_far = [], []
    for generation, group in sorted(members.items()):
        valued = [r for r in group if r.value is not None and r.state in STATES]
        so_far += [r for r in valued if r.state == "complete"]
        kept = sorted(so_far, key=lambda r: -(r.value or 0.0))[:size]
        if not valued:
            continue
        values = [r.value or 0.0 for r in valued]
        found.append(
            Generation(
                generation,
                valued,
                median(values),
                max((r.value or 0.0 for r in valued if r.state == "complete"), default=None),
                diversity([r for r in group if r.params], genes),
                diversity(kept, genes),
            )
        )
    return found


def population_figure(numbers: Sequence[Generation]) -> go.Figure:
    """Values by generation above, diversity below."""
    fig = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08,
                        row_heights=[0.64, 0.36], figure=figure(560))  # fmt: skip
    for state in STATES:
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
    _line(fig, 1, xs, [g.best for g in numbers], "best of the generation", BEST, "solid")
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
