"""Draw ratios beside the exposures that they led to and the AUROC by label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from cxrsearch.data.diseases import NO_FINDING
from cxrsearch.data.labels.names import gene_part
from cxrsearch.show.rows import Row, number
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import BEST_COLOUR, QUIET, STYLES, faded, figure, score, show, text
from cxrsearch.show.view import StudyView

from .labels import LABELS_DRAWN, readable

RATIO_GENE = "ratio_"
MOST_DOTS = 8
"""Trials drawn at most: more dots in a line cannot be told apart."""


class Drawn(NamedTuple):
    """One label in one trial; None where it is not known (no finding has no AUROC)."""

    name: str
    ratio: float
    exposure: float | None
    auroc: float | None


class Ratios(NamedTuple):
    """The best complete trials, the best first, each with all labels in the order of ``names``.

    ``names`` are the rarest in the training part first; ``prevalence`` is their share of its
    images, empty where nobody counted; ``complete`` is how many trials the best were among;
    ``labels`` how many there are, "no finding" among them, where ``names`` are fewer.
    """

    names: list[str]
    trials: list[tuple[Row, list[Drawn]]]
    prevalence: dict[str, float]
    complete: int
    labels: int


def ratios(
    rows: Sequence[Row], counts: Mapping[str, int] | None = None, labels: Sequence[str] = ()
) -> Ratios | None:
    """The draw ratios of the best complete trials; None where no ratio was searched or fixed.

    Of very many labels those whose ratio in the best trial is farthest from 1.

    Args:
        rows: the trials.
        counts: the training part's images by label, and ``images`` in all.
        labels: of the data.
    """
    if not any(gene.startswith(RATIO_GENE) for r in rows for gene in (*r.params, *r.settings)):
        return None
    complete = sorted(
        (r for r in rows if r.worth), key=lambda r: (*(-w for w in r.worth), r.number)
    )
    counts = counts or {}
    total = counts.get("images") or 0
    every = [*labels, NO_FINDING]
    prevalence = {name: counts[name] / total for name in every if total and name in counts}
    if complete:
        best = complete[0]
        every.sort(key=lambda name: -abs(math.log(_drawn(best, name).ratio)))
    names = sorted(every[:LABELS_DRAWN], key=lambda name: prevalence.get(name, 0.0))
    trials = [(r, [_drawn(r, name) for name in names]) for r in complete[:MOST_DOTS]]
    return Ratios(names, trials, prevalence, len(complete), len(every))


def _drawn(row: Row, name: str) -> Drawn:
    given = gene(row, RATIO_GENE + gene_part(name))
    return Drawn(
        name, given if given and given > 0 else 1.0, row.exposure.get(name), row.auroc.get(name)
    )


def gene(row: Row, name: str) -> float | None:
    """A gene's number in a trial, whether it was searched or fixed; None where it has none."""
    found: Any = row.params.get(name, row.settings.get(name))
    return number(found)


def ratios_figure(numbers: Ratios) -> go.Figure:
    """Three panels with one line a label: ratio, exposure, AUROC. The best trial stands out."""
    fig = figure(130 + 30 * len(numbers.names))
    names = [text(readable(name)) for name in numbers.names]
    if numbers.prevalence:
        shares = [numbers.prevalence.get(name) or None for name in numbers.names]
        fig.add_scatter(
            x=shares, y=names, xaxis="x2", mode="markers", name="in the training part",
            marker={"symbol": "line-ns-open", "size": 16, "color": QUIET, "line": {"width": 3}},
            hovertemplate="%{y}: %{x:.2%} of the training part<extra></extra>",
        )  # fmt: skip
    for place, (row, drawn) in reversed(list(enumerate(numbers.trials))):
        _add_trial(fig, row, drawn, names, place, len(numbers.trials))
    fig.add_vline(x=1, line={"width": 1, "dash": "dot"}, opacity=0.6)
    fig.add_shape(type="line", xref="x3", yref="paper", x0=0.5, x1=0.5, y0=0, y1=1, opacity=0.6,
                  line={"width": 1, "dash": "dot"})  # fmt: skip
    fig.update_layout(
        margin={"l": 20, "r": 20, "t": 46, "b": 46},
        xaxis={
            "domain": [0, 0.31], "type": "log", "title_text": "ratio", "tickmode": "array",
            **_halvings([d.ratio for _, drawn in numbers.trials for d in drawn]),
        },
        xaxis2={
            "domain": [0.345, 0.655], "type": "log", "tickformat": "~%", "anchor": "y",
            "title_text": "share of the images drawn", "dtick": 1, "minor": {"dtick": "D1"},
            **_room(numbers),
        },
        xaxis3={"domain": [0.69, 1], "title_text": "AUROC (validation)", "anchor": "y"},
    )  # fmt: skip
    fig.update_yaxes(automargin=True, type="category", categoryorder="array", categoryarray=names)
    return fig


