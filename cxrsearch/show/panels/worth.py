"""What the best is worth: the finalists and their reruns, and whether more trials still help.

What is chosen for its value keeps rising by luck alone, however long the search: overtuning
(Schneider, Bischl & Feurer, "Overtuning in Hyperparameter Optimization", AutoML 2025). So beside
the observed best stands what is expected of it by all that is known now, and the highest expected
value by then. Where the first rises and the others do not, more trials buy luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev
from typing import NamedTuple

import plotly.graph_objects as go

from cxrsearch.show.chosen import Chosen, choice_of
from cxrsearch.show.clock import duration
from cxrsearch.show.rows import Interval, Row
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import BEST_COLOUR, QUIET, STYLES, counted, faded, figure, score, text
from cxrsearch.show.view import StudyView
from cxrsearch.show.worth.confirmation import reruns_by_finalist, training_seconds
from cxrsearch.show.worth.sentences import name_of

EXPECTED = STYLES["complete"].colour
"""What is expected of trials."""
CONFIRMED = STYLES["running"].colour
"""What reruns say."""
CORRECTED = "#b0477f"
"""What is corrected for luck."""
TOLD_FROM = 15
"""Complete trials from which on it is said whether more of them help."""
AVERAGED = 4
"""An expected value rests on about so many observed ones: its own and its neighbours'."""
VERDICTS = (
    "winner", "cannot be told from it", "worse", "failed", "not run yet", "ahead so far"
)  # fmt: skip


class CoursePoint(NamedTuple):
    """How the search stood after a complete trial.

    Args:
        number: of that trial.
        best: the trial of the highest value by then.
        observed: its value.
        expected: what is expected of it, by all that is known now.
        highest: the highest expected value of a complete trial by then.
    """

    number: int
    best: int
    observed: float
    expected: float
    highest: float


class Course(NamedTuple):
    """The course of a search.

    Args:
        points: after each complete trial with an expected value.
        since: the trial with which the last third begins; None where there are too few.
        rise: of the highest expected value since then.
        luck: rise of the observed best since then, less what is expected of that rise.
        noise: standard deviation of an expected value.
    """

    points: Sequence[CoursePoint] = ()
    since: int | None = None
    rise: float = 0.0
    luck: float = 0.0
    noise: float = 0.0

    @property
    def sentence(self) -> str:
        """Whether more trials help; empty where there are too few to say."""
        if self.since is None:
            return ""
        amount = f"by {max(self.rise, 0.0):.4f}, where its noise is {self.noise:.4f}"
        if self.rise > self.noise:
            return (
                f"Since trial {self.since}, in the last third of the search, the expected best has "
                f"risen {amount}: more trials may still help."
            )
        found = (
            f"Since trial {self.since}, in the last third of the search, the expected best has not "
            f"risen beyond its noise ({amount}): more trials no longer help."
        )
        if self.luck > self.noise:
            found += (
                f" The observed best has risen by {self.luck:.4f} more than is expected of it: "
                "that much is luck."
            )
        return found


