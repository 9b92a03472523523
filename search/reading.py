"""Reads JSON and YAML that anybody may have damaged, with one kind of error for all of it.

A file that `search.files` wrote carries a digest of what it says, so that one which was changed
since is refused rather than believed. A file without one is of an earlier version, or written by
hand, and is read as it is.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from .errors import SearchError

DIGEST = "digest"
"""The last key of a JSON object that `search.files.write_json` wrote."""

CONTENT = "content"
"""Beside `DIGEST`, what a JSON file holds that is no object."""

MOST_FILE_BYTES = 64_000_000
"""No larger file is read, unless its reader says so."""

MOST_YAML = 8_000_000
"""No longer YAML is read: it is read slowly."""

DEEPEST = 64
"""Levels of lists and mappings within each other."""

WIDEST_INT = 2**64
"""Whole numbers are smaller."""

FIRST_LINE = "# The last line is a digest of all before it.\n"
"""The first line of a YAML file with a digest, by which one that was cut off is known."""

MOST_REPEATED = 10_000
"""Values that the aliases and merges of a YAML text may repeat."""

_HEX = re.compile(r"[0-9a-f]")
_DIGEST_LINE = re.compile(r"# digest: (sha256:[0-9a-f]{64})\n")
_LIKE_DIGEST_LINE = re.compile(r"# digest: |sha256:[0-9a-f]{32}")
# Half of a surrogate pair, but for those by which Python spells bytes of a file's name.
_NO_TEXT = re.compile("[\ud800-\udc7f\udd00-\udfff]")
RESTORE = "restore it from a copy"


class FileError(SearchError):
    """A file, or a text out of one, that cannot be read. Shown without a traceback."""


class _ProblemError(Exception):
    """What is wrong with a text, without its place."""


# Numbers


def number(value: object, low: float = -math.inf, high: float = math.inf) -> int | float | None:
    """``value`` where it is a finite number from ``low`` to ``high``, else ``None``.

    Truth values are no numbers, nor are whole ones that a float cannot come near.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and abs(value) >= WIDEST_INT:
        return None
    return value if math.isfinite(value) and low <= value <= high else None


def whole(value: object, low: float = -math.inf, high: float = math.inf) -> int | None:
    """``value`` as an int where it is a whole number (3, 3.0) from ``low`` to ``high``."""
    found = number(value, low, high)
    return int(found) if found is not None and found == int(found) else None


# Files


def read_bytes(path: Path, most: int = MOST_FILE_BYTES, what: str = "") -> bytes:
    """All bytes of an ordinary file.

    Args:
        path: the file.
        most: bytes that it may have.
        what: what it is, for messages.

    Raises:
        FileNotFoundError: where there is none.
        FileError: where it is no ordinary file, larger, or cannot be read.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO would wait for somebody who writes into it.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise FileError(f"{path}: is no ordinary file; put one there")
            data = file.read(most + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise _unread(path, what, reason, "") from None
    if len(data) > most:
        raise _unread(path, what, f"it has more than {most:,} bytes")
    return data


def _unread(path: Path, what: str, why: object, way_out: str = f"; {RESTORE}") -> FileError:
    return FileError(f"{path}: {what}{' ' * bool(what)}cannot be read: {why}{way_out}")


def _decoded(data: bytes) -> str:
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _ProblemError(f"it is not text in UTF-8 (byte {error.start})") from None


def read_text(path: Path, what: str = "", most: int = MOST_FILE_BYTES) -> str:
    """The text of ``path``, in UTF-8. See `read_bytes`.

    Raises:
        FileNotFoundError: where there is none.
        FileError: where it cannot be read.
    """
    try:
        return _decoded(read_bytes(path, most, what))
    except _ProblemError as problem:
        raise _unread(path, what, problem) from None


# JSON


def digest_of(value: Any) -> str:
    """``sha256:`` and the hexadecimal digest of a JSON value, however it is laid out."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def read_json(path: Path, what: str = "", most: int = MOST_FILE_BYTES) -> Any:
    """What the JSON file ``path`` says, without its digest.

    Args:
        path: the file.
        what: what it is, for messages: ``"the splits"``.
        most: bytes that it may have.

    Raises:
        FileNotFoundError: where there is none.
        FileError: where it cannot be read, is no JSON, or was changed since it was written.
    """
    data = read_bytes(path, most, what)
    try:
        return _without_digest(_json(_decoded(data)))
    except _ProblemError as problem:
        raise _unread(path, what, problem) from None


