"""Fields of a record that are options of commands: default, help, limits and choices in one place.

A record of what a user asks for is a frozen dataclass on top of `Record`::

    @dataclass(frozen=True)
    class Request(Record):
        '''What is asked for.'''

        share: float = option(0.2, "Share of the patients kept for the test part.", low=0, high=1)

Its check follows from that (`Record.problems`), as do its way into a file and back
(`Record.to_dict`, `Record.from_dict`) and the option ``--share`` of every command that takes it
(`cxrsearch.study.options`). So a new setting is one field, and the place where it acts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from search.errors import did_you_mean
from search.files import as_given

from .errors import InputError

OPTION = "option"
"""The key of an `Option` in a field's metadata."""

Choices = tuple[str, ...] | Callable[[], tuple[str, ...]]
"""What a field may be: names, or a function that gives them where a registry loads slowly."""


class Option(NamedTuple):
    """What a field is to users.

    Args:
        help: its line in ``--help``.
        group: commands take fields by group, in the order in which they are declared.
        low: smallest value of a number; None: any.
        high: largest value of a number; None: any.
        choices: what a text may be; None: anything.
        listed: whether ``--help`` lists ``choices``, where ``help`` does not name them itself.
        word: text that stands in the place of a number or of a path: ``auto``, ``phantom``.
        path: whether it names a file or folder (a list: several of them).
        metavar: its value in ``--help``; None: by its type.
        name: of the option, where that isn't the field's.
    """

    help: str
    group: str = ""
    low: float | None = None
    high: float | None = None
    choices: Choices | None = None
    listed: bool = True
    word: str | None = None
    path: bool = False
    metavar: str | None = None
    name: str | None = None

    @property
    def known(self) -> tuple[str, ...] | None:
        """The choices as names."""
        return self.choices() if callable(self.choices) else self.choices


def option(default: Any, help: str, **more: Any) -> Any:
    """A field of a dataclass that is also an option.

    Args:
        default: its value where none is given; ``list``: a new list each time.
        help: its line in ``--help``.
        more: the rest of an `Option`, by name.
    """
    metadata = {OPTION: Option(help, **more)}
    if default is list:
        return field(default_factory=list, metadata=metadata)
    return field(default=default, metadata=metadata)


def options_of(record: type[Record], *groups: str) -> dict[str, Option]:
    """The options among the fields of ``record``, by the field's name.

    Args:
        record: a dataclass.
        groups: only those of these groups, one group after the other; none: all, as declared.
    """
    found = {f.name: f.metadata[OPTION] for f in fields(record) if OPTION in f.metadata}
    if not groups:
        return found
    return {name: o for group in groups for name, o in found.items() if o.group == group}


def flag(name: str, about: Option | None = None) -> str:
    """How a field's option is spelled: ``--val-share`` for ``val_share``."""
    spelled = about.name if about is not None and about.name else name
    return f"--{spelled.replace('_', '-')}"


@dataclass(frozen=True)
class Record:
    """What a user asks for, as a frozen dataclass whose fields are made by `option`."""

    def problems(self) -> list[str]:
        """Everything that is wrong, a line each; a record with rules of its own adds them."""
        about = options_of(type(self))
        given = [(flag(name, o), getattr(self, name), o) for name, o in about.items()]
        limits = [limit_problem(*one) for one in given]
        choices = [_choice_problem(*one) for one in given]
        return [problem for problem in (*limits, *choices) if problem]

    def check(self) -> None:
        """Raise one `InputError` that names everything that cannot work."""
        if problems := self.problems():
            raise InputError(problems)

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, as files keep them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "study.yaml") -> Self:
        """The inverse of `to_dict`; unknown keys of a newer version are an error.

        Args:
            values: by name; those that are missing are the default.
            source: the file that they come from, for messages.

        Raises:
            InputError: where a key is unknown, or a value of another kind than it should be.
        """
        kinds = {f.name: str(f.type) for f in fields(cls)}
        unknown = sorted(str(key) for key in values if key not in kinds)
        if unknown:
            raise InputError(f"{source}: unknown settings {', '.join(unknown)}; newer version?")
        problems = [
            f"{source}: {key} is {value!r}, not {kinds[key]}; restore it from a copy"
            for key, value in values.items()
            if type(value).__name__ not in _names_of(kinds[key])
        ]
        if problems:
            raise InputError(problems)
        return cls(**values)

    def with_absolute_paths(self) -> Self:
        """The same with its paths absolute, so that it means the same from anywhere.

        Links in them stay links; see `search.files.as_given`.
        """
        paths = {
            name: _absolute(value)
            for name, about in options_of(type(self)).items()
            if about.path and (value := getattr(self, name)) and value != about.word
        }
        return replace(self, **paths)


def limit_problem(spelled: str, value: Any, about: Option) -> str | None:
    """What is wrong with ``value`` by the limits in ``about``; None passes, as does its word.

    Args:
        spelled: the option, ``--val-share``.
        value: what was given.
        about: the field.
    """
    low, high = about.low, about.high
    if value is None or (low is None and high is None) or value == about.word:
        return None
    if isinstance(value, str):
        return f"{spelled} {value}: must be a number{f' or {about.word}' if about.word else ''}"
    if (-math.inf if low is None else low) <= value <= (math.inf if high is None else high):
        return None
    if high is None:
        bound = f"at least {low:,}"
    else:
        bound = f"at most {high:,}" if low is None else f"from {low:,} to {high:,}"
    return f"{spelled} {value}: must be {bound}"


def _choice_problem(spelled: str, value: Any, about: Option) -> str | None:
    known = about.known
    if known is None or value is None or value in known:
        return None
    return f"{spelled} {value}: one of {', '.join(known)}{did_you_mean(value, known)}"


def _names_of(kind: str) -> list[str]:
    """The names of the types that a value of a field's ``kind`` may have."""
    names = [part.partition("[")[0] for part in kind.replace("None", "NoneType").split(" | ")]
    return [*names, "int"] if "float" in names else names


def _absolute(value: Any) -> Any:
    if isinstance(value, list):
        return [_absolute(each) for each in value]
    return str(as_given(Path(value).expanduser()))
