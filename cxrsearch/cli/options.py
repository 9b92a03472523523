"""What commands share: examples, arguments, and the options of ``ga`` and ``optuna`` by group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from cxrsearch.study.settings import AUTO, HALVINGS, PRECISIONS, RUNNERS, SCHEMES, Settings

Command = Callable[..., Any]

STUDY = click.argument("study", type=click.Path(path_type=Path))
FOLDER = click.Path(path_type=Path)


def example(*lines: str) -> str:
    """Examples for the end of a command's help, left as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@contextmanager
def goes_on(way: str | Callable[[], str]) -> Iterator[None]:
    """Where a signal stops what is done within, or the command it decorates: say how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may have gone
            click.echo(f"\nstopped; {way if isinstance(way, str) else way()}", err=True)
        raise


AGAIN = "the same command goes on where it was"


def amount(value: str) -> float | str:
    """The number that ``value`` spells, or ``auto``."""
    try:
        return AUTO if value == AUTO else float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number nor {AUTO}") from None


CACHE = click.option("--cache", metavar="DIR", help="Folder of the decoded cache; default: "
                     "$CXRSEARCH_CACHE or the user's cache folder.")  # fmt: skip

LABELS = click.option("--labels", metavar="FILE", help="Label table (NIH's format or one-hot), "
                      "where it lies elsewhere.")  # fmt: skip

_PLACES = [
    click.option("--data", metavar="DIR", default="phantom", show_default=True,
                 help="Folder of chest X-rays with a label table, or: phantom."),
    LABELS,
    CACHE,
]  # fmt: skip

SPLIT = [
    click.option("--test-list", metavar="FILE", help="NIH's test_list.txt: the test part."),
    click.option("--test-share", type=float, default=0.2, show_default=True,
                 help="Share of the patients kept for the test part."),
    click.option("--val-share", type=float, default=0.2, show_default=True,
                 help="Share of the other patients used for validation."),
    click.option("--val-seed", type=int, default=2000, show_default=True,
                 help="Images at most that each epoch is scored on: one fixed subset."),
]  # fmt: skip
"""How patients are split: the same options give the same parts in every command."""

_PARTS = [
    *SPLIT,
    click.option("--phantom-images", type=int, default=600, show_default=True,
                 help="Labelled phantom images."),
    click.option("--phantom-difficulty", type=float, default=0.5, show_default=True,
                 help="0 (plain) to 1 (hard)."),
]  # fmt: skip

_FRAME = [
    click.option("--frame", type=int, help="Side of the cached images; default: what the space "
                 "needs."),
]  # fmt: skip

UNLABELLED = click.option("--unlabelled", type=FOLDER, metavar="DIR", help="Folder of images "
                           "without a label. [default: those of the data that the label table "
                           "does not name]")  # fmt: skip


def seed_option(of: str, kind: type[int] | click.IntRange = int) -> Callable[[Command], Command]:
    """The option ``--seed``; ``of`` says of what. A command whose code checks it needs no kind."""
    return click.option("--seed", type=kind, metavar="N", default=0, show_default=True,
                        help=f"Seed of {of}.")  # fmt: skip


SEED = seed_option("everything, the split's too")

WEIGHTS = click.option("--weights-dir", metavar="DIR", help="Folder with pretrained weights under "
                        "torchvision's file names.")  # fmt: skip

DEVICE = [
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
    click.option("--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True,
                 help="Of the training; auto: as the study's trials, or bf16 where the "
                 "hardware multiplies it by itself."),
]  # fmt: skip

_SEARCH = [
    click.option("--space", metavar="NAME|FILE",
                 help="Search space; `cxrsearch spaces` lists them. Default: quick, or report "
                 "where there is a GPU and real data."),
    click.option("--study", metavar="DIR", help="Study folder. [default: results/NAME-TIME]"),
    click.option("--from", "from_studies", metavar="STUDY", multiple=True,
                 help="Earlier study, on other data or another space, whose best trials are among "
                 "the first that are tried here. May be repeated."),
    click.option("--pseudo", metavar="DIR", help="What `cxrsearch self-train` wrote: images "
                 "without a label, for the gene pseudo of the space."),
    SEED,
    click.option("--objective", default="auroc", show_default=True,
                 help="auroc, or auroc:Mass,Nodule for the mean over some diseases; with "
                 ",seconds (of training) or ,parameters (of the model) several at once."),
    click.option("--time-budget", metavar="TIME", help="Wall-clock limit: 8h, 90m, 1h30m."),
    click.option("--early-stopping/--no-early-stopping", default=True, show_default=True,
                 help="Stop weak trials by successive halving."),
    click.option("--reuse/--no-reuse", default=True, show_default=True,
                 help="Answer a trial whose recipe was trained before in the study by what that "
                 "came to; without, train it again with another seed."),
    click.option("--halving", type=click.Choice(HALVINGS), default="promote", show_default=True,
                 help="Weak trials pause, and go on if they turn out to be among the best "
                 "(promote), or end (stop)."),
    WEIGHTS,
    click.option("--keep-checkpoints", default="best:5", show_default=True,
                 metavar="best:N|all|none", help="Which trials keep their weights."),
    click.option("--storage", metavar="URL", help="History as an SQLAlchemy URL (PostgreSQL); "
                 "default: SQLite in the study folder."),
    click.option("--dry-run", is_flag=True,
                 help="Check everything, time one step, print hours and disk; run nothing."),
]  # fmt: skip

_RUN = [
    click.option("--runner", type=click.Choice(RUNNERS), default="ray", show_default=True,
                 help="Ray Tune, or one trial after another."),
    click.option("--cpus-per-trial", type=amount, metavar="N|auto", default=AUTO, show_default=True,
                 help="CPU cores a trial, or auto: what a short measurement finds best. With it "
                 "the serial runner takes all of them."),
    click.option("--gpus-per-trial", type=amount, metavar="N|auto", default=AUTO, show_default=True,
                 help="GPUs a trial, or auto: the same for a GPU where there is one. A fraction "
                 "lets trials share one."),
    click.option("--concurrent", type=int, help="Trials at once at most. Default: as many as fit."),
    click.option("--address", metavar="HOST:PORT", help="An existing Ray cluster."),
    *DEVICE,
]  # fmt: skip

_RESUME = [
    click.option("--runner", type=click.Choice(RUNNERS), help="As before unless given."),
    click.option("--cpus-per-trial", type=amount, metavar="N|auto",
                 help="As before unless given; auto measures."),
    click.option("--gpus-per-trial", type=amount, metavar="N|auto",
                 help="As before unless given; auto measures."),
    click.option("--concurrent", type=int, help="As before unless given."),
    click.option("--address", metavar="HOST:PORT", help="As before unless given."),
    click.option("--time-budget", metavar="TIME", help="Wall-clock limit from now on."),
    click.option("--storage", metavar="URL", help="The history's URL, where it has a password."),
]  # fmt: skip

_MOVED = [
    click.option("--data", metavar="DIR", help="Where the same data lie now, if they moved."),
    click.option("--labels", metavar="FILE", help="Where their label table lies now."),
    click.option("--cache", metavar="DIR", help="As before unless given."),
]  # fmt: skip

CORES = click.option("--cpus-per-trial", type=amount, metavar="N|auto", default=AUTO,
                      show_default=True, help="CPU cores, or auto: all there are.")  # fmt: skip

_MOVED_OR_NEW = [
    click.option("--data", metavar="DIR", help="Folder of chest X-rays with a label table. "
                 "[default: those of the STUDY; phantom with --recipe]"),
    click.option("--labels", metavar="FILE", help="Label table, where it lies elsewhere."),
    click.option("--cache", metavar="DIR", help="Folder of the decoded cache."),
]  # fmt: skip

genetic_options = [
    click.option("--generations", type=int, help="Generations in all. [default: 5]"),
    click.option("--population", type=int, default=10, show_default=True,
                 help="Trials a generation."),
    click.option("--trials", type=int, help="Trials in all, instead of --generations."),
    click.option("--scheme", type=click.Choice(SCHEMES), default="steady", show_default=True,
                 help="steady: no barrier; generational: textbook (mu + lambda)."),
]  # fmt: skip


def options(*groups: list[Any]) -> Callable[[Command], Command]:
    """A decorator that adds the options of ``groups``, in order, to a command."""

    def decorate(command: Command) -> Command:
        for group in reversed(groups):
            for option in reversed(group):
                command = option(command)
        return command

    return decorate


def search_options(first: list[Any]) -> Callable[[Command], Command]:
    """The options of a search command: its own ``first``, then data, search and runner."""
    return options(first, _PLACES, _PARTS, _FRAME, _SEARCH, _RUN)


def data_options(command: Command) -> Command:
    """Which data, and how they are split."""
    return options(_PLACES, _PARTS)(command)


def run_options(command: Command) -> Command:
    """How trials are run, and on images of what size they are cached."""
    return options(_FRAME, _RUN)(command)


def resume_options(command: Command) -> Command:
    """What may change when a study goes on."""
    return options(_RESUME, _MOVED)(command)


def recipe_options(command: Command) -> Command:
    """Data, split and device of a recipe that is trained without a search."""
    return options(_MOVED_OR_NEW, _PARTS, _FRAME, [SEED, WEIGHTS, CORES], DEVICE)(command)


def alone_options(command: Command) -> Command:
    """What of the machine trainings use that run one after another."""
    return options([CORES], DEVICE)(command)


def moved_options(command: Command) -> Command:
    """Where a study's data lie, if they moved."""
    return options(_MOVED)(command)


def settings_from(given: dict[str, Any], **fixed: Any) -> Settings:
    """`Settings` out of a command's options."""
    skip = ("study", "dry_run")
    chosen = {k: v for k, v in given.items() if k not in skip} | fixed
    return Settings(**chosen | {"from_studies": list(given["from_studies"])})
