"""What a second node costs a trial: small trials on two nodes beside as many workers on one.

    python -m benchmarks.cluster
    python -m benchmarks.cluster --trials 200 --seconds 0 --rounds 3
    python -m benchmarks.cluster --storage postgresql+psycopg://user@host/database

The nodes are raylets on this machine, so nothing of a network is in it. The history lies in a
PostgreSQL that is started for it (without one in SQLite, and that is said). The driver is killed
when half of the trials have ended, and another goes on. Printed are the histories' counts, and the
seconds a trial, from a driver's first start to its last end, on two nodes over those on one. Exits
with 1 where a trial is missing, failed or was told twice.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import TrialState

from benchmarks.kills_checks import ledger
from benchmarks.kills_search import STEPS
from search.store.record import read_study
from search.tune.own import own_token
from search.tune.quiet import quiet

from .postgres import NoServerError, postgres

LAYOUTS = {"one node": (2,), "two nodes": (1, 1)}
"""Workers by node."""


@dataclass(frozen=True)
class Counts:
    """What a history holds after a kill and a resume.

    Args:
        trials: in all; ``complete`` of them have a value.
        reports: of all trials.
        resumed: trials that more than one driver had.
        twice: steps that were computed again.
        nodes: trials by the node on which they ended, most first.
        each: seconds a trial.
    """

    trials: int
    complete: int
    reports: int
    resumed: int
    twice: int
    nodes: tuple[int, ...]
    each: float

    def problems(self, wanted: int) -> list[str]:
        """What is not as it should be."""
        found = {"trials": self.trials, "complete": self.complete}
        wrong = [
            f"{count} {name}, not {wanted}" for name, count in found.items() if count != wanted
        ]
        if self.reports != wanted * STEPS:
            wrong.append(f"{self.reports} reports, not {wanted * STEPS}")
        return wrong


@contextmanager
def nodes_of(workers: Sequence[int]) -> Iterator[str]:
    """The address of a cluster on this machine with so many workers a node."""
    from ray.cluster_utils import Cluster

    head, *others = workers
    with (
        # A short path, for Ray's sockets.
        tempfile.TemporaryDirectory(prefix="c-", ignore_cleanup_errors=True) as place,
        # By default Ray's workers give way to all other work, and would starve beside some.
        quiet(RAY_TMPDIR=place, RAY_worker_niceness="0"),
        own_token(),
    ):
        first = {"num_cpus": head, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=first)
        try:
            for count in others:
                cluster.add_node(num_cpus=count)
            yield cluster.address
        finally:
            cluster.shutdown()


def drive(words: Sequence[str], most: int | None = None) -> tuple[int, float]:
    """Run a driver, and kill it when ``most`` trials have ended; ends and seconds between."""
    command = [sys.executable, "-m", "benchmarks.cluster.searching", *words]
    times: dict[str, list[float]] = {"start": [], "end": []}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            kind, _, when = line.partition(" ")
            times[kind].append(float(when))
            if most is not None and len(times["end"]) >= most:
                child.kill()
                break
    if most is None and child.returncode != 0:
        raise SystemExit(f"the driver ended with {child.returncode}")
    return len(times["end"]), times["end"][-1] - times["start"][0]


def searched(workers: Sequence[int], trials: int, seconds: float, url: str | None) -> Counts:
    """A search on nodes with so many ``workers`` each, killed halfway and resumed."""
    with tempfile.TemporaryDirectory(prefix="cluster-") as work, nodes_of(workers) as address:
        folder = Path(work)
        words = [work, address, str(trials), str(seconds), *([url] if url else [])]
        parts = [drive(words, trials // 2), drive(words)]
        found = read_study(folder / "study", url).trials
        steps = Counter((n, step) for what, n, step, *_ in ledger(folder) if what == "saved")
        by_node = Counter(trial.user_attrs.get("node") for trial in found)
        return Counts(
            trials=len(found),
            complete=sum(trial.state == TrialState.COMPLETE for trial in found),
            reports=sum(len(trial.intermediate_values) for trial in found),
            resumed=sum(trial.user_attrs["attempt"] > 0 for trial in found),
            twice=sum(count - 1 for count in steps.values()),
            nodes=tuple(count for _, count in by_node.most_common()),
            each=sum(took for _, took in parts) / sum(ends for ends, _ in parts),
        )


def compare(options: argparse.Namespace, url: str | None) -> int:
    """Run and print all rounds; 1 where a history is not whole."""
    print(f"{options.trials} trials, {STEPS} reports each, 2 workers, killed after half of them")
    print(f"{'':12}{'trials':>8}{'complete':>10}{'reports':>9}{'resumed':>9}{'twice':>7}"
          f"{'s/trial':>9}  trials by node")  # fmt: skip
    ratios, wrong = [], []
    for turn in range(options.rounds):
        rows = {}
        # In turn first and second, so that neither always finds the files in memory.
        for name in sorted(LAYOUTS, reverse=turn % 2 == 1):
            row = rows[name] = searched(LAYOUTS[name], options.trials, options.seconds, url)
            print(f"{name:12}{row.trials:8}{row.complete:10}{row.reports:9}{row.resumed:9}"
                  f"{row.twice:7}{row.each:9.3f}  {', '.join(map(str, row.nodes))}")  # fmt: skip
            wrong += [f"{name}: {problem}" for problem in row.problems(options.trials)]
        ratios.append(rows["two nodes"].each / rows["one node"].each)
    spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
    print(f"a trial on two nodes over one on one: {statistics.median(ratios):.2f}{spread}")
    print("\n".join(wrong) or "every trial is there once, with all its reports")
    return 1 if wrong else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.0, help="that a step waits")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--storage", help="URL of a database that has no such study yet")
    options = parser.parse_args()
    if options.storage:
        return compare(options, options.storage)
    try:
        with postgres() as url:
            print("history: PostgreSQL on this machine")
            return compare(options, url)
    except NoServerError as error:
        print(f"history: SQLite, for {error}")
        return compare(options, None)


if __name__ == "__main__":
    sys.exit(main())
