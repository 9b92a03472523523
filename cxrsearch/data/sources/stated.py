"""What a ``dataset.yaml`` says, with every fault of it, by line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cxrsearch.data.description import (
    BLANKS,
    POLICIES,
    READERS,
    ROLES,
    SPLIT_BY,
    Description,
    LabelFrom,
    Pattern,
)
from cxrsearch.data.labels.formats import LABEL_FORMATS
from cxrsearch.data.labels.names import name_problems
from cxrsearch.data.patterns import pattern_problem
from cxrsearch.errors import InputError
from search.errors import did_you_mean
from search.reading import FileError, parse_yaml, read_text, yaml_lines

NAME = "dataset.yaml"
"""A folder that holds one is read as it says."""
NAMES = (NAME, "dataset.yml")
ENDS = (".yaml", ".yml")
KEYS = ("images", "table", "format", "columns", "labels", "uncertain", "blank", "readers",
        "filter", "split", "options")  # fmt: skip
ALL_OTHERS = "*"
"""In the place of a label: all that are not named."""
MOST_BYTES = 1_000_000
"""Of such a file; that of PadChest's 193 labels has ten thousand."""
MOST_LABELS = 2_000
MOST_FAULTS = 50
"""Faults of one file that are named at most."""
_QUOTE = "YAML reads yes, no, on and off as true and false: put it in quotes"
Spot = tuple[str | int, ...]
_KEY = re.compile(r"(?:^|: )(columns|filter|labels|uncertain|blank|options|split): (.*)", re.DOTALL)


@dataclass
class Stated:
    """What a description says.

    Args:
        source: the file, for messages.
        base: what its paths are relative to.
        lines: where each part of it stands.
        fields: of `Description`, those that it states.
        problems: what is wrong with it.
    """

    source: str
    base: Path
    lines: Mapping[Spot, int] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)

    def fault(self, place: Spot, what: str) -> None:
        """Note that something is wrong at ``place``: its keys, and places in lists."""
        where = ".".join(str(part + 1) if isinstance(part, int) else part for part in place)
        self._note(place, f"{where}: {what}" if where else what)

    def of_table(self, problems: Sequence[str]) -> list[Spot]:
        """Note what reading the data as this says complains of, on the line that it is about.

        Args:
            problems: sentences, in which what is stated is named as ``columns: patient`` or
                ``labels: no column 'X'``.

        Returns:
            the places in the file that they are about.
        """
        places = [self._about(problem) for problem in problems]
        # What is wrong with a label's name both know; here it has its line.
        told = {text.rpartition(": label")[2] for _, text in self.problems if ": label" in text}
        for place, problem in zip(places, problems, strict=True):
            if problem.rpartition(": label")[2] not in told:
                self._note(place, problem)
        return places

    def _note(self, place: Spot, text: str) -> None:
        while place and place not in self.lines:
            place = place[:-1]
        line = self.lines.get(place, 0)
        at = f"{self.source}, line {line}" if line else self.source
        self.problems.append((line, f"{at}: {text}"))

    def _about(self, problem: str) -> Spot:
        """The place in the file that a problem of the table is about."""
        match = _KEY.search(problem)
        if match is None:
            return ()
        key, rest = match[1], match[2]
        if key == "labels":
            sources = [label.source for label in self.fields.get("labels", ())]
            found = [row for row, source in enumerate(sources) if f" {source!r}" in rest]
            return (key, *found[:1])
        names = [place[1] for place in self.lines if place[:1] == (key,) and len(place) == 2]
        named = [name for name in names if rest.startswith(f"{name}:") or f" {name!r}" in rest]
        return (key, *named[:1])

    def check(self) -> None:
        """Raise one `InputError` that names everything that is wrong, by line."""
        found = list(dict.fromkeys(text for _, text in sorted(self.problems, key=lambda p: p[0])))
        if found:
            more = len(found) - MOST_FAULTS
            raise InputError(
                [
                    *found[:MOST_FAULTS],
                    *([f"{self.source}: and {more:,} more faults"] if more > 0 else []),
                ]
            )


