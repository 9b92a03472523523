"""The one error that bad input raises: shown without a traceback, exit code 2."""

from __future__ import annotations

from search.errors import SearchError


class InputError(SearchError):
    """The user's data, files or options cannot be used. See `SearchError` for ``problems``."""