def course(rows: Sequence[Row], expected: Mapping[int, float]) -> Course:
    """The course of the trials ``rows``, by what is ``expected`` of each, by number."""
    points: list[CoursePoint] = []
    best: Row | None = None
    residuals = []
    for row in sorted(rows, key=lambda r: r.number):
        if row.state != "complete" or row.value is None or row.number not in expected:
            continue
        residuals.append(row.value - expected[row.number])
        if best is None or best.value is None or row.value > best.value:
            best = row
        assert best.value is not None
        highest = max(expected[row.number], points[-1].highest if points else -1e9)
        point = CoursePoint(row.number, best.number, best.value, expected[best.number], highest)
        points.append(point)
    if len(points) < TOLD_FROM:
        return Course(points)
    first, last = points[len(points) * 2 // 3 - 1], points[-1]
    began = points[len(points) * 2 // 3].number
    seen = last.observed - first.observed
    return Course(
        points,
        began,
        last.highest - first.highest,
        seen - (last.expected - first.expected),
        pstdev(residuals) / AVERAGED**0.5,
    )


class FinalistRow(NamedTuple):
    """A finalist, as a figure and a table show it.

    Args:
        number: of its trial.
        name: with the known-good point that it is, if it is one.
        observed: its value in the search.
        expected: what was expected of it by the search.
        reruns: those that have a value, by round.
        mean: of their values.
        behind: winner minus this one, and the interval of that.
        seconds: what it takes to train.
        verdict: one of `VERDICTS`.
    """

    number: int
    name: str
    observed: float | None
    expected: float | None
    reruns: tuple[Row, ...]
    mean: float | None
    behind: tuple[float, float, float] | None
    seconds: float | None
    verdict: str


def finalist_rows(view: StudyView, chosen: Chosen) -> list[FinalistRow]:
    """One entry a finalist: the winner first, the others by the mean of their reruns."""
    rows = {row.number: row for row in view.rows}
    found = []
    for number, again in reruns_by_finalist(view).items():
        done = tuple(r for r in again if r.state == "complete" and r.value is not None)
        values = [r.value for r in done if r.value is not None]
        result = chosen.result
        entry = FinalistRow(
            number,
            name_of(view, number),
            rows[number].value if number in rows else None,
            chosen.expected.get(number),
            done,
            fmean(values) if values else None,
            None if result is None else result.differences.get(number),
            training_seconds(view, number),
            _verdict(chosen, number, again, bool(values)),
        )
        found.append(entry)
    winner = chosen.result.number if chosen.result is not None else None
    found.sort(key=lambda e: (e.number != winner, -(e.mean if e.mean is not None else -1.0)))
    return found


def _verdict(chosen: Chosen, number: int, again: Sequence[Row], ran: bool) -> str:
    winner, alike, worse, failed, waiting, ahead = VERDICTS
    result = chosen.result
    if any(row.state == "failed" for row in again):
        return failed
    if result is None or not ran:
        return waiting if not ran else alike
    if number == result.number:
        return ahead if chosen.confirmed is None else winner
    return alike if number in result.alike else worse


def finalists_figure(numbers: Sequence[FinalistRow], chosen: Chosen) -> go.Figure:
    """Each finalist on a line: as observed, its reruns, and what winner and best are worth."""
    fig = figure(150 + 34 * len(numbers))
    names = [text(entry.name) for entry in numbers]
    fig.add_scatter(
        x=[entry.observed for entry in numbers], y=names, mode="markers", name="observed",
        marker={"color": BEST_COLOUR, "symbol": "circle-open", "size": 11, "line": {"width": 2}},
        hovertemplate="%{y}: %{x:.4f} in the search<extra></extra>",
    )  # fmt: skip
    dots = [(name, row) for name, e in zip(names, numbers, strict=True) for row in e.reruns]
    fig.add_scatter(
        x=[row.value for _, row in dots], y=[name for name, _ in dots], mode="markers",
        name="a rerun", marker={"color": faded(CONFIRMED, 0.55), "size": 7},
        text=[f"split {(row.round or 0) + 1}, trial {row.number}: {row.value:.4f}"
              for _, row in dots],
        hovertemplate="%{y}<br>%{text}<extra></extra>",
    )  # fmt: skip
    fig.add_scatter(
        x=[entry.mean for entry in numbers], y=names, mode="markers", name="mean of its reruns",
        marker={"color": CONFIRMED, "symbol": "line-ns-open", "size": 16, "line": {"width": 3}},
        hovertemplate="%{y}: %{x:.4f} over its reruns<extra></extra>",
    )  # fmt: skip
    for name, colour, symbol, number, value, interval in _worths(chosen):
        at = next((text(e.name) for e in numbers if e.number == number), None)
        if at is not None and value is not None:
            _add_interval(fig, [value], [at], [interval], name, colour, symbol)
    fig.update_layout(margin={"l": 20, "r": 20, "t": 44, "b": 46})
    fig.update_xaxes(title_text="mean AUROC (validation parts)")
    fig.update_yaxes(
        automargin=True, type="category", categoryorder="array", categoryarray=names[::-1]
    )
    return fig


def _worths(
    chosen: Chosen,
) -> list[tuple[str, str, str, int | None, float | None, Interval | None]]:
    """What best and winner are worth: name, colour, symbol, trial, value, interval."""
    result = chosen.result
    found = [
        ("corrected, 95% interval", CORRECTED, "square", chosen.best, chosen.corrected,
         chosen.corrected_interval),
    ]  # fmt: skip
    if result is not None and result.low is not None and result.high is not None:
        name = "confirmed, 95% interval" if chosen.state.over else "so far, 95% interval"
        ends = (result.low, result.high)
        found.append((name, CONFIRMED, "diamond", result.number, result.value, ends))
    return found


def _add_interval(
    fig: go.Figure,
    values: Sequence[float],
    places: Sequence[str],
    intervals: Sequence[Interval | None],
    name: str,
    colour: str,
    symbol: str,
) -> None:
    """Values with their intervals as bars."""
    ends = [i or (v, v) for i, v in zip(intervals, values, strict=True)]
    fig.add_scatter(
        x=list(values),
        y=list(places),
        mode="markers",
        name=name,
        marker={"color": colour, "symbol": symbol, "size": 11},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - v for (_, high), v in zip(ends, values, strict=True)],
            "arrayminus": [v - low for (low, _), v in zip(ends, values, strict=True)],
            "color": colour,
            "thickness": 2,
            "width": 6,
        },
        text=[
            f"{v:.4f} ({low:.3f} to {high:.3f})"
            for v, (low, high) in zip(values, ends, strict=True)
        ],
        hovertemplate="%{y}<br>" + name + ": %{text}<extra></extra>",
    )


