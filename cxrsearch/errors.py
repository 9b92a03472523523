"""The one error that bad input raises: shown without a traceback, exit code 2."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TypeVar

from search.errors import SearchError

T = TypeVar("T")


class InputError(SearchError):
    """The user's data, files or options cannot be used. See `SearchError` for ``problems``."""


def quoted(path: object) -> str:
    """``path`` as a shell takes it, for commands that a message tells the user to type."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)  # else it is an option


def attempt(check: Callable[[], T], problems: list[str]) -> T | None:
    """What ``check`` returns, or None where it fails; what it complains of joins ``problems``."""
    try:
        return check()
    except SearchError as error:
        problems.extend(error.problems)
        return None