def parse_json(text: str | bytes, source: str, *, foreign: bool = False) -> Any:
    """What the JSON ``text`` says. See `read_json`.

    A digest in it is a key like others: it is `read_json` that looks after files.

    Args:
        text: the JSON.
        source: what is named in messages.
        foreign: whether it may be by a program that writes NaN and longer whole numbers.

    Raises:
        FileError: where it is no JSON.
    """
    try:
        return _json(text if isinstance(text, str) else _decoded(text), foreign)
    except _ProblemError as problem:
        raise FileError(f"{source}: {problem}; {RESTORE}") from None


def _json(text: str, foreign: bool = False) -> Any:
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=None if foreign else _int,
            parse_float=None if foreign else _float,
            parse_constant=None if foreign else _constant,
        )
    except json.JSONDecodeError as error:
        raise _ProblemError(f"it is no JSON (line {error.lineno}: {error.msg})") from None
    except RecursionError:
        raise _ProblemError("it is nested too deeply") from None
    except ValueError:
        raise _ProblemError("it holds a whole number of too many digits") from None
    _check_shape(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _ProblemError(f"the key {_short(twice)} is there twice")
    return found


def _int(text: str) -> int:
    if len(text) > 21 or abs(int(text)) >= WIDEST_INT:
        raise _ProblemError(f"the whole number {_short(text)} is too large")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _ProblemError(f"the number {_short(text)} is too large")
    return value


def _constant(text: str) -> float:
    raise _ProblemError(f"{text} is not a number in JSON")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def _check_shape(value: Any) -> None:
    """Neither too deep nor with halves of characters, which nothing could print."""
    level: list[Any] = [value]
    for _ in range(DEEPEST + 1):
        if not level:
            return
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict):
                for key in item:
                    _check_text(key)
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
    if level:
        raise _ProblemError(f"it is nested more than {DEEPEST} levels deep")


def readable(text: str) -> str:
    """``text`` with halves of characters spelt out, so that it can be read back."""
    if text.isascii():
        return text
    return _NO_TEXT.sub(lambda half: f"\\u{ord(half[0]):x}", text)


def _check_text(text: str) -> None:
    if not text.isascii() and _NO_TEXT.search(text):
        raise _ProblemError(f"{_short(ascii(text))} holds half a character")


