"""What a sampler has to offer to be compared.

A contender is asked for a configuration and told its observed score, one at a time; scores are
maximised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .problem import Problem


class Contender(Protocol):
    """One run of a sampler on one problem."""

    def ask(self) -> tuple[Any, dict[str, Any]]:
        """``(key, params)``: the configuration to try next.

        ``params`` holds at least the active genes, with values inside the problem's
        distributions. ``key`` is handed back to `tell` and means something to the
        contender only.
        """

    def tell(self, key: Any, params: dict[str, Any], observed: float) -> None:
        """The observed score of what was asked for, the higher the better; always finite."""

    def close(self) -> None:
        """Give back what the run held: a process, a temporary folder. Called once, at the end."""


Make = Callable[[Problem, int, int], Contender]
"""``make(problem, seed, n_trials)`` starts a run that will be asked ``n_trials`` times."""


@dataclass(frozen=True)
class Entry:
    """A sampler that can be compared.

    Args:
        make: starts a run; called once a cell, in a worker process.
        version: of the library, or of our own sources; called once a run of the harness, so
            it may start another interpreter. Cells of another version are shown as stale.
        slow: too slow to ask for 200 trials of every cell: runs with 100 and fewer seeds.
        note: settings that are not the library's defaults, and why; one sentence.
        missing: the reason why it can't run here and the way out, or ``""``.
    """

    make: Make
    version: Callable[[], str]
    slow: bool = False
    note: str = ""
    missing: Callable[[], str] = lambda: ""
