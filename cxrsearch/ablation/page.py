"""The page of a verdict: forest plot, seeds, labels, compute."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from cxrsearch.show.clock import duration
from cxrsearch.show.notes import moment
from cxrsearch.show.page import render, write_page
from cxrsearch.show.panels.labels import LABELS_DRAWN, named, readable
from cxrsearch.show.rows import mapping
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import QUIET, STYLES, figure, score, text
from search.errors import SearchError
from search.reading import FileError, read_json

from . import words
from .words import ArmVerdict, arms_of

FILE = "verdict.json"
VERDICT_COLOURS = {
    "helped": STYLES["running"].colour, "hurt": STYLES["failed"].colour, "unclear": QUIET,
}  # fmt: skip
SAID = {
    "helped": "better", "hurt": "worse", "unclear": "not shown", "baseline": "baseline",
    "failed": "not judged",
}  # fmt: skip


def read_verdict(study: Path) -> dict[str, Any]:
    """The verdict in the folder ``study``.

    Raises:
        SearchError: where there is none, or it cannot be read.
    """
    path = study / FILE
    try:
        found = read_json(path, "the verdict")
    except FileNotFoundError:
        raise SearchError(
            f"{study}: no verdict yet; `cxrsearch ablate --study {study}` goes on"
        ) from None
    except FileError as error:
        raise FileError([f"{p}, or delete it to judge again" for p in error.problems]) from None
    if not isinstance(found, dict) or not isinstance(found.get("arms"), list):
        raise SearchError(f"{path}: no verdict; delete it to judge again")
    return found


def verdict_page(study: Path, out: Path) -> Path:
    """Write the verdict of ``study`` as one HTML page that works offline.

    Raises:
        SearchError: where there is none.
    """
    return write_page(out, verdict_html(read_verdict(study), study.resolve().name, time.time()))


def verdict_text(study: Path) -> str:
    """The verdict of ``study`` for a terminal.

    Raises:
        SearchError: where there is none.
    """
    verdict = read_verdict(study)
    width = max(len(arm.title) for arm in arms_of(verdict))
    lines = [
        f"  {arm.title:<{width}}  test {score(arm.test, arm.interval)}"
        + (
            ""
            if arm.answer in ("baseline", "failed")
            else f"  {words.shown(arm)}  {SAID[arm.answer]}"
        )
        for arm in arms_of(verdict)
    ]
    return "\n".join([words.title(verdict), *words.conclusion(verdict), *lines])


def verdict_html(verdict: Mapping[str, Any], name: str, now: float) -> str:
    """The page's text. ``now``: seconds since 1970."""
    arms = arms_of(verdict)
    return render(
        "verdict.html",
        folder=Path(__file__).parent,
        title=words.title(verdict),
        name=name,
        conclusion=words.conclusion(verdict),
        equal=words.equal(verdict),
        limits=words.limits(verdict),
        sections=_sections(arms),
        columns=VERDICT_COLUMNS,
        table=[_cells(arm) for arm in arms],
        facts=facts(verdict),
        notes=sorted({note for arm in arms for note in arm.notes}),
        written=moment(now),
    )


VERDICT_COLUMNS = ("arm", "verdict", "difference", "test", "validation (selected)",
           "image-steps", "time a cell", "cells")  # fmt: skip


def _cells(arm: ArmVerdict) -> tuple[str, list[str], str]:
    """Title, cells and hint of an arm's line in the table."""
    base = arm.answer in ("baseline", "failed")
    cells = [
        SAID.get(arm.answer, arm.answer),
        "–" if base else words.shown(arm),
        score(arm.test, arm.interval),
        score(arm.validation),
        "–" if arm.image_steps is None else f"{arm.image_steps:,.0f}",
        "–" if arm.seconds is None else duration(arm.seconds),
        f"{arm.cells}" + (f", {len(arm.failed)} failed" if arm.failed else ""),
    ]
    return arm.title, cells, arm.sentence


