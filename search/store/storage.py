"""The driver's Optuna storage: a history in memory, and one transaction for all of a step.

Only the driver writes to one of our studies, so everything can be read from memory, and
what belongs together is written together. Optuna's own `RDBStorage` commits every parameter and
every attribute on its own and reads the study back in between: some sixty transactions for a trial
of twenty genes. Here an ask, a report or a tell is one, which is in the history whole or not at
all (`benchmarks/stores.py` has the figures).

Frozen trials in memory are never changed, only replaced, so a list handed out stays what it was.
"""

from __future__ import annotations

import copy
import datetime
import json
import threading
from bisect import bisect_left
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
)
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from search.study_config import ENGINE_ATTRS, RESERVED
from search.trials.marks import is_rerun
from search.trials.pausing import AsSampled

from .connections import hold, readable_errors, writing_engine
from .places import HistoryPlace
from .seal import KEY, Hashes, Seal, StudySeal, sealed, trial_content
from .snapshot import Stored, load
from .tables import Write, new_id, utc, write_all

KEEP_TIMES = ("sqlite", "postgresql")
"""Databases whose times are what was written, to the microsecond."""

_KINDS = {
    models.StudyUserAttributeModel: "user",
    models.TrialUserAttributeModel: "user",
    models.StudySystemAttributeModel: "system",
    models.TrialSystemAttributeModel: "system",
}


