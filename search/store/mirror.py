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
from dataclasses import replace
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial

from search.study_config import ENGINE_ATTRS, RESERVED

from .places import Place
from .seal import KEY, Hashes, Seal, StudySeal, sealed, trial_content
from .snapshot import Stored, load
from .tables import hold, readable_errors, writing_engine
from .writes import Write, write_all

KEEP_TIMES = ("sqlite", "postgresql")
"""Databases whose times are what was written, to the microsecond."""

_KINDS = {
    models.StudyUserAttributeModel: "user",
    models.TrialUserAttributeModel: "user",
    models.StudySystemAttributeModel: "system",
    models.TrialSystemAttributeModel: "system",
}


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
            stored = load(connection, self.place.name, self._hint)
            self._take(stored)
        self._stale = False

    def _take(self, stored: Stored) -> None:
        self._stored = stored
        self._numbers = {t._trial_id: t.number for t in stored.trials}
        self._known = {n: d for t in stored.trials for n, d in t.distributions.items()}
        self._hashes: Hashes = {}

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
            before = self._stored.copied()
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
        self._seal()
        with readable_errors(self.place), self._engine.begin() as connection:
            ids = write_all(connection, self.study_id, self._pending)
        for provisional, trial_id in ids.items():
            number = self._numbers.pop(provisional)
            self._numbers[trial_id] = number
            self._replace(number, _trial_id=trial_id)

    def _seal(self) -> None:
        """Add the digests of all that the pending writes change."""
        touched: dict[int, dict[str, set[str]]] = {}
        study: dict[str, set[str]] = {"user": set(), "system": set()}
        known = len(self._stored.seals)
        times = self._engine.dialect.name in KEEP_TIMES
        for write in self._pending:
            row = {**write.values, **(write.where or {})}
            kind = _KINDS.get(write.model)
            if "study_id" in row:
                study[kind or "user"].add(row["key"])
                self._hashes.pop((kind or "user", row["key"]), None)
                continue
            number = row["number"] if "number" in row else self._numbers[row["trial_id"]]
            keys = touched.setdefault(number, {"user": set(), "system": set()})
            if kind is not None:
                keys[kind].add(row["key"])
        for number, keys in touched.items():
            trial, old = self._stored.trials[number], self._stored.seals.get(number)
            first = old or Seal(ENGINE_ATTRS & trial.user_attrs.keys(), times=times)
            seal = self._stored.seals[number] = first.with_keys(**keys)
            text = sealed(seal, trial_content(trial, seal))
            where = {"trial_id": trial._trial_id, "key": KEY}
            self._put(models.TrialSystemAttributeModel, where, text, new=old is None)
        if any(study.values()) or known < len(self._stored.seals) or self._stored.seal is None:
            self._seal_study(**study)

    def _seal_study(self, user: set[str], system: set[str]) -> None:
        old, numbers = self._stored.seal, range(len(self._stored.trials))
        first = old or StudySeal(RESERVED & self._stored.user_attrs.keys())
        seal = replace(
            first.with_keys(user, system),
            trials=len(numbers),
            without=frozenset(numbers) - self._stored.seals.keys(),
        )
        self._stored.seal = seal
        text = sealed(seal, self._stored.content(seal, self._hashes))
        where = {"study_id": self.study_id, "key": KEY}
        self._put(models.StudySystemAttributeModel, where, text, new=old is None)

    def _put(self, model: Any, where: dict[str, Any], text: str, new: bool) -> None:
        values = {"value_json": text}
        row = Write(model, {**where, **values}) if new else Write(model, values, where)
        self._pending.append(row)

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