def stated_in(path: Path) -> Stated:
    """What the file ``path`` says; what is wrong with its words is among its problems.

    Raises:
        InputError: where it is no YAML that can be read.
    """
    try:
        text = read_text(path, "the description of the data", MOST_BYTES)
        data = parse_yaml(text, str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check its name") from None
    except FileError as error:
        raise InputError(error.problems) from None
    return stated(data, str(path), path.absolute().parent, yaml_lines(text))


def stated(data: Any, source: str, base: Path, lines: Mapping[Spot, int] | None = None) -> Stated:
    """What plain ``data``, a mapping, say.

    Args:
        data: of a YAML file.
        source: the file, for messages.
        base: folder that its paths are relative to.
        lines: as `search.reading.yaml_lines` gives them.
    """
    found = Stated(source, base, lines or {})
    if not isinstance(data, Mapping):
        what = "is empty" if data is None else f"is {_shown(data)}, not a mapping"
        found.fault(
            (), f"{what}; write at least images: FOLDER, or let `cxrsearch dataset` write it"
        )
        return found
    _unknown(found, (), data, KEYS)
    for key, read in _READERS.items():
        if data.get(key) is not None:
            value = read(found, (key,), data[key])
            if value is not None:
                found.fields[key] = value
    return found


def described(data: Any, source: str, base: Path) -> Description:
    """The description that plain ``data`` are, as `cxrsearch.data.sources.written` made them.

    Raises:
        InputError: where they are none.
    """
    found = stated(data, source, base)
    for key in ("images", "format"):
        if not found.problems and key not in found.fields:
            found.fault((key,), "is missing; restore the file from a copy")
    found.check()
    return Description(**{"table": (), **found.fields})


def _unknown(found: Stated, place: Spot, given: Mapping[Any, Any], known: Sequence[str]) -> None:
    for key in given:
        if key not in known:
            hint = did_you_mean(key, known) or f"; one of {', '.join(known)}"
            found.fault((*place, str(key)), f"unknown key{hint}")


def _text(found: Stated, place: Spot, value: Any, what: str) -> str | None:
    """A text, or a number as it is written; None where it is something else."""
    if isinstance(value, bool):
        found.fault(place, f"is {_shown(value)}; {_QUOTE}")
    elif isinstance(value, str) and value.strip():
        return value
    elif isinstance(value, int | float):
        return str(value)
    else:
        found.fault(place, f"is {_shown(value)}; write {what}")
    return None


def _path(found: Stated, place: Spot, value: Any) -> Path | None:
    text = _text(found, place, value, "a path")
    if text is None:
        return None
    if "\0" in text:
        found.fault(place, "is no path; write one")
        return None
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        path = Path(text)
    # Not resolved: a link may be what a folder is known by.
    return Path(os.path.normpath(found.base / path))


def _table(found: Stated, place: Spot, value: Any) -> tuple[Path, ...] | None:
    if isinstance(value, list):
        paths = [_path(found, (*place, row), one) for row, one in enumerate(value)]
        return tuple(path for path in paths if path)
    path = _path(found, place, value)
    return (path,) if path else None


def _word(choices: Sequence[str]) -> Any:
    def read(found: Stated, place: Spot, value: Any) -> str | None:
        if isinstance(value, str) and value in choices:
            return value
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        found.fault(place, f"is {_shown(value)}; one of {', '.join(choices)}{hint}")
        return None

    return read


def _format(found: Stated, place: Spot, value: Any) -> str | None:
    return cast("str | None", _word(tuple(LABEL_FORMATS))(found, place, value))


def _columns(found: Stated, place: Spot, value: Any) -> dict[str, str | Pattern | None] | None:
    if not isinstance(value, Mapping):
        found.fault(place, f"is {_shown(value)}; write ROLE: COLUMN, of {', '.join(ROLES)}")
        return None
    _unknown(found, place, value, ROLES)
    columns: dict[str, str | Pattern | None] = {}
    for role in ROLES:
        if role not in value:
            continue
        given, here = value[role], (*place, role)
        if given is None:
            columns[role] = None
        elif isinstance(given, Mapping):
            if pattern := _pattern(found, here, given):
                columns[role] = pattern
        elif text := _text(found, here, given, "a column, or {pattern: REGEX}"):
            columns[role] = text
    if isinstance(columns.get("image"), Pattern):
        del columns["image"]
        found.fault((*place, "image"), "is a pattern; name the column that says which image it is")
    return columns


def _pattern(found: Stated, place: Spot, given: Mapping[Any, Any]) -> Pattern | None:
    _unknown(found, place, given, ("pattern",))
    regex = given.get("pattern")
    if not isinstance(regex, str):
        found.fault(place, "write {pattern: REGEX}, in single quotes")
        return None
    if problem := pattern_problem(regex):
        found.fault((*place, "pattern"), problem.removeprefix("pattern "))
        return None
    return Pattern(regex)


def _labels(found: Stated, place: Spot, value: Any) -> tuple[LabelFrom, ...] | None:
    if not isinstance(value, list) or not value:
        found.fault(
            place, f"is {_shown(value)}; write a list of names, or of {{name: NEW, from: OLD}}"
        )
        return None
    if len(value) > MOST_LABELS:
        found.fault(place, f"are {len(value):,}; {MOST_LABELS:,} are read at most")
        return None
    labels = []
    for row, entry in enumerate(value):
        here = (*place, row)
        if isinstance(entry, Mapping):
            _unknown(found, here, entry, ("name", "from"))
            name = _text(found, (*here, "name"), entry.get("name"), "a name")
            old = entry.get("from", name)
            source = None if old is None else _text(found, (*here, "from"), old, "a column or word")
            if name and source:
                labels.append((row, LabelFrom(name, source)))
        elif name := _text(found, here, entry, "a name, or {name: NEW, from: OLD}"):
            labels.append((row, LabelFrom(name, name)))
    _check_names(found, place, labels)
    return tuple(label for _, label in labels)


def _check_names(found: Stated, place: Spot, labels: Sequence[tuple[int, LabelFrom]]) -> None:
    """Fault names that cannot be used, each on its line, and those that are too alike."""
    whole = name_problems([label.name for _, label in labels])
    for row, label in labels:
        for problem in name_problems([label.name]):
            found.fault((*place, row), problem)
            if problem in whole:
                whole.remove(problem)
    for problem in whole:
        found.fault(place, problem)


def _policy(choices: Sequence[str]) -> Any:
    word = _word(choices)

    def read(found: Stated, place: Spot, value: Any) -> dict[str, str] | None:
        if not isinstance(value, Mapping):
            policy = word(found, place, value)
            return {"": policy} if policy else None
        each = {}
        for label, given in value.items():
            if isinstance(label, bool):
                found.fault((*place, str(label)), _QUOTE)
            elif policy := word(found, (*place, str(label)), given):
                each["" if label == ALL_OTHERS else str(label)] = policy
        return each

    return read


def _filter(found: Stated, place: Spot, value: Any) -> dict[str, tuple[str, ...]] | None:
    if not isinstance(value, Mapping):
        found.fault(place, f"is {_shown(value)}; write COLUMN: [VALUES THAT ARE KEPT]")
        return None
    kept = {}
    for column, given in value.items():
        here = (*place, str(column))
        if isinstance(column, bool):
            found.fault(here, _QUOTE)
            continue
        every = given if isinstance(given, list) else [given]
        values = [
            _text(found, (*here, row) if isinstance(given, list) else here, one, "a value")
            if one != ""
            else ""
            for row, one in enumerate(every)
        ]
        if not every:
            found.fault(here, "keeps no value; name at least one")
        kept[str(column)] = tuple(one for one in values if one is not None)
    return kept


def _options(found: Stated, place: Spot, value: Any) -> dict[str, str] | None:
    if not isinstance(value, Mapping):
        found.fault(place, f"is {_shown(value)}; write NAME: VALUE")
        return None
    texts = {
        str(name): one if one == "" else _text(found, (*place, str(name)), one, "a value")
        for name, one in value.items()
    }
    return {name: text for name, text in texts.items() if text is not None}


def _shown(value: Any) -> str:
    """A value for a message, shortened."""
    text = {None: "empty", True: "true", False: "false"}.get(value) if _plain(value) else None
    text = text or repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


_READERS: dict[str, Any] = {
    "images": _path,
    "table": _table,
    "format": _word(tuple(LABEL_FORMATS)),
    "columns": _columns,
    "labels": _labels,
    "uncertain": _policy(POLICIES),
    "blank": _policy(BLANKS),
    "readers": _word(READERS),
    "filter": _filter,
    "split": _word(SPLIT_BY),
    "options": _options,
}


def listed(names: Iterable[str], most: int = 20) -> str:
    """Some names, for a message."""
    every = list(names)
    return ", ".join(every[:most]) + (
        f" and {len(every) - most:,} more" if len(every) > most else ""
    )
