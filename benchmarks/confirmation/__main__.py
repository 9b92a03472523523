"""What confirmation is worth: ``python -m benchmarks.confirmation record``, then ``report``."""

from __future__ import annotations

import warnings
from pathlib import Path

import click
import optuna
from rich.console import Console

from benchmarks.search.contenders import registry
from benchmarks.search.tables import Grid, rich
from search.files import write_json

from . import report as tables
from . import simulated, traces
from .problems import names

RESULTS = Path(__file__).parents[2] / "results"
PARTS = ("tables", "noisy", "loud", "quiet")

console = Console() if Console().is_terminal else Console(width=200)


@click.group()
def main() -> None:
    """The same number of trainings with and without reruns of the finalists."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def _fast() -> list[str]:
    return [name for name, made in registry().items() if not made.slow and not made.missing()]


@main.command()
@click.option("--parts", default="tables,noisy", show_default=True, help="Of " + ", ".join(PARTS))
@click.option("--samplers", default="genetic,tpe", show_default=True, help="Names, or fast.")
@click.option("--seeds", default=20, show_default=True)
@click.option("--first", default=0, show_default=True, help="The first seed.")
def record(parts: str, samplers: str, seeds: int, first: int) -> None:
    """Run the searches that are not recorded yet, one after the other."""
    unknown = sorted(set(parts.split(",")) - set(PARTS))
    if unknown:
        raise click.ClickException(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    wanted = _fast() if samplers == "fast" else samplers.split(",")
    problems = [name for part in parts.split(",") for name in names(part)]
    for job in traces.missing(wanted, problems, range(first, first + seeds)):
        traces.append(traces.record(*job))
        console.print(f"{job[0]}, {job[2]}, seed {job[3]}")


@main.command()
@click.option("--samplers", default="genetic,tpe", show_default=True)
@click.option("--seeds", default=20, show_default=True, help="Of each problem, at most.")
@click.option("--table", "only", help="One table: alternatives, judges, problems, small or peers.")
def report(samplers: str, seeds: int, only: str | None) -> None:
    """The tables, printed and in results/confirmation.json."""
    grids: list[Grid] = []
    found = {name: _traces(name, seeds) for name in samplers.split(",")}
    for name, mine in found.items():
        if not mine:
            raise click.ClickException(f"{name}: nothing recorded; run record first")
        if only in (None, "alternatives"):
            grids.append(tables.alternatives(mine, name, tables.ways()))
        if only in (None, "judges"):
            grids.append(tables.alternatives(mine, name, tables.judges()))
        if only in (None, "problems"):
            grids.append(tables.by_problem(mine, name))
        if only in (None, "small"):
            grids.append(tables.small(mine, name))
    if only in (None, "peers") and "genetic" in found:
        peers = {name: _traces(name, seeds) for name in _fast()}
        grids.append(tables.against(found["genetic"], {n: p for n, p in peers.items() if p}))
    for grid in grids:
        console.print(rich(grid))
    target = RESULTS / f"confirmation{'' if only is None else '-' + only}.json"
    write_json(target, tables.as_data(grids))
    console.print(f"Written: {target}", highlight=False, soft_wrap=True)


@main.command()
@click.option("--seeds", default=12, show_default=True, help="Of each problem.")
def plain(seeds: int) -> None:
    """Repeats in a plain Optuna study, and what `search.recommend` makes of them."""
    from .plain import table

    console.print(rich(table(seeds)))


@main.command()
@click.option("--runs", default=1000, show_default=True, help="Simulated confirmations each.")
def intervals(runs: int) -> None:
    """How often the intervals hold the truth, and a race drops the best, where these are known."""
    grid = simulated.table(runs)
    console.print(rich(grid))
    write_json(RESULTS / "confirmation-intervals.json", tables.as_data([grid]))


def _traces(sampler: str, seeds: int) -> list[traces.Trace]:
    found = traces.read(sampler)
    return [trace for (_, seed), trace in sorted(found.items()) if seed < seeds]


if __name__ == "__main__":
    main()
