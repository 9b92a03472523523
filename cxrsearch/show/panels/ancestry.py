"""The winner's lineage: who descends from whom, and what each step changed and gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go
from optuna.trial import FrozenTrial

from cxrsearch.show.rows import Row, best_row
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import (
    BEST_COLOUR,
    QUIET,
    STYLES,
    counted,
    faded,
    figure,
    hover,
    score,
    show,
    text,
)
from cxrsearch.show.view import StudyView
from search.genetic import lineage
from search.genetic.lineage import Ancestor, OperatorCount


class Change(NamedTuple):
    """One gene's value before and after; None where it was inactive."""

    gene: str
    old: Any
    new: Any


class Descent(NamedTuple):
    """One trial on the main line, and how it differs from its predecessor there.

    ``gained`` is the difference of their values; None for the founder.
    """

    row: Row
    parents: tuple[int, ...]
    changes: list[Change]
    gained: float | None


class Ancestry(NamedTuple):
    """The winner's main line (founder first), all its ancestors, and their edges.

    The main line follows, from each trial, the parent that it resembles most. ``edges``
    are (parent, child) numbers among winner and ancestors. ``operators`` says what each
    operator brought in the whole search.
    """

    line: list[Descent]
    ancestors: list[Row]
    edges: list[tuple[int, int]]
    others: list[Row]
    operators: list[OperatorCount]


def ancestry(rows: Sequence[Row], trials: Sequence[FrozenTrial]) -> Ancestry:
    """The lineage of the best complete trial; empty where there is none.

    ``rows`` and ``trials`` are of the same study.
    """
    best = best_row(rows)
    if best is None:
        return Ancestry([], [], [], [], [])
    known = {r.number: r for r in rows}
    family = lineage.ancestors(trials, best.number)
    members = {a.number for a in family}
    chain = lineage.line(trials, best.number)
    steps = [
        _descent(entry, known, before) for before, entry in zip([None, *chain], chain, strict=False)
    ]
    return Ancestry(
        steps,
        [known[a.number] for a in family],
        [(parent, a.number) for a in family for parent in a.parents],
        [r for r in rows if r.number not in members and r.value is not None],
        lineage.operators(trials),
    )


def _descent(entry: Ancestor, known: Mapping[int, Row], before: Ancestor | None) -> Descent:
    row = known[entry.number]
    if before is None:
        return Descent(row, entry.parents, [], None)
    old = known[before.number].value
    gained = None if row.value is None or old is None else row.value - old
    changes = [Change(gene, *pair) for gene, pair in entry.changed.items()]
    return Descent(row, entry.parents, changes, gained)


def change_text(change: Change) -> str:
    """``lr 0.001 → 0.0004``, with n/a where the gene was inactive."""
    old, new = ("n/a" if v is None else show(v, 3) for v in (change.old, change.new))
    return f"{change.gene} {old} → {new}"


def ancestry_figure(numbers: Ancestry) -> go.Figure:
    """Trials by number and value; the winner's ancestors stand out, its main line is bold."""
    fig = figure(440)
    known = {r.number: r for r in numbers.ancestors}
    xs: list[float | None] = []
    ys: list[float | None] = []
    for parent, child in numbers.edges:
        xs += [parent, child, None]
        ys += [known[parent].value, known[child].value, None]
    _dots(
        fig,
        numbers.others,
        "other trials",
        faded(QUIET, 0.45),
        6,
        [hover(r) for r in numbers.others],
    )
    fig.add_scatter(
        x=xs, y=ys, mode="lines", name="descent", hoverinfo="skip",
        line={"width": 1.2, "color": faded(STYLES["complete"].colour, 0.55)},
    )  # fmt: skip
    main = {step.row.number for step in numbers.line}
    aside = [r for r in numbers.ancestors if r.number not in main]
    _dots(fig, aside, "ancestors", STYLES["complete"].colour, 9, [hover(r) for r in aside])
    fig.add_scatter(
        x=[step.row.number for step in numbers.line],
        y=[step.row.value for step in numbers.line],
        text=[_hover(step) for step in numbers.line],
        mode="lines+markers",
        name="main line",
        line={"color": BEST_COLOUR, "width": 2.5},
        marker={"size": 11, "color": BEST_COLOUR},
        hovertemplate="%{text}<extra></extra>",
    )
    for step in numbers.line:
        fig.add_annotation(
            x=step.row.number, y=step.row.value, text=f"#{step.row.number}", showarrow=False,
            yshift=15, font={"size": 11},
        )  # fmt: skip
    shown = [*numbers.others, *numbers.ancestors]
    fig.update_xaxes(title_text="trial", **counted(r.number for r in shown))
    fig.update_yaxes(title_text="mean AUROC (validation)")
    return fig


def _hover(step: Descent) -> str:
    changes = [text(change_text(change)) for change in step.changes]
    return "<br>".join([hover(step.row, most=0 if changes else 8), *changes])


def _dots(
    fig: go.Figure, rows: Sequence[Row], name: str, colour: str, size: int, texts: list[str]
) -> None:
    if rows:
        fig.add_scatter(
            x=[r.number for r in rows], y=[r.value for r in rows], text=texts, name=name,
            mode="markers", marker={"size": size, "color": colour},
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip


def sections(view: StudyView, now: float) -> list[Section]:
    """From founder to winner."""
    found = ancestry(view.rows, view.trials)
    values = {"lineage": found, "change_text": change_text, "score": score}
    return [
        Section("lineage", "Lineage", "Lineage of the winner", [_panel(found)],
                macro="steps", values=values)
    ]  # fmt: skip


def _panel(numbers: Ancestry) -> Panel:
    if not numbers.line:
        return Panel("", sentence="No trial is complete yet, so there is no winner.")
    if len(numbers.line) == 1:
        origin = numbers.line[0].row.origin or "drawn without parents"
        return Panel(
            "",
            sentence=f"The best trial, {numbers.line[0].row.number}, has no recorded parents "
            f"({origin}).",
        )
    return Panel("", ancestry_figure(numbers))
