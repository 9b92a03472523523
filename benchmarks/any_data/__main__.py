"""What the product makes of data sets of all formats: ``python -m benchmarks.any_data COMMAND``."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from .running import ROOT
from .sources import SOURCES

TABLES = ROOT.parent / "shared" / "label-tables"
NIH = ROOT.parent / "shared" / "nih-small"


@contextmanager
def working(folder: Path | None) -> Iterator[Path]:
    """``folder``, or one that is gone afterwards."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    made = Path(tempfile.mkdtemp(prefix="any-data-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@click.group()
def main() -> None:
    """Data sets of every format, with drawn images where only their tables are at hand."""


@main.command()
@click.option("--tables", type=click.Path(path_type=Path), default=TABLES, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(tuple(SOURCES)), help="Some of them.")
@click.option("--images", default=160, show_default=True, help="Of each, the first so many.")
@click.option("--trials", default=4, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Keep all there.")
@click.option("--quiet", is_flag=True, help="The table alone.")
@click.option("--dataset", is_flag=True, help="No other command than `dataset`.")
def commands(
    tables: Path, only: tuple[str, ...], images: int, trials: int, folder: Path | None,
    quiet: bool, dataset: bool,
) -> None:  # fmt: skip
    """dataset, eda, a search, train, evaluate and predict on each data set."""
    from .commands import STEPS, run_through, table

    outcomes = []
    with working(folder) as home:
        for name in only or tuple(SOURCES):
            place = home / name
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            found = run_through(
                name, place, tables, images, trials, STEPS[:1] if dataset else STEPS
            )
            outcomes.append(found)
            if not quiet and "dataset" in found.ran:
                click.echo(f"\n== {name}\n{found.ran['dataset'].out.rstrip()}")
            for step, ran in found.ran.items():
                if ran.code:
                    click.echo(f"\n-- {name}: {step} ended with {ran.code}\n{ran.said}")
    click.echo(f"\n{table(outcomes)}")
    if any(found.failed and not found.reason for found in outcomes):
        raise SystemExit(1)


@main.command()
@click.argument("tree", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--images", default=120, show_default=True)
@click.option("--trials", default=3, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Keep all there.")
def before(tree: Path, images: int, trials: int, folder: Path | None) -> None:
    """NIH's 14 labels give what TREE gave, and what TREE made opens.

    TREE is a checkout of the commit to compare with: `git worktree add TREE COMMIT`.
    """
    from .before import run

    with working(folder) as home:
        report = run(tree, home, images, trials)
    click.echo("\n".join(report.lines))
    if report.differing:
        raise click.ClickException(f"{report.differing} comparisons differ")


@main.command()
@click.option("--tables", type=click.Path(path_type=Path), default=TABLES, show_default=True)
@click.option("--seeds", default=3, show_default=True, help="Searches in each world.")
@click.option("--epochs", default=8, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Keep all there.")
def uncertain(tables: Path, seeds: int, epochs: int, folder: Path | None) -> None:
    """The gene `uncertain`, where uncertain marks are mostly positive and where they are noise."""
    from .uncertain import run

    with working(folder) as home:
        lines = run(tables / "chexpert_train.csv", home, seeds, epochs)
    click.echo("\n".join(lines))


@main.command()
@click.option("--data", type=click.Path(path_type=Path), default=NIH, show_default=True)
@click.option("--images", default=1916, show_default=True, help="Of the table, the first so many.")
@click.option("--trials", default=4, show_default=True)
@click.option("--epochs", default=10, show_default=True)
@click.option("--share", default=0.3, show_default=True, help="Of the marks, hidden.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep all there.")
def hidden(
    data: Path, images: int, trials: int, epochs: int, share: float, folder: Path | None
) -> None:
    """A search on NIH's labels with some marks hidden, beside one on all of them."""
    from .hidden import run

    with working(folder) as home:
        lines = run(data, home, images, trials, epochs, share)
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