def facts(verdict: Mapping[str, Any]) -> dict[str, str]:
    """What was judged on what, as pairs."""
    test = mapping(verdict.get("test"))
    return {
        "data": str(verdict.get("data")),
        "test part": f"{test.get('images')} images of {test.get('patients')} patients",
        "seeds": str(verdict.get("seeds")),
        "labels in the mean": named([str(d) for d in verdict.get("diseases") or ()]),
        "intervals": f"95%, {verdict.get('resamples')} resamples of patients and seeds, paired; "
        "the joint ones hold for all arms together (max-t)",
        "looks at the test part": f"{verdict.get('looks')} (one an arm)",
        "split": str(verdict.get("split")),
        "judged": str(verdict.get("written")),
    }


def _sections(arms: Sequence[ArmVerdict]) -> list[Section]:
    judged = [arm for arm in arms if arm.difference is not None]
    others = [arm for arm in judged if arm.answer != "baseline"]
    if not others:
        nothing = [Panel("", sentence="No arm beside the baseline could be judged.")]
        return [Section("forest", "Verdict", "Differences to the baseline", nothing)]
    joint = (
        "Mean AUROC on the test part minus the baseline's. Thick: the arm's own 95% interval. "
        "Thin: the interval that holds for all arms together, by which an arm is called better or "
        "worse."
    )
    few = ""
    if (count := len({name for arm in others for name in arm.labels})) > LABELS_DRAWN:
        few = f" The {LABELS_DRAWN} of {count} labels with the largest differences."
    labels = f"Difference to the baseline by label, in hundredths of AUROC.{few} {_bold(others)}"
    return [
        Section("forest", "Verdict", "Differences to the baseline",
                [Panel("", forest_figure(others), caption=joint)]),
        Section("seeds", "Seeds", "Each seed",
                [Panel("", seeds_figure(judged), caption="Mean AUROC on the test part of each "
                       "training; the line is the baseline's mean over seeds.")]),
        Section("labels", "Labels", "By label",
                [Panel("", labels_figure(others), caption=labels, wide=_width(others))]),
    ]  # fmt: skip


def _bold(arms: Sequence[ArmVerdict]) -> str:
    """What bold print in the table of labels says."""
    bold = (
        "Bold: the cell's own 95% interval lies beside 0. With so many cells one in twenty does so "
        "by chance."
    )
    if all(arm.comparable for arm in arms):
        return bold
    why = "has only one seed beside the baseline, or too few test patients"
    if not any(arm.comparable for arm in arms):
        return f"No cell is bold: each arm {why}, so no difference can be shown."
    names = ", ".join(arm.title for arm in arms if not arm.comparable)
    return f"{bold} Never bold, as it {why}: {names}."


