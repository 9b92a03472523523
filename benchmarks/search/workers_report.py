"""What the simulated runs of `workers` say: numbers first, then tables and a page."""

from __future__ import annotations

import html
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from search.files import write_text

from .workers_result import Result

MARKS = (100, 200)
"""Trials ended at which the choice is judged."""
UTILISATION = 0.98
AT = 8
"""Workers at which the targets hold."""
COLOURS = ("#d9730d", "#3a86c8", "#9a7fc4", "#2a9d7f", "#8a97a8")
CONFIG = {"displaylogo": False, "showSendToCloud": False, "plotlyServerURL": "", "responsive": True}
COLUMNS = {
    "sampler": "sampler", "times": "times", "workers": "W", "runs": "runs",
    "started": "busy", "drained": "busy, drained", "regret_100": "regret@100",
    "more_100": "more than with 1", "regret_200": "regret@200", "more_200": "more than with 1",
    "to_target": "time to target", "reached": "reached", "ask_tell_ms": "ask+tell ms",
    "driver": "driver load", "bias": "log time, more than with 1", "drift": "drift",
}  # fmt: skip
EXPLAINED = (
    "busy: share of the workers' time in which they ran a trial, until the last trial started "
    "(drained: until the last one ended), median [least, most]. regret: normalised, of the "
    "configuration chosen by its observed score; 'more than with 1': mean difference to the "
    "same sampler, problem and seed on one worker, with a 95% bootstrap interval. time to "
    "target: simulated time until the choice is as good as random search's after 200 trials, "
    "in mean lengths of random search's trials, median over runs; reached: share of the runs "
    "that came to it. driver load: real seconds of asks and tells over the simulated seconds. "
    "log time: mean natural logarithm of the proposals' training seconds, negative where quick "
    "recipes are favoured; drift: rank correlation of those seconds with the trial's number."
)


def figures(results: Sequence[Result]) -> dict[str, Any]:
    """One row for each (sampler, times, workers), and the targets."""
    targets = _targets(results)
    alone = {_pair(r): r for r in results if r.cell.workers == 1}
    groups: dict[tuple[str, str, int], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.cell.sampler, result.cell.times, result.cell.workers].append(result)
    order = {name: place for place, name in enumerate(dict.fromkeys(key[0] for key in groups))}
    keys = sorted(groups, key=lambda key: (key[1], order[key[0]], key[2]))
    return {"rows": [_row(key, groups[key], alone, targets) for key in keys], "note": EXPLAINED}


def _pair(result: Result) -> tuple[str, str, str, int]:
    cell = result.cell
    return cell.sampler, cell.problem, cell.times, cell.seed


def _targets(results: Sequence[Result]) -> dict[tuple[str, str], tuple[float, float]]:
    """(problem, times) -> (regret to reach, mean seconds of a trial), by random search."""
    found: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        if result.cell.sampler == "random" and result.cell.workers == 1:
            found[result.cell.problem, result.cell.times].append(result)
    return {
        key: (
            float(np.median([r.regret(MARKS[-1]) for r in mine])),
            float(np.mean([r.unit for r in mine])),
        )
        for key, mine in found.items()
    }


def _row(
    key: tuple[str, str, int],
    mine: Sequence[Result],
    alone: Mapping[tuple[str, str, str, int], Result],
    targets: Mapping[tuple[str, str], tuple[float, float]],
) -> dict[str, Any]:
    sampler, times, workers = key
    row: dict[str, Any] = {"sampler": sampler, "times": times, "workers": workers}
    row["runs"] = len(mine)
    row["started"] = _spread([r.started for r in mine])
    row["drained"] = _spread([r.drained for r in mine])
    pairs = [(r, alone[_pair(r)]) for r in mine if _pair(r) in alone and workers > 1]
    for mark in MARKS:
        # With as many workers as trials nothing is learnt before the last one starts.
        if workers < mark:
            row[f"regret_{mark}"] = float(np.mean([r.regret(mark) for r in mine]))
            row[f"more_{mark}"] = _mean([r.regret(mark) - one.regret(mark) for r, one in pairs])
    reached = []
    for result in mine:
        regret, unit = targets[result.cell.problem, times]
        reached.append(result.seconds_to(regret) / unit)
    row["to_target"] = float(np.quantile(reached, 0.5, method="lower"))
    row["reached"] = float(np.isfinite(reached).mean())
    row["ask_tell_ms"] = _spread([1e3 * r.ask_tell[0] for r in mine])
    row["driver"] = float(np.median([r.driver for r in mine]))
    if times == "lcbench":
        row["bias"] = _mean([r.proposed - one.proposed for r, one in pairs])
        row["drift"] = float(np.mean([r.drift for r in mine]))
    return row


def _spread(values: Sequence[float]) -> list[float]:
    """Median, least and most."""
    return [float(np.median(values)), float(min(values)), float(max(values))]


def _mean(values: Sequence[float]) -> list[float] | None:
    """Mean and its 95% bootstrap interval; None with fewer than two values."""
    if len(values) < 2:
        return None
    found = np.asarray(values)
    drawn = np.random.default_rng(0).integers(len(found), size=(2000, len(found)))
    low, high = np.quantile(found[drawn].mean(axis=1), (0.025, 0.975))
    return [float(found.mean()), float(low), float(high)]


