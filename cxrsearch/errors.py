"""The one error that bad input raises: shown without a traceback, exit code 2."""

from __future__ import annotations

import shlex

from search.errors import SearchError


class InputError(SearchError):
    """The user's data, files or options cannot be used. See `SearchError` for ``problems``."""


def quoted(path: object) -> str:
    """``path`` as a shell takes it, for commands that a message tells the user to type."""
    return shlex.quote(str(path))
