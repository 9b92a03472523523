"""Methods of other libraries that stop early themselves, at as many epochs as ours takes.

    python -m benchmarks.search.stopping_peers
    python -m benchmarks.search.stopping_peers --fast --peers dehb-brackets
    python -m benchmarks.search.stopping_peers --noises 0 0.5

For each task of LCBench's tuning half and each seed the genetic sampler searches with the default
policy. Each peer then has as many epochs as that took. It says which configuration is trained to
which epoch; one that it has asked for before goes on from where it stood, as our paused trials do,
and is charged what is new. A leg that it cannot pay for ends the search. What it chooses is the
best by its value at the last epoch, among those that got there. All see the same noise.

Peers live in environments of their own: ``make bench-peers``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from search.files import write_json
from search.seeds import derive

from . import stopping
from .peers.entries import LEGS, leg_peer
from .problems import EPOCHS, LCBENCH, TUNE_TASKS, Curve, problem
from .stats import bootstrap, interval, weights
from .stopping import NEAR, Cell, spread


class Legs(Protocol):
    """What a peer offers, in a child process or not."""

    def leg(self) -> tuple[Any, dict[str, Any], int]:
        """(handle, configuration, the epoch to which it is to be trained)."""

    def tell(self, handle: Any, score: float) -> None:
        """The value at that epoch, the higher the better."""


class Ended(NamedTuple):
    """What a search came to; values are fractions of accuracy.

    Args:
        spent: epochs.
        final: the value of what is chosen at its last epoch, without noise.
        test: the same on the test part.
        started: how many configurations.
        complete: how many of them were trained to the end.
    """

    spent: int
    final: float
    test: float
    started: int
    complete: int


@dataclass
class _Trained:
    """A configuration, with its values as they are observed."""

    curve: Curve
    values: NDArray[np.float64]
    done: int = field(default=0)


def searched(peer: Legs, cell: Cell, budget: int) -> Ended:
    """A search of ``peer`` on the task of ``cell`` with its noise.

    Args:
        peer: a fresh one.
        cell: whose task, noise and seed count.
        budget: epochs.

    Raises:
        ValueError: it asked for an epoch that there is not, or for nothing within the budget.
    """
    sd = cell.noise * spread(cell.task) if cell.noise else 0.0
    known: dict[tuple[Any, ...], _Trained] = {}
    spent = 0
    # What is asked for again costs nothing, and must not go on for ever.
    for _ in range(budget):
        handle, params, epochs = peer.leg()
        if not 1 <= epochs <= EPOCHS:
            raise ValueError(f"a training to epoch {epochs} was asked for, of 1 to {EPOCHS}")
        key = tuple(params[name] for name in LCBENCH)
        trained = known.get(key) or _trained(cell, params, len(known), sd)
        cost = max(0, epochs - trained.done)
        if spent + cost > budget:
            break
        known[key], spent = trained, spent + cost
        trained.done = max(trained.done, epochs)
        peer.tell(handle, float(trained.values[epochs - 1]))
    if not known:
        raise ValueError(f"{budget} epochs are too few for the first configuration")
    furthest = max(trained.done for trained in known.values())
    chosen = max(
        (trained for trained in known.values() if trained.done == furthest),
        key=lambda trained: trained.values[furthest - 1],
    )
    return Ended(
        spent,
        float(chosen.curve.validation[furthest - 1]),
        float(chosen.curve.test[furthest - 1]),
        len(known),
        sum(trained.done == EPOCHS for trained in known.values()),
    )


def _trained(cell: Cell, params: dict[str, Any], number: int, sd: float) -> _Trained:
    curve = stopping.lcbench_curve(cell.task, params)
    noise = np.random.default_rng(derive(cell.seed, "noise", number)).normal(size=EPOCHS)
    return _Trained(curve, curve.validation + sd * noise)


def versus(cell: Cell, peers: Sequence[str]) -> dict[str, Ended]:
    """The search of ``cell``, under its sampler's name, and each of ``peers`` at its epochs."""
    ours = stopping.run(cell)
    budget = round(ours.epochs * EPOCHS * cell.trials)
    complete = len(ours.path)
    found = {cell.sampler: Ended(budget, ours.final, ours.test, cell.trials, complete)}
    for name in peers:
        this = problem(f"lcbench-{cell.task}")
        peer = leg_peer(name, this, cell.seed, max(1, budget // EPOCHS), EPOCHS)
        try:
            found[name] = searched(peer, cell, budget)
        finally:
            peer.close()
    return found


def run_all(cells: Sequence[Cell], peers: Sequence[str], jobs: int) -> list[dict[str, Ended]]:
    """Each of ``cells`` with its peers, in processes of their own, in their order."""
    found: dict[int, dict[str, Ended]] = {}
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {pool.submit(versus, cell, peers): place for place, cell in enumerate(cells)}
        for done in as_completed(waiting):
            found[waiting[done]] = done.result()
            print(f"\r{len(found)} of {len(cells)} searches", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [found[place] for place in range(len(cells))]


COLUMNS: dict[str, Callable[[Ended, Ended], float]] = {
    "final, points": lambda peer, ours: 100 * (peer.final - ours.final),
    "test, points": lambda peer, ours: 100 * (peer.test - ours.test),
    "within 0.2": lambda peer, ours: float(peer.final >= ours.final - NEAR),
    "epochs": lambda peer, ours: peer.spent / ours.spent,
    "started": lambda peer, ours: peer.started,
    "complete": lambda peer, ours: peer.complete,
}
"""Figures of a peer beside those of our search on the same task and seed."""


def summary(cells: Sequence[Cell], found: Sequence[dict[str, Ended]]) -> list[dict[str, Any]]:
    """A row for each noise and method: means over tasks, with intervals over tasks and seeds."""
    rows: list[dict[str, Any]] = []
    for noise in dict.fromkeys(cell.noise for cell in cells):
        here = [k for k, cell in enumerate(cells) if cell.noise == noise]
        tasks = np.unique([cells[k].task for k in here], return_inverse=True)[1]
        shares, draws = weights(tasks), bootstrap(tasks)
        for name in found[here[0]]:
            row: dict[str, Any] = {"noise": noise, "method": name, "runs": len(here)}
            for column, of in COLUMNS.items():
                each = np.array([of(found[k][name], found[k][cells[k].sampler]) for k in here])
                low, high = interval(draws @ each)
                row[column] = {"mean": float(shares @ each), "low": low, "high": high}
            rows.append(row)
    return rows


def show(rows: Sequence[dict[str, Any]]) -> None:
    """A line a row; what is in points and within 0.2 is beside our own search."""
    for row in rows:
        parts = [
            f"{name} {row[name]['mean']:.2f} ({row[name]['low']:.2f} to {row[name]['high']:.2f})"
            for name in COLUMNS
        ]
        print(f"{row['method']}, noise {row['noise']:g}, {row['runs']} runs: " + "; ".join(parts))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true", help="three tasks, three seeds")
    parser.add_argument("--peers", nargs="+", choices=LEGS, default=list(LEGS))
    parser.add_argument("--sampler", default="genetic", help="of our search")
    parser.add_argument("--noises", nargs="+", type=float, default=[0.0])
    parser.add_argument("--trials", type=int, default=100, help="of our search")
    parser.add_argument("--seeds", type=int, help="default: 10; with --fast 3")
    parser.add_argument("--tasks", nargs="+", choices=TUNE_TASKS, help="of the tuning half")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="a JSON file for the rows")
    options = parser.parse_args(arguments)
    options.seeds = options.seeds or (3 if options.fast else 10)
    options.tasks = options.tasks or (TUNE_TASKS[:3] if options.fast else TUNE_TASKS)
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run and print; a peer whose environment is missing is named and left out."""
    options = parse(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    reasons = {name: LEGS[name].missing() for name in options.peers}
    for name, reason in reasons.items():
        if reason:
            print(f"{name}: not run, {reason}", file=sys.stderr)
    peers = [name for name in options.peers if not reasons[name]]
    if not peers:
        return 1
    cells = [
        Cell(task, options.sampler, "promote", noise, seed, options.trials)
        for noise in options.noises
        for seed in range(options.seeds)
        for task in options.tasks
    ]
    rows = summary(cells, run_all(cells, peers, options.jobs))
    show(rows)
    if options.out:
        write_json(options.out, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