def verdicts(found: Mapping[str, Any]) -> list[tuple[bool, str]]:
    """Whether each target is met, as far as it was measured, with a sentence."""
    said = []
    for row in found["rows"]:
        if row["sampler"] != "genetic" or row["workers"] != AT:
            continue
        where = f"genetic, {AT} workers, {row['times']} times"
        if row["times"] == "lognormal":
            busy = row["started"][0]
            said.append(
                (busy >= UTILISATION, f"{where}: utilisation {busy:.3f}, wanted {UTILISATION}")
            )
        more = row["more_100"]
        if more is not None:
            said.append(
                (more[1] <= 0.0, f"{where}: regret at 100 more than with one by {_said(more)}")
            )
    return said


def targets_met(found: Mapping[str, Any]) -> bool:
    """Whether every target that was measured is met."""
    return all(met for met, _ in verdicts(found))


def _said(value: Any) -> str:
    """A figure as a table has it: a number, or one with its range."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return f"{value[0]:.3g} [{value[1]:.3g}, {value[2]:.3g}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def text(found: Mapping[str, Any]) -> str:
    """The tables as text, one for each kind of times."""
    lines = []
    for times, rows in _by_times(found).items():
        keys = [k for k in COLUMNS if k != "times" and any(k in row for row in rows)]
        cells = [[COLUMNS[k] for k in keys]]
        cells += [[_said(row.get(k)) for k in keys] for row in rows]
        widths = [max(len(line[i]) for line in cells) for i in range(len(keys))]
        lines.append(f"\n{times} times")
        lines += [
            "  ".join(
                c.rjust(w) if i else c.ljust(w)
                for i, (c, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in cells
        ]
    lines += ["", str(found["note"]), ""]
    return "\n".join(
        lines + [f"{'met' if met else 'MISSED'}: {said}" for met, said in verdicts(found)]
    )


def _by_times(found: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in found["rows"]:
        groups[row["times"]].append(row)
    return dict(groups)


def plain(value: Any) -> Any:
    """The same without NaN and infinities, which JSON does not know: None."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


DRAWN = {
    "started": ("Utilisation until the last start", ""),
    "regret_100": ("Normalised regret after 100 trials", "log"),
    "to_target": ("Time to random search's 200-trial result, in mean trial lengths", "log"),
    "ask_tell_ms": ("Ask and tell, real milliseconds a trial", "log"),
    "bias": ("Log seconds of the proposals, more than with one worker", ""),
}
"""What is drawn against the number of workers: title, scale."""


def figure(rows: Sequence[Mapping[str, Any]], key: str) -> go.Figure:
    """One quantity against the number of workers, a line for each sampler."""
    title, scale = DRAWN[key]
    drawn = go.Figure()
    for place, name in enumerate(dict.fromkeys(row["sampler"] for row in rows)):
        mine = [row for row in rows if row["sampler"] == name and row.get(key) is not None]
        values = [row[key] if isinstance(row[key], list) else [row[key]] * 3 for row in mine]
        if any(math.isfinite(value[0]) for value in values):
            drawn.add_scatter(
                x=[row["workers"] for row in mine],
                y=[value[0] if math.isfinite(value[0]) else None for value in values],
                error_y={
                    "array": [plain(value[2] - value[0]) for value in values],
                    "arrayminus": [plain(value[0] - value[1]) for value in values],
                },
                name=name,
                mode="lines+markers",
                line={"color": COLOURS[place % len(COLOURS)]},
            )
    drawn.update_layout(title=title, height=420, template="plotly_white", showlegend=True)
    drawn.update_xaxes(title="workers", type="log")
    drawn.update_yaxes(type=scale or "linear")
    return drawn


def page(path: Path, found: Mapping[str, Any]) -> Path:
    """Write the figures and tables as one HTML file that needs nothing else."""
    parts = ["<h1>Samplers with many workers</h1>", f"<p>{html.escape(str(found['note']))}</p>"]
    parts += [
        f"<p>{'met' if met else '<b>missed</b>'}: {html.escape(said)}</p>"
        for met, said in verdicts(found)
    ]
    script: bool = True
    for times, rows in _by_times(found).items():
        parts.append(f"<h2>{html.escape(times)} times</h2>")
        for key in DRAWN:
            if any(row.get(key) is not None for row in rows):
                shown = figure(rows, key).to_html(
                    full_html=False, include_plotlyjs=script, config=CONFIG
                )
                parts.append(shown)
                script = False
        parts.append(_table(rows))
    style = "body{font:15px sans-serif;margin:2em auto;max-width:80em}td,th{padding:.2em .7em}"
    head = f"<!doctype html><meta charset=utf-8><title>Workers</title><style>{style}</style>"
    write_text(path, head + "\n".join(parts))
    return path


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = [key for key in COLUMNS if any(key in row for row in rows)]
    lines = ["".join(f"<th>{html.escape(COLUMNS[key])}</th>" for key in keys)]
    lines += [
        "".join(f"<td>{html.escape(_said(row.get(key)))}</td>" for key in keys) for row in rows
    ]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