def _halvings(values: Sequence[float]) -> dict[str, Any]:
    """Ticks at 1 and its halves and doubles, as far as ``values`` go."""
    found = [v for v in values if v > 0] or [1.0]
    low, high = math.floor(math.log2(min(found))), math.ceil(math.log2(max(found)))
    step = max(1, math.ceil((high - low) / 8))
    ticks = [2.0**k for k in range(low - low % step, high + 1, step)]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _room(numbers: Ratios) -> dict[str, Any]:
    """Closer ticks of the shares where they span less than two decades."""
    drawn = [d.exposure for _, trial in numbers.trials for d in trial if d.exposure]
    shares = [*drawn, *(share for share in numbers.prevalence.values() if share)]
    near = shares and max(shares) / min(shares) < 40
    return {"dtick": "D2"} if near else {}


def _add_trial(
    fig: go.Figure, row: Row, drawn: Sequence[Drawn], names: Sequence[str], place: int, of: int
) -> None:
    """One trial's dots in all three panels; ``place`` 0 is the best of ``of``."""
    best = place == 0
    other = "the next best" if of > 2 else "the next"
    columns = (
        ("x", "ratio", [d.ratio for d in drawn]),
        ("x2", "share drawn", [d.exposure or None for d in drawn]),
        ("x3", "AUROC", [d.auroc for d in drawn]),
    )
    for axis, what, values in columns:
        fig.add_scatter(
            x=values,
            y=list(names),
            xaxis=axis,
            mode="markers",
            name=f"trial {row.number}, the best" if best else other,
            legendgroup="best" if best else "others",
            showlegend=axis == "x" and place < 2,
            marker={
                "size": 11 if best else 7,
                "color": BEST_COLOUR if best else faded(STYLES["complete"].colour, 0.55),
            },
            text=[
                f"trial {row.number} ({score(row.value)}), {text(readable(d.name))}<br>{what} "
                f"{show(value, 3)}"
                for d, value in zip(drawn, values, strict=True)
            ],
            hovertemplate="%{text}<extra></extra>",
        )


def sections(view: StudyView, now: float) -> list[Section]:
    """Draw ratios and what they led to, where there are some."""
    found = ratios(view.rows, view.counts.get("train"), view.labels)
    if found is None:
        return []
    if not found.trials:
        panel = Panel("", sentence="No trial is complete yet, so no ratio has led to anything.")
    else:
        panel = Panel("", ratios_figure(found), caption=_about_ratios(found), wide=760)
    return [Section("ratios", "Ratios", "Draw ratios, and what they led to", [panel])]


def _about_ratios(found: Ratios) -> str:
    best, few = found.trials[0][0], len(found.trials)
    shown = f"The best {few} of {found.complete} complete trials. " * (few < found.complete)
    seed, balance = gene(best, "train_seed"), gene(best, "balance")
    limits = "An epoch drew every image, so ratios said nothing. "
    if seed is not None and 0 < seed < 1:
        limits = (
            f"An epoch of the best trial drew {seed:.0%} of the images without replacement: no "
            f"label is shown more than {1 / seed:.3g} times as often as it occurs. "
        )
    on_top = "" if balance is None else f", on top of balance ({balance:.2f} in the best trial)"
    drawn = ""
    if found.labels > len(found.names):
        drawn = (
            f"Drawn are the {len(found.names)} of {found.labels} whose ratio in the best trial is "
            "farthest from 1. "
        )
    return (
        f"{shown}{drawn}Only how ratios compare with one another counts{on_top}. {limits}"
        "Labels come together in one image, so drawing one more often draws its companions too. "
        "AUROC by label rests on few positives: see the intervals above before reading a pattern "
        "into it."
    )