class DriverStorage(BaseStorage):
    """An Optuna storage of exactly one study, kept in memory by its one writer.

    What Optuna asks it for is what samplers are to see (`search.trials.pausing.AsSampled`);
    `trials` is the history itself.

    Args:
        place: the database, which must hold the study already.
        hint: a study name to try where the database holds several.

    Attributes:
        guard: called before anything is written; raises where that is no longer ours to do.

    Raises:
        StudyError: where the database cannot be read or holds no such study.
    """

    def __init__(self, place: HistoryPlace, hint: str = "") -> None:
        self.place = place
        self._hint = hint
        self._lock = threading.RLock()
        self._depth = 0
        self._pending: list[Write] = []
        self._as_sampled = AsSampled()
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
        self._reruns = [t.number for t in stored.trials if is_rerun(t)]
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

    @property
    def reruns(self) -> list[int]:
        """The numbers of the reruns, ascending."""
        return list(self._reruns)

    def turn(self, number: int) -> int:
        """Which of the search's own trials ``number`` is, or would be; see `marks.by_turn`."""
        return number - bisect_left(self._reruns, number)

    def number_at(self, turn: int) -> int:
        """The number of the search's own trial whose turn that is."""
        number = turn
        for rerun in self._reruns:
            number += rerun <= number
        return number

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

    # What Optuna asks of a storage: the study

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Not for this storage: its study is there."""
        raise NotImplementedError(
            "this storage holds one study, made by search.store.tables.create"
        )

    def delete_study(self, study_id: int) -> None:
        """Not for this storage."""
        raise NotImplementedError("this storage does not delete its study")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Store a user attribute of the study."""
        self._set_study_attr(models.StudyUserAttributeModel, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Store a system attribute of the study."""
        model = models.StudySystemAttributeModel
        self._set_study_attr(model, key, value)

    def _set_study_attr(self, model: Any, key: str, value: Any) -> None:
        text = json.dumps(value)
        with self.transaction():
            user = model is models.StudyUserAttributeModel
            attrs = self._stored.user_attrs if user else self._stored.system_attrs
            where = {"study_id": self.study_id, "key": key}
            if key in attrs:
                self._pending.append(Write(model, {"value_json": text}, where))
            else:
                self._pending.append(Write(model, {**where, "value_json": text}))
            attrs[key] = json.loads(text)

    def get_study_id_from_name(self, study_name: str) -> int:
        """The study's id."""
        if study_name != self.name:
            raise KeyError(f"no study named {study_name!r} here")
        return self.study_id

    def get_study_name_from_id(self, study_id: int) -> str:
        """The study's name."""
        return self.name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """One for each objective."""
        return list(self._stored.directions)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """A copy of the study's user attributes."""
        return copy.deepcopy(self._stored.user_attrs)

    def get_study_user_attr(self, key: str, default: Any = None) -> Any:
        """A copy of one of the study's user attributes."""
        return copy.deepcopy(self._stored.user_attrs.get(key, default))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """A copy of the study's system attributes."""
        return copy.deepcopy(self._stored.system_attrs)

    def get_all_studies(self) -> list[FrozenStudy]:
        """The one study."""
        return [
            FrozenStudy(
                study_name=self.name,
                direction=None,
                directions=list(self._stored.directions),
                user_attrs=self.get_study_user_attrs(self.study_id),
                system_attrs=self.get_study_system_attrs(self.study_id),
                study_id=self.study_id,
            )
        ]

    # What Optuna asks of a storage: trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Make a running trial; of a template its attributes and its start are taken."""
        template = template_trial
        with self.transaction():
            number = len(self._stored.trials)
            trial_id = new_id(number)
            trial = FrozenTrial(
                number=number,
                state=TrialState.RUNNING,
                value=None,
                datetime_start=(template and template.datetime_start) or datetime.datetime.now(),
                datetime_complete=None,
                params={},
                distributions={},
                user_attrs={},
                system_attrs={},
                intermediate_values={},
                trial_id=trial_id,
            )
            self._stored.trials.append(trial)
            self._numbers[trial_id] = number
            values = {
                "number": number,
                "state": trial.state,
                "datetime_start": utc(trial.datetime_start or datetime.datetime.now()),
            }
            self._pending.append(Write(models.TrialModel, values))
            for key, value in template.user_attrs.items() if template else ():
                self.set_trial_user_attr(trial_id, key, value)
            for key, value in template.system_attrs.items() if template else ():
                self.set_trial_system_attr(trial_id, key, value)
            if is_rerun(self._stored.trials[number]):
                self._reruns.append(number)
        return self._stored.trials[number]._trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Store a parameter, once."""
        with self.transaction():
            trial = self._running(trial_id)
            if param_name in self._known:
                check_distribution_compatibility(self._known[param_name], distribution)
            self._known[param_name] = distribution
            values = {
                "trial_id": trial_id,
                "param_name": param_name,
                "param_value": float(param_value_internal),
                "distribution_json": distribution_to_json(distribution),
            }
            self._pending.append(Write(models.TrialParamModel, values))
            value = distribution.to_external_repr(param_value_internal)
            self._replace(
                trial.number,
                params={**trial.params, param_name: value},
                _distributions={**trial.distributions, param_name: distribution},
            )

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """End a trial, with its values where it has any."""
        if not state.is_finished():
            raise ValueError(f"a trial of this storage is made running; it cannot become {state}")
        with self.transaction():
            trial = self._running(trial_id)
            now = datetime.datetime.now()
            for objective, value in enumerate(values or ()):
                stored, kind = models.TrialValueModel.value_to_stored_repr(float(value))
                row = {
                    "trial_id": trial_id,
                    "objective": objective,
                    "value": stored,
                    "value_type": kind,
                }
                self._pending.append(Write(models.TrialValueModel, row))
            change = {"state": state, "datetime_complete": utc(now)}
            self._pending.append(Write(models.TrialModel, change, {"trial_id": trial_id}))
            floats = [float(v) for v in values] if values else None
            self._replace(trial.number, state=state, values=floats, datetime_complete=now)
        return True

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Store the value of a step; a step that has one already gets the new one."""
        model = models.TrialIntermediateValueModel
        stored, kind = model.intermediate_value_to_stored_repr(float(intermediate_value))
        row = {"intermediate_value": stored, "intermediate_value_type": kind}
        with self.transaction():
            trial = self._running(trial_id)
            where = {"trial_id": trial_id, "step": step}
            if step in trial.intermediate_values:
                self._pending.append(Write(model, row, where))
            else:
                self._pending.append(Write(model, {**where, **row}))
            seen = {**trial.intermediate_values, step: float(intermediate_value)}
            self._replace(trial.number, intermediate_values=seen)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Store a user attribute."""
        self._set_trial_attr(models.TrialUserAttributeModel, "user_attrs", trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Store a system attribute."""
        model = models.TrialSystemAttributeModel
        self._set_trial_attr(model, "system_attrs", trial_id, key, value)

    def annotate(self, trial_id: int, key: str, value: Any) -> None:
        """Store a user attribute of a trial that may have ended."""
        model = models.TrialUserAttributeModel
        self._set_trial_attr(model, "user_attrs", trial_id, key, value, ended=True)

    def _set_trial_attr(
        self, model: Any, field: str, trial_id: int, key: str, value: Any, ended: bool = False
    ) -> None:
        text = json.dumps(value)
        with self.transaction():
            trial = self._trial(trial_id) if ended else self._running(trial_id)
            attrs: Mapping[str, Any] = getattr(trial, field)
            where = {"trial_id": trial_id, "key": key}
            if key in attrs:
                self._pending.append(Write(model, {"value_json": text}, where))
            else:
                self._pending.append(Write(model, {**where, "value_json": text}))
            self._replace(trial.number, **{field: {**attrs, key: json.loads(text)}})

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial as samplers see it; Optuna writes into the one it is given: it gets a copy."""
        trial = copy.copy(self._trial(trial_id))
        if not is_rerun(trial):
            trial.number = self.turn(trial.number)
        trial.params, trial.distributions = dict(trial.params), dict(trial.distributions)
        trial.user_attrs, trial.system_attrs = dict(trial.user_attrs), dict(trial.system_attrs)
        trial.intermediate_values = dict(trial.intermediate_values)
        return trial

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """A trial's system attributes (Optuna reads them once a parameter)."""
        return dict(self._trial(trial_id).system_attrs)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The trials in ``states``, by number, as samplers see them."""
        trials = self._as_sampled(self.trials, len(self.get_study_directions(study_id)))
        chosen = [t for t in trials if states is None or t.state in states]
        return copy.deepcopy(chosen) if deepcopy else chosen