def _without_digest(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if DIGEST not in value:
        # The key itself may be what was changed, and its value with it.
        last = next(reversed(value.values()), None)
        text = last if isinstance(last, str) and len(last) == len(digest_of(None)) else ""
        if len(_HEX.findall(text)) > 50:
            raise _ProblemError("it was changed since it was written")
        return value
    given = value.pop(DIGEST)
    if given == digest_of(value):
        return value
    if list(value) == [CONTENT] and given == digest_of(value[CONTENT]):
        return value[CONTENT]
    raise _ProblemError(
        "it was changed since it was written (where that was you, on purpose, take out "
        f"its key {DIGEST!r})"
    )


# YAML


class _Loader(yaml.SafeLoader):
    """Plain data only: what JSON has, no key twice, and limits on what a short text becomes.

    Dates stay the texts that they are written as.
    """

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node, unless it lies too deep."""
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.get_mark()
            text = f"it is nested more than {DEEPEST} levels deep"
            raise yaml.composer.ComposerError(None, None, text, mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping without a key twice (`yaml.SafeLoader` takes the last in silence)."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"{key.value!r} is there twice; keep one", key.start_mark
                )
            seen.add(key.value)
        return node

    def get_single_node(self) -> yaml.Node | None:
        """The document, unless its aliases repeat too much of it."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _check_repeats(node)
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number within limits."""
        try:
            value: int = super().construct_yaml_int(node) if len(node.value) < 1000 else WIDEST_INT
        except ValueError:
            raise self._no_number(node) from None
        if abs(value) >= WIDEST_INT:
            raise yaml.constructor.ConstructorError(
                None, None, f"the whole number {_short(node.value)} is too large", node.start_mark
            )
        return value

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        """A number that a float can hold; ``.inf`` and ``.nan`` where they are spelt so."""
        try:
            value: float = super().construct_yaml_float(node)
        except (ValueError, OverflowError):
            raise self._no_number(node) from None
        if not math.isfinite(value) and re.search(r"\d", node.value):
            raise self._no_number(node)
        return value

    def construct_yaml_bool(self, node: yaml.ScalarNode) -> bool:
        """A truth value, also where a tag says so of something else."""
        try:
            return bool(super().construct_yaml_bool(node))
        except KeyError:
            raise self._no_number(node) from None

    @staticmethod
    def _no_number(node: yaml.ScalarNode) -> yaml.constructor.ConstructorError:
        text = f"{_short(node.value)} is written in a way that YAML cannot read; quote it"
        return yaml.constructor.ConstructorError(None, None, text, node.start_mark)


_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")
_Loader.yaml_constructors = {
    f"tag:yaml.org,2002:{kind}": getattr(_Loader, f"construct_yaml_{kind}") for kind in _PLAIN
} | {None: yaml.SafeLoader.construct_undefined}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return (part for pair in node.value for part in pair)
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _check_repeats(root: yaml.Node) -> None:
    """Refuse a document that refers to itself, or becomes far larger than it is written."""
    sizes: dict[int, int] = {}
    opened: set[int] = set()
    stack: list[tuple[yaml.Node, Iterator[yaml.Node]]] = [(root, iter(_children(root)))]
    while stack:
        node, rest = stack[-1]
        opened.add(id(node))
        inner = next(rest, None)
        if inner is None:
            stack.pop()
            opened.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(part)] for part in _children(node))
        elif id(inner) in opened:
            raise yaml.composer.ComposerError(
                None, None, "an alias refers to what it is part of", inner.start_mark
            )
        elif id(inner) not in sizes:
            stack.append((inner, iter(_children(inner))))
    if sizes[id(root)] - len(sizes) > MOST_REPEATED:
        raise yaml.composer.ComposerError(
            None, None, f"aliases repeat more than {MOST_REPEATED:,} values", root.start_mark
        )


def read_yaml(path: Path, what: str = "", most: int = MOST_YAML) -> Any:
    """What the YAML file ``path`` says; ``None`` where it is empty.

    Args:
        path: the file.
        what: what it is, for messages.
        most: bytes that it may have.

    Raises:
        FileNotFoundError: where there is none.
        FileError: where it cannot be read, is no YAML, or was changed since it was written.
    """
    data = read_bytes(path, most, what)
    try:
        text = _decoded(data)
        _check_digest_line(text)
    except _ProblemError as problem:
        raise _unread(path, what, problem) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Any:
    """What the YAML ``text`` says; ``source`` is named in messages.

    Raises:
        FileError: where it is no YAML, with the line.
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        what = error.problem or error.context or "it is no YAML"
        raise FileError(f"{source}: {line}{what}; correct the YAML there") from None
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0]
        raise FileError(f"{source}: {first}; correct the YAML there") from None
    except RecursionError:
        raise FileError(f"{source}: is nested too deeply; correct the YAML there") from None
    except (ValueError, TypeError, OverflowError, AttributeError, IndexError, KeyError) as error:
        raise FileError(
            f"{source}: a value is written in a way that YAML cannot read ({error}); quote it"
        ) from None
    return value


def yaml_lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Where each part of a YAML text stands: its keys and places in lists -> its line.

    Args:
        text: what `parse_yaml` reads.
    """
    root = yaml.compose(text, Loader=_Loader)
    lines: dict[tuple[str | int, ...], int] = {}
    pending: list[tuple[tuple[str | int, ...], yaml.Node | None]] = [((), root)]
    while pending:
        place, node = pending.pop()
        if isinstance(node, yaml.MappingNode):
            inner = [((*place, str(key.value)), key, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            inner = [((*place, row), part, part) for row, part in enumerate(node.value)]
        else:
            continue
        for name, mark, value in inner:
            lines[name] = mark.start_mark.line + 1
            pending.append((name, value))
    return lines


def with_digest(text: str) -> str:
    """A YAML text between `FIRST_LINE` and a comment with the digest of all before it."""
    text = FIRST_LINE + text
    return f"{text}# digest: sha256:{hashlib.sha256(text.encode()).hexdigest()}\n"


def _check_digest_line(text: str) -> None:
    lines = text.splitlines(keepends=True)
    last = lines[-1] if lines else ""
    if not (text.startswith(FIRST_LINE) or _LIKE_DIGEST_LINE.search(last)):
        return
    body = "".join(lines[1:-1])
    if not _DIGEST_LINE.fullmatch(last) or with_digest(body) != text:
        raise _ProblemError(
            "it was changed since it was written (where that was you, on purpose, take out its "
            "first and its last line)"
        )
