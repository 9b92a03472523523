"""What is wrong with a label table, by kind and line."""

from __future__ import annotations

from collections import defaultdict

from cxrsearch.data.files import SHOWN, shorten
from cxrsearch.errors import InputError

from .cells import Cells

LONGEST_ID = 512
"""Characters of an image's name or a patient's, at most."""
CELL_SHOWN = 80
"""Characters of a cell that are shown."""


class TableProblems:
    """TableProblems by kind, each with its line in the file.

    Args:
        cells: the table whose rows are meant.
    """

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.kinds: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.others: list[str] = []

    def add(self, kind: str, row: int, what: str) -> None:
        """Note that something is wrong in a row."""
        # Rows of the file: what is read may have fewer by the time this is told.
        self.kinds[kind].append((int(self.cells.rows[row]), what))

    def say(self, what: str) -> None:
        """Note what is wrong with more than a row."""
        self.others.append(what)

    def raise_any(self) -> None:
        """Raise one `InputError` with the first of each kind and a count of the others."""
        found = list(self.others)
        for kind in self.kinds.values():
            every = sorted(kind, key=lambda one: one[0])
            places = [f"{self.cells.place(row)}: {what}" for row, what in every[:SHOWN]]
            found += shorten([*places, *("" for _ in every[SHOWN:])])
        if found:
            raise InputError(found)


def short(cell: str) -> str:
    """What a cell says, for people."""
    return repr(cell if len(cell) <= CELL_SHOWN else f"{cell[:CELL_SHOWN]}...")


def too_long(what: str, text: str) -> str:
    """That a name is longer than any that is read."""
    return (
        f"{what} of {len(text):,} characters ({text[:20]!r}...); {LONGEST_ID} are read at most. Is "
        "a quote missing?"
    )
