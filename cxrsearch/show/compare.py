"""Studies side by side: as rows, as text, and as a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .chosen import choice_of
from .clock import duration
from .panels.front import Field, Front, field, front, volumes
from .rows import RERUNS, STATES, Row, count_states
from .status import status_of
from .view import StudyView, read_view


class Compared(NamedTuple):
    """One study in a comparison. Scores are text with their intervals."""

    name: str
    folder: str
    sampler: str
    space: str
    data: str
    objective: str
    trials: str
    total: int
    elapsed: float
    work: float
    images_seen: int
    best: Row | None
    value: float | None
    interval: tuple[float, float] | None
    test: float | None
    test_interval: tuple[float, float] | None
    looks: int
    selected_from: int
    seed: int
    corrected: float | None = None
    corrected_interval: tuple[float, float] | None = None
    confirmed: float | None = None
    confirmed_interval: tuple[float, float] | None = None
    recommended: int | None = None
    front: int | None = None
    volume: float | None = None


class Comparison(NamedTuple):
    """Rows, in the order given, and what speaks against comparing them."""

    rows: list[Compared]
    warnings: list[str]


def compare(folders: Sequence[Path]) -> Comparison:
    """The studies in ``folders`` side by side.

    Raises:
        search.errors.StudyError: where one of them is no study.
    """
    return compare_views([read_view(Path(folder), curves=False) for folder in folders])


def compare_views(views: Sequence[StudyView]) -> Comparison:
    """`compare` for studies that are already read."""
    names = unique_names(views)
    rows = [_compared(view, name) for view, name in zip(views, names, strict=True)]
    if (shared := shared_field(views)) is not None:
        rows = [
            row._replace(front=len(found.on), volume=volume(found, shared))
            for row, found in zip(rows, fronts_of(views), strict=True)
        ]
    return Comparison(rows, _warnings(views, names))


def fronts_of(views: Sequence[StudyView]) -> list[Front]:
    """The Pareto front of each study."""
    return [front(view.rows, view.goals) for view in views]


def shared_field(views: Sequence[StudyView]) -> Field | None:
    """The field that all studies are measured in, where they have the same several objectives.

    The box between the worst and the best value of each objective over all their trials, so that
    their hypervolumes compare.
    """
    goals = views[0].goals if views else {}
    complete = [r for view in views for r in view.rows if r.worth]
    if len(goals) < 2 or not complete or any(view.goals != goals for view in views):
        return None
    return field(complete, goals)


def volume(found: Front, shared: Field) -> float:
    """The share of the field ``shared`` that a study's trials dominate."""
    course = volumes(found.on, found.goals, shared)
    return course[-1][1] if course else 0.0


def unique_names(views: Sequence[StudyView]) -> list[str]:
    """The studies' names; those that occur twice carry their folder."""
    plain = [view.name for view in views]
    return [
        name if plain.count(name) == 1 else f"{name} ({view.record.folder})"
        for view, name in zip(views, plain, strict=True)
    ]


def _compared(view: StudyView, name: str) -> Compared:
    counts, best, record = count_states(view.every_row), view.best, status_of(view)
    chosen = choice_of(view)
    look = (view.looks_at(None if best is None else best.number) or (None,))[-1]
    return Compared(
        name=name,
        folder=str(view.record.folder),
        sampler=view.record.config.sampler,
        space=view.record.space.name,
        data=view.data_name,
        objective=str(view.asked.get("objective") or "auroc"),
        trials=", ".join(f"{counts[state]} {state}" for state in (*STATES, RERUNS) if counts[state])
        or "none",
        total=len(view.rows),
        elapsed=record["elapsed"],
        work=sum(r.seconds or 0.0 for r in view.every_row),
        images_seen=record["images_seen"],
        best=best,
        value=None if best is None else best.value,
        interval=None if best is None else best.interval,
        test=None if look is None else look.mean,
        test_interval=None if look is None else look.interval,
        looks=len(view.tested),
        selected_from=counts["complete"],
        seed=view.record.config.seed,
        corrected=chosen.corrected,
        corrected_interval=chosen.corrected_interval,
        confirmed=chosen.confirmed,
        confirmed_interval=chosen.confirmed_interval,
        recommended=chosen.recommended,
    )


