"""Tells the machine's failures from the recipes', and a place that is out of order.

A full disk fails every trial within a second. Told to the study, a hundred recipes would have
failed, and on a cluster one such node would take nearly all of a search, since it is always
free. So a failure that may be the machine's is held: its trial stays unfinished, until

- another trial makes progress at the same place. Then the place works. An error of the objective
  was the recipe's, and is told; one of the machine (a disk, a device, a library that is missing)
  has passed, and the trial goes on;
- or so many trials in a row have failed alike there that chance would hardly do it once in a
  hundred searches, by the share of such failures before. Then the place is out of order: nothing
  more runs there, and its trials are none the worse for it.

What may be the machine's: all that `search.objective.MACHINE` names, whenever it comes; and any
error before the first new step of a trial. Values that are no numbers and memory that runs out
are always the recipe's. Errors are alike where the last line is, up to its digits.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field

from .objective import MACHINE, Outcome, Task

CHANCE = 1e-3
LEAST = 3
"""No fewer failures in a row are taken for the machine's. Of what is the machine's by its kind
(`search.objective.MACHINE`) so many are enough."""

PLACE_PRIOR = (1, 4)
"""How many trials that failed alike, and others, each place is given to begin with. Without any
experience it takes 10 in a row, since chance would do that once in a thousand times."""


@dataclass(frozen=True)
class Suspect:
    """A trial's failure that is held.

    Args:
        task: the trial.
        outcome: how it failed.
        worker: who ran it.
    """

    task: Task
    outcome: Outcome
    worker: str = ""

    @property
    def machine(self) -> bool:
        """Whether by its reason it is the machine's."""
        return self.outcome.reason in MACHINE

    @property
    def error(self) -> str:
        """The line that says what went wrong."""
        lines = [line.strip() for line in self.outcome.detail.splitlines() if line.strip(" ^~")]
        return lines[-1][:300] if lines else str(self.outcome.reason)

    @property
    def signature(self) -> str:
        """What is the same for failures that are alike."""
        return re.sub(r"0x[0-9a-f]+|\d+", "#", f"{self.outcome.reason}: {self.error}")


@dataclass
class _Place:
    held: list[Suspect] = field(default_factory=list)
    well: set[int] = field(default_factory=set)  # trials that made progress
    failures: Counter[str] = field(default_factory=Counter)  # that were the recipes'


class Breaker:
    """Holds failures, by place: a node, or this process."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._second: set[int] = set()

    @staticmethod
    def suspicious(outcome: Outcome, fresh: bool) -> bool:
        """Whether a failure may be the machine's.

        Args:
            outcome: how a trial ended.
            fresh: whether it had made no new step since it was started, or started again.
        """
        return outcome.reason in MACHINE or (fresh and outcome.reason in ("crash", "bad data"))

    def alive(self, place: str, number: int) -> list[Suspect]:
        """Trial ``number`` has made progress; the failures that are no longer held there."""
        here = self._at(place)
        here.well.add(number)
        return self._let_go(here, here.held)

    def failed(self, place: str, suspect: Suspect) -> list[Suspect]:
        """Hold a failure; those of the objective that it is not alike are no longer held."""
        here = self._at(place)
        here.held.append(suspect)
        other = [s for s in here.held if not s.machine and s.signature != suspect.signature]
        return self._let_go(here, other)

    def out_of_order(self, place: str, closing: bool = False) -> str | None:
        """Why nothing more should run at ``place``, or ``None``.

        Args:
            place: where.
            closing: whether nothing else is left to run anywhere. Then `LEAST` failures are enough
                where no trial ever went well.
        """
        here = self._at(place)
        row = self._row(here)
        if len(row) < LEAST:
            return None
        if row[-1].machine or (closing and not here.well):
            return self._words(row)
        again = here.failures[row[-1].signature]
        others = len(here.well) + here.failures.total() - again
        # Every trial is one more occasion for a row to happen by chance.
        likely = self._chance(again, others, len(row)) * (1 + again + others)
        return self._words(row) if likely <= CHANCE else None

    @staticmethod
    def _chance(again: int, others: int, length: int) -> float:
        """That the next ``length`` trials all fail, after so many that did and did not.

        The share of those that fail is unknown; it has a beta distribution (Laplace's rule of
        succession).
        """
        bad, good = again + PLACE_PRIOR[0], others + PLACE_PRIOR[1]
        return math.prod((bad + k) / (bad + good + k) for k in range(length))

    @property
    def places(self) -> list[str]:
        """Where failures are held."""
        return [place for place, here in self._places.items() if here.held]

    @property
    def holds(self) -> bool:
        """Whether anything is held."""
        return bool(self.places)

    def take(self, place: str) -> list[Suspect]:
        """All that is held at ``place``, to be run elsewhere; it is forgotten here."""
        held, self._at(place).held = self._at(place).held, []
        return held

    def rest(self) -> tuple[list[Suspect], list[Suspect], str | None]:
        """What becomes of what is held when nothing else is left to run.

        Returns:
            failures that count as the recipes'; trials that are to be tried once more; and why
            the search should stop, where the machine failed one once more.
        """
        judged, again = list[Suspect](), list[Suspect]()
        why = None
        for here in self._places.values():
            for suspect in here.held:
                if suspect.outcome.reason != "machine":  # one that was killed had its retries
                    judged.append(suspect)
                elif suspect.task.number in self._second:
                    why = self._words([suspect])
                else:
                    again.append(suspect)
            here.held = []
        self._second |= {suspect.task.number for suspect in again}
        return judged, again, why

    def _at(self, place: str) -> _Place:
        return self._places.setdefault(place, _Place())

    @staticmethod
    def _let_go(here: _Place, those: list[Suspect]) -> list[Suspect]:
        here.held = [s for s in here.held if s not in those]
        here.failures.update(s.signature for s in those if not s.machine)
        return those

    @staticmethod
    def _row(here: _Place) -> list[Suspect]:
        """The last failures that are alike, one of each trial."""
        row: dict[int, Suspect] = {}
        for suspect in reversed(here.held):
            if suspect.signature != here.held[-1].signature:
                break
            row.setdefault(suspect.task.number, suspect)
        return list(row.values())[::-1]

    @staticmethod
    def _words(row: list[Suspect]) -> str:
        trials = f"{len(row)} trials in a row" if len(row) > 1 else f"trial {row[0].task.number}"
        return f"{trials} failed at once and alike: {row[-1].error}"


ADVICE = (
    "they are interrupted, not failed: mend what is wrong (disk, device, files, or the code), and "
    "resume the study"
)
