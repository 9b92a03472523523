"""Kill a search again and again, resume it, and see that nothing is lost or done twice.

    python -m benchmarks.kills --runner serial --sampler all --kills 20 --seed 0
    python -m benchmarks.kills --runner ray --target driver --kills 20
    python -m benchmarks.kills --runner ray --target worker --kills 20

``kill -9`` of the driver, or of a worker, at moments drawn from ``--seed``, and at every
point of `kills_search.POINTS`. After every kill of a driver the search is resumed. Checked:

- no finished trial is lost, changed or run again, and none is left running at the end;
- a step is run again only if its checkpoint had not been written, and every trial goes on
  from its last checkpoint;
- each trial's value is the one that its parameters and its seed give;
- with the serial runner: the history equals that of an uninterrupted run.

Prints a table, and exits with 1 if anything was violated.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.samplers import SAMPLERS

from . import kills_search
from .kills_checks import Result, check_end, check_kept, check_ledger, differences, history, ledger

PATIENCE = 120.0
ROOT = Path(__file__).parents[1]


class Killed:
    """One search, its process, and how to start it again."""

    def __init__(self, options: argparse.Namespace, sampler: str, folder: Path) -> None:
        words = [folder, options.runner, sampler, options.seed, options.trials, options.step]
        self.command = [sys.executable, "-m", "benchmarks.kills_search", *map(str, words)]
        self.folder = folder
        self.log = folder.with_suffix(".log")

    @contextmanager
    def process(self, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """The search, started or resumed, once it has begun; ended on leaving."""
        with self.log.open("ab") as log:
            start = log.tell()
            process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env={**os.environ, **environment}, cwd=ROOT
            )
        try:
            limit = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < limit:
                if kills_search.GO.encode() in self.log.read_bytes()[start:]:
                    break
                time.sleep(0.01)
            yield process
        finally:
            process.kill()
            process.wait()

    def finish(self, result: Result, **environment: str) -> None:
        """Run to the end, or to the point at which the environment says it dies."""
        with self.process(**environment) as process:
            status = process.wait(timeout=PATIENCE)
        if status != -signal.SIGKILL or not environment:
            self.judge(status, result)

    def judge(self, status: int, result: Result) -> None:
        """Only a killed search may end with anything but 0."""
        if status != 0:
            tail = self.log.read_text(errors="replace").splitlines()[-3:]
            result.violations.append(f"exit status {status}: {' / '.join(tail)}")


def kill_driver(search: Killed, draw: random.Random, span: float, result: Result) -> bool:
    """Start or resume the search and kill its driver; False: it came to its end before."""
    with search.process() as process:
        end = time.monotonic() + draw.uniform(0, span)
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        if process.poll() is not None:
            search.judge(process.returncode, result)
            return False
        process.kill()
    result.kills += 1
    if "ray" in search.command:
        time.sleep(1.0)  # its workers end themselves when they miss it
    return True


def kill_workers(
    search: Killed, draw: random.Random, span: float, left: int, result: Result
) -> None:
    """Run the search to its end, killing up to ``left`` of its workers."""
    killed = 0
    gone: set[int] = set()
    with search.process() as process:
        limit = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < limit:
            time.sleep(draw.uniform(0.02, span))
            alive = [p for *_, p in list(ledger(search.folder))[-4:] if p not in gone]
            if alive and killed < left and process.poll() is None:
                worker = draw.choice(alive)
                gone.add(worker)
                try:
                    os.kill(worker, signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass
        search.judge(process.wait(timeout=PATIENCE), result)
    result.kills += killed


def at_random(options: argparse.Namespace, sampler: str, scratch: Path) -> Result:
    """Kills at moments drawn from the seed."""
    result = Result(f"{options.runner}, {options.target}, {sampler}, at random")
    draw = random.Random(f"{options.seed} {sampler}")
    reference = uninterrupted(options, sampler, scratch, result)
    while result.kills < options.kills and not result.violations:
        folder = scratch / f"{sampler}-random-{result.searches}"
        folder.mkdir()
        search = Killed(options, sampler, folder)
        before: dict[int, Any] = {}
        kills = result.kills
        if options.target == "worker":
            kill_workers(search, draw, options.span, options.kills - kills, result)
        else:
            while result.kills < options.kills and kill_driver(search, draw, options.span, result):
                before = check_kept(before, folder, result)
            search.finish(result)
        check_kept(before, folder, result)
        close(options, folder, result.kills - kills, reference, result)
    return result


def at_points(options: argparse.Namespace, sampler: str, scratch: Path) -> Result:
    """One kill at each point, at an occurrence drawn from the seed."""
    result = Result(f"{options.runner}, points, {sampler}")
    draw = random.Random(f"{options.seed} {sampler} points")
    reference = uninterrupted(options, sampler, scratch, result)
    for point in options.point:
        folder = scratch / f"{sampler}-{point}"
        folder.mkdir()
        search = Killed(options, sampler, folder)
        where = f"{point}:{draw.randint(1, 4)}"
        search.finish(result, **{kills_search.KILL_AT: where})
        if not (folder / f"died-{point}").exists():
            result.violations.append(f"never came to {where}")
        result.kills += 1
        before = check_kept({}, folder, result)
        search.finish(result)
        check_kept(before, folder, result)
        close(options, folder, 1, reference, result)
    return result


def uninterrupted(
    options: argparse.Namespace, sampler: str, scratch: Path, result: Result
) -> list[dict[str, Any]] | None:
    """The history of the same search that nobody kills, where it must be the same."""
    if options.runner != "serial":
        return None
    folder = scratch / f"{sampler}-reference"
    if not folder.exists():
        folder.mkdir()
        Killed(options, sampler, folder).finish(result)
    return history(folder)


def close(
    options: argparse.Namespace,
    folder: Path,
    kills: int,
    reference: list[dict[str, Any]] | None,
    result: Result,
) -> None:
    """Check a search that has come to its end."""
    result.searches += 1
    check_end(folder, options.trials, result)
    check_ledger(folder, kills, result)
    if reference is not None and kills:
        result.compared += 1
        result.violations += differences(history(folder), reference)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runner", choices=["serial", "ray"], default="serial")
    parser.add_argument("--target", choices=["driver", "worker"], default="driver")
    parser.add_argument("--sampler", default="genetic", help="a name, or all")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--step", type=float, default=0.05, help="seconds a step takes")
    parser.add_argument("--span", type=float, help="a kill comes within so many seconds")
    parser.add_argument(
        "--point", action="append", choices=[*kills_search.POINTS, "none"],
        help="kill at this point only (again for several); none: at random only",
    )  # fmt: skip
    options = parser.parse_args()
    if options.target == "worker" and options.runner == "serial":
        parser.error("the serial runner has no workers; add --runner ray")
    if options.point is None:
        options.point = list(kills_search.POINTS)
    if "none" in options.point or options.target == "worker":
        options.point = []
    if options.span is None:
        by_runner = 12.0 if options.runner == "ray" else 1.2
        options.span = 1.0 if options.target == "worker" else by_runner
    return options


def main() -> int:
    """Kill, check, print; 1 if anything was violated."""
    options = parse()
    samplers = sorted(SAMPLERS) if options.sampler == "all" else [options.sampler]
    print(f"seed {options.seed}; {options.trials} trials of {kills_search.STEPS} steps a search")
    bad = False
    print(f"{'':44}{'kills':>6}{'searches':>9}{'trials':>7}{'redone':>7}{'equal':>7}  violations")
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        for sampler in samplers:
            for way in [at_random, at_points] if options.point else [at_random]:
                row = way(options, sampler, Path(scratch))
                equal = str(row.compared) if options.runner == "serial" else "-"
                print(
                    f"{row.name:44}{row.kills:6}{row.searches:9}{row.trials:7}{row.redone:7}"
                    f"{equal:>7}  {len(row.violations)}"
                )
                for violation in row.violations:
                    print(f"    {violation}")
                bad = bad or bool(row.violations)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
