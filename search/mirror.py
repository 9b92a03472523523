"""A study's history in memory, and one transaction for all of a step.

Only the driver writes to one of our studies, so everything can be read from memory, and
what belongs together is written together. Frozen trials in the mirror are never changed,
only replaced, so a list handed out stays what it was.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial

from .database import hold, readable_errors, writing_engine
from .places import Place
from .stored import Stored, load
from .writes import Write, write_all


class Mirror:
    """What the database holds of one study, kept in memory by its one writer.

    Args:
        place: the database, which must hold the study already.
        hint: a study name to try where the database holds several.

    Attributes:
        guard: called before anything is written; raises where that is no longer ours to do.

    Raises:
        StudyError: where the database cannot be read or holds no such study.
    """

    def __init__(self, place: Place, hint: str = "") -> None:
        self.place = place
        self._hint = hint
        self._lock = threading.RLock()
        self._depth = 0
        self._pending: list[Write] = []
        self.guard: Callable[[], None] = lambda: None
        with readable_errors(place):
            self._engine = writing_engine(place)
        try:
            self._load()
            with readable_errors(place):
                held = hold(self._engine, self.name)
            if held:  # by nobody else from now on: what the last one wrote is there
                self._load()
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close the connections. SQLite's write-ahead log is folded into the file."""
        self._engine.dispose()

    # Memory and transactions

    def _load(self) -> None:
        with readable_errors(self.place), self._engine.begin() as connection:
            self._take(load(connection, self.place.name, self._hint))
        self._stale = False

    def _take(self, stored: Stored) -> None:
        self._stored = stored
        self._numbers = {t._trial_id: t.number for t in stored.trials}
        self._known = {n: d for t in stored.trials for n, d in t.distributions.items()}

    @property
    def study_id(self) -> int:
        """Optuna's id of the study."""
        return self._stored.study_id

    @property
    def name(self) -> str:
        """The study's name."""
        return self._stored.name

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, by number. They must not be changed."""
        with self._lock:
            if self._stale and not self._depth:
                self._load()
            return list(self._stored.trials)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes within become one transaction; none of them, where anything raises."""
        with self._lock:
            if self._depth:
                yield
                return
            if self._stale:
                self._load()
            before = Stored(
                self._stored.study_id,
                self._stored.name,
                dict(self._stored.user_attrs),
                dict(self._stored.system_attrs),
                self._stored.directions,
                list(self._stored.trials),
            )
            self._depth = 1
            try:
                yield
                self._flush()
            except BaseException:
                self._take(before)
                # The commit itself may have been cut short: ask the database what it has.
                self._stale = True
                raise
            finally:
                self._depth = 0
                self._pending = []

    def _flush(self) -> None:
        if not self._pending:
            return
        self.guard()
        with readable_errors(self.place), self._engine.begin() as connection:
            ids = write_all(connection, self.study_id, self._pending)
        for provisional, trial_id in ids.items():
            number = self._numbers.pop(provisional)
            self._numbers[trial_id] = number
            self._replace(number, _trial_id=trial_id)

    def _replace(self, number: int, **fields: Any) -> None:
        trial = copy.copy(self._stored.trials[number])
        for name, value in fields.items():
            setattr(trial, name, value)
        self._stored.trials[number] = trial

    def _running(self, trial_id: int) -> FrozenTrial:
        trial = self._trial(trial_id)
        if trial.state.is_finished():
            raise UpdateFinishedTrialError(
                f"Trial#{trial.number} has already finished and can not be updated."
            )
        return trial

    def _trial(self, trial_id: int) -> FrozenTrial:
        if trial_id not in self._numbers:
            raise KeyError(f"no trial with id {trial_id}")
        return self._stored.trials[self._numbers[trial_id]]
