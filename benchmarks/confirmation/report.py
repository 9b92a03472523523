"""The tables: what each way of choosing loses, over what the luckiest trial loses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from benchmarks.search import stats
from benchmarks.search.stats import Array
from benchmarks.search.tables import Grid

from .choices import BEST_FIVE, BOTH, EXPECTED, NAIVE, OBSERVED, Way, choose
from .problems import TABLES, problem
from .traces import Trace

BUDGET = 100
SHARES = (0.1, 0.2, 0.3, 0.4)
COUNTS = (3, 5, 8, 12)
SMALL = (20, 30, 50, 100)
DEFAULT = Way(0.2)


class Regrets(NamedTuple):
    """Regrets of some ways on the cells that all of them have.

    Args:
        cells: (problem, seed) of each.
        codes: the problem of each, as a number.
    """

    cells: Sequence[tuple[str, int]]
    codes: np.ndarray

    @classmethod
    def of(cls, cells: Sequence[tuple[str, int]]) -> Regrets:
        """For these cells."""
        names = sorted({name for name, _ in cells})
        return cls(cells, np.array([names.index(name) for name, _ in cells]))

    def ratio(self, ours: Array, theirs: Array) -> tuple[float, float, float]:
        """Ratio of mean regrets, and its 95% interval over problems and seeds."""
        return stats.ratio(ours, theirs, self.codes, stats.bootstrap(self.codes))


def regrets(traces: Sequence[Trace], way: Way, budget: int = BUDGET) -> Array:
    """Regret of what a way chooses from each trace."""
    return np.array([
        problem(t.problem).regret(t.true[choose(t, way, budget)]) for t in traces
    ])  # fmt: skip


def best(traces: Sequence[Trace], trials: int) -> Array:
    """Regret of the truly best of the first trials, which no choice among them beats."""
    return np.array([problem(t.problem).regret(max(t.true[:trials])) for t in traces])


def kind_of(name: str) -> str:
    """``tables``, ``noisy``, ``loud`` or ``quiet``."""
    return "tables" if name in TABLES else name.partition("-")[0]


def ways() -> Iterator[tuple[str, Way]]:
    """All alternatives at 100 trainings, by name."""
    for share in SHARES:
        for count in COUNTS:
            yield f"{share:.0%}, {count} finalists", Way(share, count)
            yield f"{share:.0%}, {count}, not raced", Way(share, count, raced=False)
        yield f"{share:.0%}, finalists by their number", Way(share)
        yield f"{share:.0%}, by their number, seeds without end", Way(share, independent=True)
    yield "best five, four times", BEST_FIVE
    yield "best five, four times, seeds without end", replace(BEST_FIVE, independent=True)


def judges() -> Iterator[tuple[str, Way]]:
    """What the finalists may be chosen by; the surrogate takes a second for each search."""
    yield "best expected, no reruns", Way(by=EXPECTED)
    for count in (3, 5, 8):
        for by in (OBSERVED, EXPECTED, BOTH):
            yield f"20%, {count} finalists by {by}", Way(0.2, count, by)


def alternatives(found: Sequence[Trace], sampler: str, ways: Iterable[tuple[str, Way]]) -> Grid:
    """Every way against the naive choice at the same number of trainings, by kind of problem."""
    kinds = [k for k in ("tables", "noisy", "loud", "quiet") if any(_of(found, k))]
    rows = []
    parts = {kind: list(_of(found, kind)) for kind in kinds}
    base = {kind: regrets(part, NAIVE) for kind, part in parts.items()}
    codes = {k: Regrets.of([(t.problem, t.seed) for t in part]) for k, part in parts.items()}
    bounds = {k: best(part, BUDGET) for k, part in parts.items()}
    rows.append(["truly best of 100 trials", *(_cell(codes[k], bounds[k], base[k]) for k in kinds)])
    for name, way in ways:
        row = [name]
        for kind in kinds:
            if "without end" in name and kind != "tables":
                row.append("")
            else:
                row.append(_cell(codes[kind], regrets(parts[kind], way), base[kind]))
        rows.append(row)
    counts = ", ".join(f"{kind} {len(part)} runs" for kind, part in parts.items())
    title = f"{sampler}: regret over that of the best observed of 100 trials ({counts})"
    return Grid(title, ("way", *kinds), rows)


def by_problem(found: Sequence[Trace], sampler: str, way: Way = DEFAULT) -> Grid:
    """A way against the naive choice on each problem, with what limits it."""
    rows = []
    for name in sorted({t.problem for t in found}, key=lambda n: (kind_of(n), n)):
        part = [t for t in found if t.problem == name]
        cells = Regrets.of([(t.problem, t.seed) for t in part])
        base, trials = regrets(part, NAIVE), way.parts(BUDGET)[0]
        rows.append([
            name, str(len(part)), f"{base.mean():.4f}",
            _cell(cells, regrets(part, way), base),
            _cell(cells, regrets(part, BEST_FIVE), base),
            f"{best(part, trials).mean() / base.mean():.2f}",
            f"{regrets(part, NAIVE, trials).mean() / base.mean():.2f}",
        ])  # fmt: skip
    title = f"{sampler}, {way.share:.0%} of 100 trainings are reruns: by problem"
    columns = (
        "problem", "runs", "naive regret", "confirmed", "best five", "truly best", "naive, fewer",
    )  # fmt: skip
    return Grid(title, columns, rows)


def small(found: Sequence[Trace], sampler: str) -> Grid:
    """Small budgets."""
    rows = []
    for kind in ("tables", "noisy", "loud", "quiet"):
        part = list(_of(found, kind))
        if not part:
            continue
        cells = Regrets.of([(t.problem, t.seed) for t in part])
        for share in (0.1, 0.2, 0.3):
            row = [f"{kind}, {share:.0%}"]
            for budget in SMALL:
                ours = regrets(part, Way(share), budget)
                row.append(_cell(cells, ours, regrets(part, NAIVE, budget)))
            rows.append(row)
    title = f"{sampler}: confirmed over naive at small budgets"
    return Grid(title, ("way", *(f"{b} trainings" for b in SMALL)), rows)


def against(ours: Sequence[Trace], peers: dict[str, Sequence[Trace]], way: Way = DEFAULT) -> Grid:
    """The genetic sampler with confirmation against peers without it and with the plain rule."""
    rows = []
    for name, theirs in peers.items():
        row = [name]
        for kinds in (("tables",), ("noisy",), ("tables", "noisy")):
            mine = {(t.problem, t.seed): t for t in ours if kind_of(t.problem) in kinds}
            other = {(t.problem, t.seed): t for t in theirs}
            shared = sorted(mine.keys() & other.keys())
            cells = Regrets.of(shared)
            confirmed = regrets([mine[key] for key in shared], way)
            part = [other[key] for key in shared]
            row += [str(len(shared))] if len(kinds) == 2 else []
            for their in (NAIVE, BEST_FIVE):
                row.append(_cell(cells, confirmed, regrets(part, their)))
        rows.append(row)
    columns = (
        "peer", "tables, naive", "tables, best five", "noisy, naive", "noisy, best five",
        "runs", "all, naive", "all, best five",
    )  # fmt: skip
    return Grid("genetic with confirmation over each, at 100 trainings", columns, rows)


def _of(found: Sequence[Trace], kind: str) -> Iterator[Trace]:
    return (t for t in found if kind_of(t.problem) == kind)


def _cell(cells: Regrets, ours: Array, theirs: Array) -> str:
    value, low, high = cells.ratio(ours, theirs)
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def as_data(grids: Sequence[Grid]) -> list[dict[str, Any]]:
    """For a JSON file."""
    return [grid._asdict() for grid in grids]
