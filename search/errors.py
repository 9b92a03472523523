"""Errors that a user can act on. Each carries all its problems, one message each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class SearchError(Exception):
    """Something the user gave cannot be used.

    Args:
        problems: one message, or several; each names the value, the place and the way out.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class SpaceError(SearchError):
    """A search space that cannot be read."""


class StudyError(SearchError):
    """A study that cannot be made, opened or resumed."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """``"; did you mean 'lr'?"`` for the nearest of ``known``, or an empty string."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