def _warnings(views: Sequence[StudyView], names: Sequence[str]) -> list[str]:
    """What differs between the studies that ought to be equal for their values to compare."""
    found = []
    checks = (
        ("split", [view.split for view in views], True),
        ("data", [_data_fingerprint(view) for view in views], True),
        ("objective", [str(view.asked.get("objective") or "auroc") for view in views], True),
        ("space", [view.record.space.fingerprint for view in views], False),
    )
    for what, values, serious in checks:
        known = {value for value in values if value}
        if len(known) > 1:
            verdict = (
                "their scores do not compare"
                if serious
                else "a difference may come from the space rather than from the sampler"
            )
            groups = "; ".join(
                ", ".join(n for n, v in zip(names, values, strict=True) if v == value)
                for value in sorted(known)
            )
            found.append(f"The studies differ in their {what} ({groups}): {verdict}.")
        if serious and len(known) >= 1 and "" in values:
            unknown = ", ".join(n for n, v in zip(names, values, strict=True) if not v)
            found.append(f"The {what} of {unknown} is not recorded, so it may differ.")
    return found


def _data_fingerprint(view: StudyView) -> str:
    return str(view.record.attrs.get("data_fingerprint") or view.data.get("fingerprint") or "")


def compare_text(folders: Sequence[Path]) -> str:
    """`compare` for a terminal, with its warnings first."""
    found = compare(folders)
    out = Console(file=io.StringIO(), width=120, color_system=None, highlight=False)
    for warning in found.warnings:
        out.print(f"warning: {warning}", markup=False, soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for row in found.rows:
        table.add_column(escape(row.name), overflow="fold")
    for label, cells in lines(found):
        table.add_row(label, *(escape(cell) for cell in cells))
    out.print(table)
    file = out.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip("\n").split("\n"))


def lines(found: Comparison) -> list[tuple[str, list[str]]]:
    """The comparison turned over: a line a property, a cell a study."""
    rows = found.rows
    genes = list(dict.fromkeys(g for row in rows if row.best for g in row.best.params))
    return [
        ("sampler", [row.sampler for row in rows]),
        ("space", [row.space for row in rows]),
        ("data", [row.data for row in rows]),
        ("seed", [str(row.seed) for row in rows]),
        ("trials", [f"{row.total} ({row.trials})" for row in rows]),
        ("search time", [duration(row.elapsed) for row in rows]),
        ("work in all", [duration(row.work) for row in rows]),
        ("images seen", [f"{row.images_seen:,}" for row in rows]),
        (
            "best AUROC, validation",
            [
                f"{_score(row.value, row.interval)}, selected from {row.selected_from}"
                for row in rows
            ],
        ),
        (
            "  corrected for luck",
            [_score(row.corrected, row.corrected_interval) for row in rows],
        ),
        (
            "confirmed by reruns",
            [_score(row.confirmed, row.confirmed_interval) for row in rows],
        ),
        ("its AUROC, test", [_score(row.test, row.test_interval) for row in rows]),
        ("looks at the test part", [str(row.looks) for row in rows]),
        ("best trial", ["–" if row.best is None else str(row.best.number) for row in rows]),
        (
            "recommended trial",
            ["–" if row.recommended is None else str(row.recommended) for row in rows],
        ),
        *_front_lines(rows),
        *((f"  {gene}", [_gene(row, gene) for row in rows]) for gene in genes),
    ]


def _front_lines(rows: Sequence[Compared]) -> list[tuple[str, list[str]]]:
    if all(row.volume is None for row in rows):
        return []
    return [
        ("trials on the Pareto front", [str(row.front) for row in rows]),
        ("hypervolume, of the box of all", [f"{row.volume or 0.0:.3f}" for row in rows]),
    ]


def _gene(row: Compared, gene: str) -> str:
    if row.best is None or gene not in row.best.params:
        return "n/a"
    value = row.best.params[gene]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _score(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
