"""Compare samplers: ``python -m benchmarks.search run --fast``; see ``--help``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from fnmatch import fnmatch
from pathlib import Path

import click
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import track

from . import ablation, cells, confirming, judged, running
from . import report as reporting
from .contender import Entry
from .contenders import entry, registry
from .pieces import PIECES, TAUGHT, piece_of
from .problems import half as half_of
from .situations.situation import half as situated_half

HERE = Path(__file__).parent
TITLES = {"tune": "Samplers on the tuning problems", "judge": "Samplers on the judging problems"}
RESULTS = HERE.parents[1] / "results"
SLOW_TRIALS = 100
FAST_SEEDS, FAST_TRIALS, FAST_PROBLEMS = 2, 50, 4

console = Console() if Console().is_terminal else Console(width=130)


@click.group()
def main() -> None:
    """Samplers compared over problems and seeds."""


def _seeds(text: str) -> list[int]:
    first, dash, last = text.partition("-")
    try:
        return list(range(int(first), int(last if dash else first) + 1))
    except ValueError:
        raise click.BadParameter(f"expected FIRST-LAST, as 0-19, got {text!r}") from None


def _kind(half: str, product: bool, fast: bool = False) -> str:
    return half + "-product" * product + "-fast" * fast


def _problems(half: str, product: bool, pattern: str) -> list[str]:
    known = situated_half(half) if product else list(half_of(half))
    names = [name for name in known if fnmatch(name, pattern)]
    if not names:
        raise click.ClickException(
            f"no problem of the half {half} matches {pattern!r}: {', '.join(known)}"
        )
    return names


HALF = click.option(
    "--half", type=click.Choice(["tune", "judge"]), default="tune", show_default=True
)
PRODUCT = click.option(
    "--product",
    is_flag=True,
    help="Problems as users have them: known points, early stopping, failures, noise.",
)
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the cells [cells/HALF beside this, with --product cells/HALF-product].",
)
NAMED = click.option("--problems", default="*", help="A pattern of problem names.")
FAST = click.option(
    "--fast", is_flag=True, help="A few minutes: 2 seeds, 4 problems, 50 trials, no slow samplers."
)


@main.command()
@HALF
@PRODUCT
@OUT
@FAST
@click.option("--samplers", help="Names with commas, genetic:key=value allowed [all].")
@NAMED
@click.option("--seeds", default="0-19", show_default=True)
@click.option("--slow-seeds", default=10, show_default=True, help="Seeds of the slow samplers.")
@click.option("--trials", default=200, show_default=True)
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
@click.option("--fresh", is_flag=True, help="Run stale cells again, those of other versions.")
def run(
    half: str,
    product: bool,
    out: Path | None,
    fast: bool,
    samplers: str | None,
    problems: str,
    seeds: str,
    slow_seeds: int,
    trials: int,
    jobs: int,
    fresh: bool,
) -> None:
    """Run the cells that are missing, then report."""
    folder = out or HERE / "cells" / _kind(half, product, fast)
    wanted = _samplers(samplers, fast)
    _allowed(half, fast, wanted)
    chosen = _present(wanted)
    names = _problems(half, product, problems)
    seen = _seeds(seeds)
    if fast:
        names, seen, trials = names[:: max(1, len(names) // FAST_PROBLEMS)], seen[:FAST_SEEDS], 50
    known = [(name, made.version(), made.slow) for name, made in chosen.items()]
    plan = running.plan(known, names, seen, slow_seeds, trials, SLOW_TRIALS)
    _run(folder, list(chosen), plan, jobs, fresh)
    _report(folder, half, product, fast, False)


@main.command()
@HALF
@PRODUCT
@OUT
@click.option("--sampler", default=ablation.OURS, show_default=True)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Run one stale cell in so many again.",
)
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
def confirm(
    half: str, product: bool, out: Path | None, sampler: str, every: int, jobs: int
) -> None:
    """Take stale cells over to today's code, if a sample of them comes out the same.

    For changes that mend what these problems never meet. Every cell of the sample has to agree
    to the last digit; what was confirmed is on record with the looks.
    """
    folder = out or HERE / "cells" / _kind(half, product)
    path, version = cells.path_of(folder, sampler), entry(sampler).version()
    with ExitStack() as stack:
        _lock(stack, path)
        try:
            done = confirming.confirm(path, version, every, jobs)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    if half == "judge" and done["cells"]:
        judged.append({**done, "product": product}, judged.LOG)
    console.print(f"{done['again']} cells came out the same; {done['cells']} are confirmed")


@main.command("ablation")
@PRODUCT
@OUT
@click.option(
    "--pieces",
    help="Names with commas [all; with --product what the sampler is taught of a history].",
)
@NAMED
@click.option("--seeds", default="0-4", show_default=True)
@click.option("--trials", default=100, show_default=True)
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
def ablate(
    product: bool,
    out: Path | None,
    pieces: str | None,
    problems: str,
    seeds: str,
    trials: int,
    jobs: int,
) -> None:
    """Our sampler without each of its pieces, against itself, on the tuning problems."""
    folder, seen = out or HERE / "cells" / _kind("tune", product), _seeds(seeds)
    names = pieces.split(",") if pieces else list(TAUGHT if product else PIECES)
    if not product and (early := TAUGHT.keys() & set(names)):
        raise click.ClickException(f"{', '.join(early)}: shows in situations only; add --product")
    wanted = [ablation.OURS, *map(ablation.variant, names)]
    plan: dict[running.Job, None] = {}
    for name in names:
        try:
            where = piece_of(name).where
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        pair = (ablation.OURS, ablation.variant(name))
        both = [(each, entry(each).version(), False) for each in pair]
        able = [
            n for n in _problems("tune", product, problems) if any(fnmatch(n, w) for w in where)
        ]
        plan |= dict.fromkeys(running.plan(both, able, seen, 0, trials, trials))
    # Seeds outermost, so that what is there after a while can be compared.
    _run(folder, wanted, sorted(plan, key=lambda job: job.seed), jobs, True)
    found = {name: cells.read(cells.path_of(folder, name)) for name in wanted}
    # Only what was asked for: another run may have left other cells.
    asked = {job.key for job in plan}
    found = {n: {k: c for k, c in mine.items() if k in asked} for n, mine in found.items()}
    ablation.report(found, names, RESULTS / f"ablation{'-product' * product}.json", console)


@main.command()
@HALF
@PRODUCT
@OUT
@FAST
@click.option("--by-problem", is_flag=True, help="Mean regrets of each problem too.")
def report(half: str, product: bool, out: Path | None, fast: bool, by_problem: bool) -> None:
    """Tables, report.json and report.html from the cells there are."""
    _allowed(half, fast, ())
    folder = out or HERE / "cells" / _kind(half, product, fast)
    _report(folder, half, product, fast, by_problem)


def _allowed(half: str, fast: bool, samplers: Iterable[str]) -> None:
    if half == "judge":
        if fast:
            raise click.ClickException("--fast is for trying things: use it with --half tune")
        try:
            judged.refuse_variants(samplers)
        except ValueError as error:
            raise click.ClickException(str(error)) from None


def _report(folder: Path, half: str, product: bool, fast: bool, by_problem: bool) -> None:
    target = RESULTS / f"samplers-{_kind(half, product, fast)}"
    title = TITLES[half] + ", as users have them" * product
    try:
        figures = reporting.report(folder, target, console, title, by_problem)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if half == "judge":
        judged.record(figures, product)
        console.print(f"This look is on record in {judged.LOG}", highlight=False, soft_wrap=True)
    console.print(f"Written: {target}", highlight=False, soft_wrap=True)


def _samplers(text: str | None, fast: bool) -> dict[str, Entry]:
    if text is None:
        return {name: made for name, made in registry().items() if not (fast and made.slow)}
    names, found = text.split(","), []
    for part in names:
        # The options of one sampler are separated by commas too.
        if found and "=" in part and ":" not in part:
            found[-1] += f",{part}"
        else:
            found.append(part)
    try:
        return {name: entry(name) for name in found}
    except (ValueError, TypeError) as error:
        raise click.ClickException(str(error)) from None


def _present(chosen: dict[str, Entry]) -> dict[str, Entry]:
    reasons = {name: made.missing() for name, made in chosen.items()}
    for name, reason in reasons.items():
        if reason:
            console.print(f"{name}: not run, {reason}", style="yellow", highlight=False)
    return {name: made for name, made in chosen.items() if not reasons[name]}


def _lock(stack: ExitStack, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        stack.enter_context(FileLock(path.with_suffix(".lock"), timeout=0))
    except Timeout:
        raise click.ClickException(f"another run is writing {path}") from None


def _run(folder: Path, names: list[str], plan: list[running.Job], jobs: int, fresh: bool) -> None:
    with ExitStack() as stack:
        for name in names:
            _lock(stack, cells.path_of(folder, name))
        _locked_run(folder, names, plan, jobs, fresh)


def _locked_run(
    folder: Path, names: list[str], plan: list[running.Job], jobs: int, fresh: bool
) -> None:
    files = {name: cells.path_of(folder, name) for name in names}
    for path in files.values():
        cells.tidy(path)
    left, stale = running.todo(
        plan, {name: cells.read(path) for name, path in files.items()}, fresh
    )
    if stale:
        console.print(f"{stale} cells are of other versions; --fresh runs them again")
    failures: dict[str, list[str]] = {}
    ended = running.run_all(left, jobs, lambda cell: cells.append(files[cell.sampler], cell))
    for job, reason in track(ended, "Cells", total=len(left), console=console):
        if reason:
            failures.setdefault(job.sampler, []).append(f"{job.problem}, seed {job.seed}: {reason}")
    for path in files.values():
        cells.tidy(path)
    for name, reasons in failures.items():
        console.print(f"{name}: {len(reasons)} cells failed; {reasons[0]}", style="red")


if __name__ == "__main__":
    main()
