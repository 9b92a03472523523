"""What commands share: examples, arguments, and options made from the fields of records.

A field made by `cxrsearch.fields.option` is an option of every command that takes its group. What
one command says otherwise (another default, other words) is said here, beside the group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import click

from cxrsearch.data.request import DataRequest
from cxrsearch.fields import Record, flag, options_of
from cxrsearch.study.settings import (
    AUTO,
    ConfirmRequest,
    Settings,
    TrainingRequest,
    UnlabelledRequest,
)

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

STUDY = click.argument("study", type=click.Path(path_type=Path))
PATH_TYPE = click.Path(path_type=Path)


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


def amount(value: object) -> float | str:
    """The number that ``value`` spells, or ``auto``."""
    try:
        return AUTO if value == AUTO else float(str(value))
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number nor {AUTO}") from None


def side(value: object) -> int | str:
    """A side as a number, HEIGHTxWIDTH as it is."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else text


class LateChoice(click.Choice[str]):
    """Names out of a registry that loads slowly: looked up when one is given, or for the help.

    Args:
        names: gives them.
    """

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self.names, self.case_sensitive = names, True

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names."""
        return tuple(self.names())


class LateNames(LateChoice):
    """The same for a field whose record refuses a wrong name, together with all other problems."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it is."""
        return str(value)


def views_of() -> tuple[str, ...]:
    """The names of test-time augmentation."""
    from cxrsearch.model.views import TTA

    return TTA


_TYPES: dict[Any, Any] = {float | str: amount, int | str: side, tuple[str, ...]: str}
"""How the command line reads a field of a type that click does not know by itself."""


# Evaluates the types of all fields of a record at once, which takes a while.
_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def option_of(record: type[Record], name: str, **other: Any) -> Decorator:
    """The option of a field: type, default, help and choices are the field's.

    Args:
        record: the dataclass that has the field.
        name: of the field.
        other: what this command says otherwise, as `click.option` takes it.
    """
    about = options_of(record)[name]
    spelled, given = flag(name, about), record.__dataclass_fields__[name]
    hint = _hints(record)[name]
    if isinstance(hint, UnionType) and NoneType in (kinds := get_args(hint)):
        hint = next(kind for kind in kinds if kind is not NoneType)
    how: dict[str, Any] = {"help": about.help, "metavar": about.metavar}
    if get_origin(hint) is list:
        how |= {"multiple": True}
    else:
        how |= {"type": _TYPES.get(hint, hint), "default": given.default}
    if hint is bool:
        spelled = f"{spelled}/--no-{spelled[2:]}"
    elif callable(about.choices):
        how["type"] = LateNames(about.choices)
    elif about.listed and about.known:
        how["type"] = click.Choice(about.known)
    how |= other
    shown = how.get("default") is not None
    return click.option(spelled, name, **{"show_default": shown, **how})


def in_groups(record: type[Record], *groups: str, but: str = "") -> list[Decorator]:
    """The options of all fields of some groups but one, one group after the other."""
    return [option_of(record, name) for name in options_of(record, *groups) if name != but]


def again_of(record: type[Record], *names: str, **helps: str) -> list[Decorator]:
    """The options of fields that stay as they were unless they are given.

    Args:
        record: the dataclass that has the fields.
        names: of the fields.
        helps: other words than "As before unless given." by name.
    """
    return [
        option_of(record, name, default=None, help=helps.get(name, "As before unless given."))
        for name in names
    ]


UNLABELLED = option_of(UnlabelledRequest, "unlabelled", type=PATH_TYPE)


def seed_option(of: str, kind: type[int] | click.IntRange = int) -> Decorator:
    """The option ``--seed``; ``of`` says of what. A command whose code checks it needs no kind."""
    return option_of(DataRequest, "seed", type=kind, help=f"Seed of {of}.")


STUDY_FOLDER = click.option(
    "--study", metavar="DIR", help="Study folder. [default: results/NAME-TIME]"
)
DRY_RUN = click.option(
    "--dry-run", is_flag=True,
    help="Check everything, time one step, print hours and disk; run nothing.",
)  # fmt: skip

_DATA = in_groups(Settings, "source", "split", "phantom")
_RUN = in_groups(Settings, "frame", "runner", "cores", "run", "device")

_SEARCH = [
    *_DATA,
    *in_groups(Settings, "frame", "space"),
    STUDY_FOLDER,
    *in_groups(Settings, "start", "seed", "goal", "weights", "kept"),
    DRY_RUN,
    *in_groups(Settings, "runner", "cores", "run", "device"),
]

_AUTO_AGAIN = "As before unless given; auto measures."
_RESUME = again_of(
    Settings, "runner", "cpus_per_trial", "gpus_per_trial", "concurrent", "max_concurrent",
    "address", "time_budget", "storage", cpus_per_trial=_AUTO_AGAIN, gpus_per_trial=_AUTO_AGAIN,
    time_budget="Wall-clock limit from now on.",
    storage="The history's URL, where it has a password.",
)  # fmt: skip

_MOVED = again_of(
    DataRequest, "data", "labels", "images", "cache",
    data="Where the same data lie now, if they moved.",
    labels="Where their label table lies now.",
    images="Where their images lie now, where that is not with the table.",
)  # fmt: skip

_ALONE = [
    option_of(TrainingRequest, "cpus_per_trial", help="CPU cores, or auto: all there are."),
    *in_groups(TrainingRequest, "device"),
]

_RECIPE = [
    *again_of(
        DataRequest, "data", "labels", "images", "cache",
        data="Chest X-rays: a folder, a label table or a dataset.yaml. [default: those of the "
        "STUDY; phantom with --recipe]",
        labels="Label table of a folder, where it lies elsewhere.",
        images="Folder of the images, where they lie elsewhere than the table.",
        cache="Folder of the decoded cache.",
    ),
    *in_groups(TrainingRequest, "split", "phantom", "frame", "seed", "weights"),
    *_ALONE,
]  # fmt: skip

genetic_options = in_groups(Settings, "genetic")
optuna_options = [
    option_of(Settings, "trials", help="Trials in all. [default: 50]"),
    option_of(Settings, "sampler", default="tpe"),
]


def options(*groups: list[Any]) -> Decorator:
    """A decorator that adds the options of ``groups``, in order, to a command."""

    def decorate(command: Command) -> Command:
        for group in reversed(groups):
            for option in reversed(group):
                command = option(command)
        return command

    return decorate


def search_options(first: list[Any]) -> Decorator:
    """The options of a search command: its own ``first``, then data, search and runner."""
    return options(first, _SEARCH)


data_options = options(_DATA)
"""Which data, and how they are split."""

run_options = options(_RUN)
"""How trials are run, and on images of what size they are cached."""

resume_options = options(_RESUME, _MOVED)
"""What may change when a study goes on."""

confirm_options = options(in_groups(ConfirmRequest, "confirm"))
"""How much a study is to be confirmed by."""

recipe_options = options(_RECIPE)
"""Data, split and device of a recipe that is trained without a search."""

alone_options = options(_ALONE)
"""What of the machine trainings use that run one after another."""

moved_options = options(_MOVED)
"""Where a study's data lie, if they moved."""


def settings_from(given: dict[str, Any], **fixed: Any) -> Settings:
    """`Settings` out of a command's options."""
    skip = ("study", "dry_run")
    chosen = {k: v for k, v in given.items() if k not in skip} | fixed
    return Settings(**chosen | {"from_studies": list(given["from_studies"])})