def differences_figure(numbers: Sequence[FinalistRow]) -> go.Figure:
    """How far each finalist is behind the winner, on the splits that both ran on."""
    fig = figure(120 + 34 * len(numbers))
    for verdict, colour in ((VERDICTS[1], QUIET), (VERDICTS[2], STYLES["failed"].colour)):
        some = [(e, e.behind) for e in numbers if e.behind is not None and e.verdict == verdict]
        if some:
            _add_interval(
                fig,
                [-behind[0] for _, behind in some],
                [text(entry.name) for entry, _ in some],
                [(-behind[2], -behind[1]) for _, behind in some],
                verdict,
                colour,
                "circle",
            )
    names = [text(entry.name) for entry in numbers if entry.behind is not None]
    fig.add_vline(x=0, line={"width": 1.5, "dash": "dot", "color": CONFIRMED})
    fig.update_layout(margin={"l": 20, "r": 20, "t": 40, "b": 46})
    fig.update_xaxes(title_text="mean AUROC above the winner's", tickformat="+.3f")
    fig.update_yaxes(
        automargin=True, type="category", categoryorder="array", categoryarray=names[::-1]
    )
    return fig


def course_figure(numbers: Course, chosen: Chosen) -> go.Figure:
    """Best as observed and as expected by trial, and what it is worth at the end."""
    fig = figure(420)
    points = list(numbers.points)
    last = points[-1].number
    xs = [point.number for point in points]
    lines = (
        ("observed best", BEST_COLOUR, "solid", [p.observed for p in points]),
        ("what is expected of it", BEST_COLOUR, "dot", [p.expected for p in points]),
        ("highest expected value", EXPECTED, "solid", [p.highest for p in points]),
    )
    hovers = [
        f"after trial {p.number}: trial {p.best} is best, {p.observed:.4f} observed, "
        f"{p.expected:.4f} expected; the highest expected value is {p.highest:.4f}"
        for p in points
    ]
    if numbers.since is not None:
        fig.add_vrect(
            x0=numbers.since, x1=last, fillcolor=faded(QUIET, 0.12), line={"width": 0},
            layer="below",
        )  # fmt: skip
    for name, colour, dash, values in lines:
        fig.add_scatter(
            x=xs, y=values, mode="lines" if len(xs) > 1 else "markers", name=name, text=hovers,
            line={"shape": "hv", "color": colour, "dash": dash, "width": 2.5},
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    beside = max(1.0, 0.03 * (last - xs[0]))
    for place, (name, colour, symbol, number, value, interval) in enumerate(_worths(chosen), 1):
        if value is None:
            continue
        low, high = interval or (value, value)
        fig.add_scatter(
            x=[last + place * beside], y=[value], mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 10},
            error_y={
                "type": "data", "symmetric": False, "array": [high - value],
                "arrayminus": [value - low], "color": colour, "thickness": 2, "width": 5,
            },
            hovertemplate=f"trial {number}: {value:.4f} ({low:.3f} to {high:.3f})<extra></extra>",
        )  # fmt: skip
    fig.update_xaxes(title_text="trial", rangemode="tozero", **counted(xs))
    fig.update_yaxes(title_text="mean AUROC")
    return fig