def forest_figure(arms: Sequence[ArmVerdict]) -> go.Figure:
    """A dot and two intervals for each arm, the largest difference on top."""
    shown = [arm for arm in arms if arm.difference is not None][::-1]
    fig = figure(110 + 38 * len(shown), showlegend=False)
    for row, arm in enumerate(shown):
        assert arm.difference is not None
        colour = VERDICT_COLOURS.get(arm.answer, QUIET)
        for ends, width in ((arm.joint, 1.4), (arm.own, 5)):
            if ends is not None:
                fig.add_scatter(
                    x=list(ends), y=[row, row], mode="lines", hoverinfo="skip",
                    line={"color": colour, "width": width},
                )  # fmt: skip
        said = SAID.get(arm.answer, arm.answer)
        fig.add_scatter(
            x=[arm.difference], y=[row], mode="markers",
            marker={"size": 11, "color": colour, "line": {"width": 1.5, "color": "#fff"}},
            text=[f"<b>{text(arm.title)}</b> · {said}<br>{text(words.shown(arm))} for all together"
                  f"<br>{text(words.shown(arm, joint=False))} alone<br>{text(arm.sentence)}"],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    fig.add_vline(x=0, line={"width": 1.2, "dash": "dot"}, opacity=0.7)
    seen = [0.0, *(x for trace in fig.data for x in trace.x)]
    edge = 0.05 * (max(seen) - min(seen)) or 0.01
    fig.update_xaxes(
        title_text="difference in mean AUROC (test)", range=[min(seen) - edge, max(seen) + edge]
    )
    _name_rows(fig, shown)
    return fig


def seeds_figure(arms: Sequence[ArmVerdict]) -> go.Figure:
    """A dot for each training of each arm."""
    shown = list(arms)[::-1]
    fig = figure(110 + 30 * len(shown), showlegend=False)
    for row, arm in enumerate(shown):
        base = arm.answer == "baseline"
        fig.add_scatter(
            x=list(arm.by_seed), y=[row] * len(arm.by_seed), mode="markers",
            marker={"size": 8, "opacity": 0.75,
                    "color": STYLES["complete"].colour if base
                    else VERDICT_COLOURS.get(arm.answer, QUIET)},
            text=[f"{text(arm.title)}: {value:.3f}" for value in arm.by_seed],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
        if base and arm.test is not None:
            fig.add_vline(x=arm.test, line={"width": 1.2, "dash": "dot"}, opacity=0.7)
    fig.update_xaxes(title_text="mean AUROC (test)")
    _name_rows(fig, shown)
    return fig


def labels_in_figure(arms: Sequence[ArmVerdict]) -> list[str]:
    """The labels, by name; of very many those that differ most in some arm."""
    most: dict[str, float] = {}
    for arm in arms:
        for name, (_, difference, _) in arm.labels.items():
            most[name] = max(most.get(name, 0.0), abs(difference))
    return sorted(sorted(most, key=lambda name: -most[name])[:LABELS_DRAWN])


def _width(arms: Sequence[ArmVerdict]) -> int:
    """Pixels that the table of labels needs."""
    return max(900, 200 + 48 * len(labels_in_figure(arms)))


def labels_figure(arms: Sequence[ArmVerdict]) -> go.Figure:
    """Arms by labels: the differences as a table of colours."""
    shown = list(arms)[::-1]
    names = labels_in_figure(shown)
    cells = [[arm.labels.get(name) for name in names] for arm in shown]
    values = [[None if c is None else c[1] for c in row] for row in cells]
    largest = max((abs(v) for row in values for v in row if v is not None), default=0.0) or 1.0
    fig = figure(150 + 32 * len(shown))
    fig.add_heatmap(
        x=[text(readable(name)) for name in names],
        y=list(range(len(shown))),
        z=values,
        zmin=-largest,
        zmax=largest,
        colorscale=[
            [0, VERDICT_COLOURS["hurt"]],
            [0.5, "rgba(138,151,168,0.08)"],
            [1, VERDICT_COLOURS["helped"]],
        ],
        text=[
            [_cell(c, arm.comparable) for c in row] for arm, row in zip(shown, cells, strict=True)
        ],
        texttemplate="%{text}",
        hovertext=[
            [_hover(arm, name, c) for name, c in zip(names, row, strict=True)]
            for arm, row in zip(shown, cells, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        showscale=False,
        xgap=2,
        ygap=2,
    )
    fig.update_xaxes(side="top", tickangle=-35, automargin=True)
    _name_rows(fig, shown)
    return fig


TestedCell = tuple[float, float, tuple[float, float] | None]


def _cell(cell: TestedCell | None, comparable: bool) -> str:
    """The difference, bold where it is shown; never where the arm isn't ``comparable``."""
    if cell is None:
        return ""
    _, difference, ends = cell
    value = f"{100 * difference:+.1f}"
    beside = ends is not None and (ends[0] > 0 or ends[1] < 0)
    return f"<b>{value}</b>" if comparable and beside else value


def _hover(arm: ArmVerdict, name: str, cell: TestedCell | None) -> str:
    if cell is None:
        return ""
    value, difference, ends = cell
    between = "" if ends is None else f" ({words.signed(ends[0])} to {words.signed(ends[1])})"
    return (
        f"<b>{text(arm.title)}</b> · {text(readable(name))}<br>AUROC {value:.3f}, "
        f"{words.signed(difference)}{between}"
    )


def _name_rows(fig: go.Figure, arms: Sequence[ArmVerdict]) -> None:
    fig.update_layout(margin={"l": 20, "r": 20, "t": 20, "b": 46})
    fig.update_yaxes(
        tickvals=list(range(len(arms))),
        ticktext=[text(arm.title) for arm in arms],
        range=[-0.6, len(arms) - 0.4],
        automargin=True,
        zeroline=False,
    )