def sections(view: StudyView, now: float) -> list[Section]:
    """What the best is worth, in words, by finalist and by trial."""
    chosen = choice_of(view)
    entries = finalist_rows(view, chosen)
    parts = (chosen.selection, chosen.confirmation, chosen.recommendation)
    lead = [" ".join(sentences) for sentences in parts if sentences]
    panels = [*_finalist_panels(entries, chosen), _course_panel(view, chosen)]
    values = {
        "entries": [_cells(entry) for entry in entries],
        "reruns": [_rerun_cells(view, row) for row in view.reruns],
    }
    return [
        Section(
            "worth", "Worth", "What the best is worth", panels,
            lead="\n".join(lead), macro="finalists", values=values,
        )
    ]  # fmt: skip


def _finalist_panels(entries: Sequence[FinalistRow], chosen: Chosen) -> list[Panel]:
    if not entries:
        return []
    caption = (
        "Each rerun trains a finalist's recipe anew, on a fresh seed and a fresh split of train "
        "and validation patients; the test part is untouched. The confirmed value is cross-fitted: "
        "finalist and epoch are chosen on all splits but one and scored on that one. The reruns' "
        "own values, and their mean, are each of the rerun's best epoch, which flatters a little; "
        "splits differ in difficulty, so the choice goes by differences within a split."
    )
    found = [Panel("finalists", finalists_figure(entries, chosen), caption=caption, wide=520)]
    if any(entry.behind is not None for entry in entries):
        caption = (
            "On the splits that both ran on, so that what a split does to both is out. The "
            "intervals hold together, whichever finalist had won: who reaches the dotted line "
            "cannot be told from the winner."
        )
        found.append(Panel("differences", differences_figure(entries), caption=caption, wide=520))
    return found


def _course_panel(view: StudyView, chosen: Chosen) -> Panel:
    found = course(view.rows, chosen.expected)
    if not found.points:
        sentence = "No trial is complete yet."
        if view.best is not None:
            sentence = "Of several objectives no one value is expected, so there is no such curve."
        return Panel("by trial", sentence=sentence)
    caption = (
        "The observed best rises by luck, too, however long a search is. Expected is what all "
        "trials together, similar recipes near one another, say of a recipe now; the luck that all "
        f"share by being scored on the same patients is still in that. {found.sentence}"
    )
    return Panel("by trial", course_figure(found, chosen), caption=caption.strip())


def _cells(entry: FinalistRow) -> list[str]:
    """The line of a finalist in the table."""
    behind = "–"
    if entry.behind is not None:
        gap, low, high = entry.behind
        behind = f"{-gap:+.3f} ({-high:+.3f} to {-low:+.3f})"
    return [
        entry.name,
        *("–" if v is None else f"{v:.3f}" for v in (entry.observed, entry.expected)),
        str(len(entry.reruns)),
        "–" if entry.mean is None else f"{entry.mean:.3f}",
        behind,
        "–" if entry.seconds is None else duration(entry.seconds),
        entry.verdict,
    ]


def _rerun_cells(view: StudyView, row: Row) -> list[str]:
    """The line of a rerun in the table."""
    return [
        str(row.number),
        "–" if row.confirms is None else name_of(view, row.confirms),
        "–" if row.round is None else str(row.round + 1),
        f"{row.state} ({row.reason})" if row.reason else row.state,
        score(row.value, row.interval),
        "–" if row.best_epoch is None else str(row.best_epoch),
        "–" if row.seconds is None else duration(row.seconds),
    ]
