"""A study as its driver sees it: ask, report, tell, and going on after a kill.

The history is an Optuna study. Every step of a trial is one transaction in it, so a
driver may be killed anywhere: what it was doing is in the history whole or not at all,
and what to do next follows from the history alone.
"""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.trial import FrozenTrial, TrialState

from .asking import birth_attrs, build_sampler, check_sampler, complete, rerun_attrs
from .errors import StudyError
from .files import shown
from .json_values import plain
from .objective import Outcome, Step, Task, settled
from .space import SearchSpace
from .store import places, tables
from .store.lock import FolderLock, locked
from .store.record import StudyRecord, best_trial, count_states, read_study
from .store.storage import DriverStorage
from .study_config import (
    ENGINE_ATTRS,
    IDENTITY,
    RESERVED,
    SEED,
    SPACE,
    STUDY_CONFIG,
    StudyConfig,
    read_settings,
)
from .trials.halving import PAUSED, PROMOTED, goes_on, paused_at, value_at
from .trials.marks import SAME_AS, is_rerun, round_of, searched
from .trials.pareto import OTHERS
from .trials.pausing import promotable
from .trials.repeats import Repeats

__all__ = ["Study", "StudyConfig", "StudyRecord", "build_sampler", "read_study"]

TRIALS = "trials"
DETAIL_LENGTH = 4000


def discard(folder: Path, storage: str | None = None) -> None:
    """Delete the history of a study that has no trial, lest it be in the way of a new one.

    The caller holds the folder's lock. In a database that cannot be reached it stays, and is
    forgotten here.

    Args:
        folder: the study's folder.
        storage: the SQLAlchemy URL where the folder remembers none or no password.
    """
    with suppress(StudyError, OSError):
        tables.delete(places.find_place(folder, storage))
    with suppress(OSError):
        (folder / places.URL_FILE).unlink(missing_ok=True)


def stopped(step: int) -> str:
    """The reason that a trial which was stopped early after ``step`` carries."""
    return f"stopped early after step {step}"


class Study:
    """The one driver's view of a study. Made by `create` or `open`, ended by `close`.

    Args:
        folder: where the study lives.
        space: what is searched.
        config: how.
        storage: its history.
        lock: what makes this process the one driver.

    Attributes:
        repeats: which new trials are answered from the history; none, unless a runner says so.
    """

    def __init__(
        self,
        folder: Path,
        space: SearchSpace,
        config: StudyConfig,
        storage: DriverStorage,
        lock: FolderLock,
    ) -> None:
        self.folder = folder
        self.space = space
        self.config = config
        self._storage = storage
        self._lock = lock
        storage.guard = lock.check
        self._active: set[int] = set()
        self.repeats = Repeats()

    @classmethod
    def create(
        cls,
        folder: Path,
        space: SearchSpace,
        config: StudyConfig,
        storage: str | None = None,
        lock: FolderLock | None = None,
    ) -> Study:
        """Make a study in ``folder`` and become its driver.

        Args:
            folder: where the study lives; made where needed.
            space: what is searched.
            config: how.
            storage: an SQLAlchemy URL; by default a SQLite file in the folder.
            lock: the folder's, where the caller has it already; it is the study's then.

        Raises:
            SearchError: where there is a study already, where none can be made, or where the
                sampler cannot have so many objectives.
        """
        check_sampler(config)
        with locked(folder) if lock is None else nullcontext(lock) as held:
            if (folder / places.HISTORY).exists() or (folder / places.URL_FILE).exists():
                raise StudyError(
                    f"{folder}: holds a study already; resume or extend it, or choose another "
                    "folder"
                )
            identity = uuid.uuid4().hex
            place = places.find_place(folder, storage)
            place = replace(place, name=config.name, identity=identity)
            attrs = {
                STUDY_CONFIG: config.to_dict(), SPACE: space.to_dict(), SEED: config.seed,
                IDENTITY: identity,
            }  # fmt: skip
            try:
                if place.path is None:
                    tables.make_tables(place)  # before anything is remembered of it
                places.remember(folder, place)
                tables.create(place, config.name, attrs, config.directions, config.metrics)
                return cls(folder, space, config, DriverStorage(place), held)
            except OSError as error:
                discard(folder, storage)
                raise StudyError(
                    f"{folder}: the history cannot be written: {error.strerror or error}"
                ) from None
            except Exception:
                discard(folder, storage)
                raise

    @classmethod
    def open(cls, folder: Path, storage: str | None = None) -> Study:
        """Become the driver of the study in ``folder``.

        Raises:
            StudyError: where there is none, where it cannot be read, or where another
                driver is alive.
        """
        place = places.existing_place(folder, storage)
        if place.path is not None:
            places.check_local(place.path)
        with locked(folder) as lock:
            store = DriverStorage(place, hint=folder.name)
            try:
                attrs = store.get_study_user_attrs(0)
                config, space = read_settings(attrs, str(place), place.identity)
                if storage is not None and place.path != (folder / places.HISTORY).absolute():
                    identity = attrs.get(IDENTITY)  # it may have moved: remember where it is
                    places.remember(folder, replace(place, name=store.name, identity=identity))
            except BaseException:
                store.close()
                raise
            return cls(folder, space, config, store, lock)

    def close(self, keep_lock: bool = False) -> None:
        """Stop being the driver. What is running stays running, for `unfinished`.

        Args:
            keep_lock: whether the folder's lock stays with whoever handed it over.
        """
        self._storage.close()
        if not keep_lock:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # Reading and writing

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is written within is one transaction, for good or not at all."""
        with self._storage.transaction():
            yield

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number. They must not be changed."""
        return self._storage.trials

    def searched(self) -> list[FrozenTrial]:
        """The trials that the search itself has asked for, by number: all but reruns."""
        return searched(self._storage.trials)

    def sampled(self) -> list[FrozenTrial]:
        """The same as samplers see them; see `search.trials.pausing.AsSampled`."""
        return self._storage.get_all_trials(self._storage.study_id, deepcopy=False)

    def counts(self) -> dict[str, int]:
        """How many trials are in each state, see `search.store.record.count_states`."""
        return count_states(self._storage.trials, self._active)

    def best(self) -> FrozenTrial | None:
        """The complete trial with the highest first value; see `search.store.record.best_trial`."""
        return best_trial(self._storage.trials, self.config.directions)

    def get(self, key: str, default: Any = None) -> Any:
        """The study's attribute ``key``."""
        return self._storage.get_study_user_attr(key, default)

    def set(self, key: str, value: Any) -> None:
        """Store an attribute of the study."""
        if key in RESERVED:
            raise ValueError(f"the study attribute {key!r} is the engine's own")
        self._storage.set_study_user_attr(self._storage.study_id, key, plain(value))

    def _trial(self, number: int) -> FrozenTrial:
        trials = self._storage.trials
        if not 0 <= number < len(trials):
            raise StudyError(f"{self.folder}: there is no trial {number}")
        return trials[number]

    def _set_attr(self, number: int, key: str, value: Any) -> None:
        self._storage.set_trial_user_attr(self._trial(number)._trial_id, key, plain(value))

    def _set_attrs(self, number: int, attrs: Mapping[str, Any]) -> None:
        for key, value in attrs.items():
            if key not in ENGINE_ATTRS:
                self._set_attr(number, shown(key), value)

    # Asking

    def ask(self) -> Task:
        """A new trial: a known-good point while there are any, then the sampler's choice.

        It has ended already where it repeats an earlier one; see `search.trials.repeats`.
        """
        with self.batch():
            number = len(self._storage.trials)
            self._make(self._birth(number))
            complete(self._storage, self.config, self.space, number)
            self._answer(number)
        return self._task(number)

    def ask_rerun(self, finalist: int, round: int) -> Task:
        """A new trial that trains the recipe of another again; see `search.confirm`.

        It is stopped by nobody, and the search does not see it. Other programs take it for a trial
        that breaks a constraint, so that to Optuna too it is never the study's best.

        Args:
            finalist: the number of the other trial, which is the search's own.
            round: the fresh split that it is on, from 0.

        Raises:
            StudyError: where there is no such trial.
            ValueError: where it is a rerun itself, or for a negative round.
        """
        again = self._trial(finalist)
        if is_rerun(again):
            raise ValueError(f"trial {finalist} is a rerun itself; name the trial that it confirms")
        if round < 0:
            raise ValueError(f"the round {round}; rounds count from 0")
        with self.batch():
            number = len(self._storage.trials)
            made = self._make(rerun_attrs(self.config, again, round), {"rerun": 1.0})
            for name, dist in again.distributions.items():
                value = dist.to_internal_repr(again.params[name])
                self._storage.set_trial_param(made, name, value, dist)
        return self._task(number)

    def _make(self, attrs: Mapping[str, Any], constraints: Mapping[str, float] = {}) -> int:
        """Make a running trial, and say its id. A constraint above 0 is broken."""
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING, user_attrs=dict(attrs), constraints=dict(constraints)
        )
        template.datetime_start = datetime.datetime.now()
        return self._storage.create_new_trial(self._storage.study_id, template)

    def unfinished(self, reruns: bool = False) -> list[Task]:
        """The trials that an earlier driver left running, in order, to be resumed.

        A trial that was made but has no parameters yet gets those that it would have
        got: the sampler is made again for the same number and sees the same history.

        Args:
            reruns: those of finalists, and no others; by default the search's own.
        """
        left = [
            t.number
            for t in self._storage.trials
            if not t.state.is_finished() and t.number not in self._active
            if paused_at(t) is None and is_rerun(t) == reruns
        ]
        tasks = []
        for number in left:
            birth = {} if reruns else self._birth(number)
            with self.batch():
                attempt = int(self._trial(number).user_attrs.get("attempt", 0)) + 1
                for key, value in birth.items():
                    if key not in self._trial(number).user_attrs:
                        self._set_attr(number, key, value)
                self._set_attr(number, "attempt", attempt)
                if "params" not in self._trial(number).user_attrs:
                    complete(self._storage, self.config, self.space, number)
                    self._answer(number)
            if not self._trial(number).state.is_finished():
                tasks.append(self._task(number))
        return tasks

    def _birth(self, number: int) -> dict[str, Any]:
        return birth_attrs(self.config, self.space, self._storage.turn(number))

    def _answer(self, number: int) -> None:
        """End a trial that repeats another as that one did."""
        objectives = len(self.config.directions)
        if answer := self.repeats.answer(self._storage.trials, number, objectives):
            self._set_attr(number, SAME_AS, answer.number)
            self._end(self._trial(number), answer.state, answer.values)

    def hold(self, number: int) -> None:
        """The trial is run by nobody now, and may be resumed; see `search.breaker`."""
        self._active.discard(number)

    def again(self, number: int) -> Task:
        """The same trial once more; what happened to it was no fault of its own."""
        attempt = int(self._trial(number).user_attrs.get("attempt", 0)) + 1
        self._set_attr(number, "attempt", attempt)
        return self._task(number)

    def deaths(self, number: int) -> int:
        """How many workers of the trial have died since it last reported a new step."""
        trial = self._trial(number)
        attrs, last = trial.user_attrs, max(trial.intermediate_values, default=0)
        # Histories of earlier versions do not say where it died.
        return int(attrs.get("deaths", 0)) if attrs.get("died_at", last) == last else 0

    def retry(
        self, number: int, detail: str = "", reason: str = "killed", what: str = "its worker died"
    ) -> Task | None:
        """The same trial once more after its worker died, or ``None``: it has failed now.

        What it reports between two deaths begins the count anew, so a trial that gets on is never
        given up, however often its workers are taken away.

        Args:
            number: the trial.
            detail: what is known about the death, kept where it was the last one.
            reason: of the failure, where it was the last one.
            what: happened, in words.
        """
        trial = self._trial(number)
        if trial.state.is_finished():
            return None
        deaths = self.deaths(number) + 1
        with self.batch():
            self._set_attr(number, "deaths", deaths)
            self._set_attr(number, "died_at", max(trial.intermediate_values, default=0))
            if deaths > self.config.retries:
                text = f"{what} {deaths} times in a row" + (f"; {detail}" if detail else "")
                self.tell(number, Outcome.failed(reason, text))
                return None
            return self.again(number)

    def _task(self, number: int) -> Task:
        if not self._trial(number).state.is_finished():
            self._active.add(number)
        return self.task(number)

    def task(self, number: int) -> Task:
        """The trial as its worker got it, or would get it; of another program's what there is."""
        trial = self._trial(number)
        attrs = trial.user_attrs
        params = dict(attrs.get("params", trial.params))
        folder = self.folder / TRIALS / str(number)
        attempt = attrs.get("attempt", 0)
        return Task(number, params, attrs.get("seed", 0), folder, attempt, round_of(trial))

    # Telling

    def report(self, number: int, step: Step) -> bool:
        """Store one step of a trial, with its attributes.

        Args:
            number: the trial.
            step: what it reports.

        Returns:
            whether the trial goes on, as reruns and the space's known-good points always do: those
            are few, and what they come to is worth knowing. A step that is known already changes
            nothing (the first stays); the last known one is judged again, so that a trial which
            was stopped by its last report before a kill is stopped after it too.
        """
        trial = self._trial(number)
        if trial.state.is_finished():
            return False
        known = trial.intermediate_values
        if step.number not in known:
            with self.batch():
                value = float(step.value)
                self._storage.set_trial_intermediate_value(trial._trial_id, step.number, value)
                self._set_attrs(number, step.attrs)
                if step.others and all(math.isfinite(other) for other in step.others):
                    self._set_attr(number, OTHERS, step.others)
        if step.last or step.number < max(known, default=0):
            return True
        if is_rerun(trial) or trial.user_attrs.get("point"):
            return True
        trials, directions = self.searched(), self.config.directions
        return goes_on(self.config.halving, trials, number, step.number, directions)

    def tell(self, number: int, outcome: Outcome) -> None:
        """End a trial: complete with its value, or failed for a reason.

        A trial that has ended already stays as it is.
        """
        trial = self._trial(number)
        if trial.state.is_finished():
            return
        outcome = settled(outcome, len(self.config.directions))
        with self.batch():
            self._set_attrs(number, outcome.attrs)
            if outcome.reason is None:
                values = [float(v) for v in (outcome.value, *outcome.others) if v is not None]
                self._end(trial, TrialState.COMPLETE, values)
                return
            self._set_attr(number, "reason", outcome.reason)
            self._set_attr(number, "detail", outcome.detail[-DETAIL_LENGTH:])
            self._end(trial, TrialState.FAIL, None)

    def stop(self, number: int) -> bool:
        """A trial that `report` has said no to: it pauses, or it ends as pruned.

        Returns:
            whether it pauses. Then it stays as it is until `promote` or `settle`.
        """
        trial = self._trial(number)
        step = max(trial.intermediate_values, default=0)
        if self.config.halving is None or not self.config.halving.promote:
            self.prune(number, stopped(step))
            return False
        self._set_attr(number, PAUSED, step)
        self._active.discard(number)
        return True

    def promote(self, closing: bool = False) -> Task | None:
        """The paused trial that is among the best of its rung by now, to be resumed.

        Args:
            closing: no other trial will be asked for; see `search.trials.pausing.promotable`.
        """
        number = self.promotable(closing)
        if number is None:
            return None
        trial = self._trial(number)
        with self.batch():
            self._set_attr(number, PROMOTED, paused_at(trial))
            self._set_attr(number, PAUSED, None)
            self._set_attr(number, "attempt", int(trial.user_attrs.get("attempt", 0)) + 1)
        return self._task(number)

    def promotable(self, closing: bool = False) -> int | None:
        """The number of the trial that `promote` would return."""
        return promotable(self.config.halving, self.searched(), self.config.directions, closing)

    def settle(self) -> list[Task]:
        """End the trials that are paused as pruned: the search is over for them.

        Returns:
            the trials that ended.
        """
        paused = [t for t in self._storage.trials if paused_at(t) is not None]
        tasks = [self._task(t.number) for t in paused]
        with self.batch():
            for trial in paused:
                self.prune(trial.number, stopped(paused_at(trial) or 0))
        return tasks

    def prune(self, number: int, reason: str) -> None:
        """End a trial that was stopped early. A single objective's value is its best report."""
        trial = self._trial(number)
        if trial.state.is_finished():
            return
        seen = trial.intermediate_values
        best = value_at(seen, max(seen, default=0))
        values = [best] if best is not None and len(self.config.directions) == 1 else None
        with self.batch():
            self._set_attr(number, "reason", reason)
            self._end(trial, TrialState.PRUNED, values)

    def span(self, number: int, worker: str, start: float, end: float) -> None:
        """Note that ``worker`` ran the trial from ``start`` to ``end`` (Unix seconds).

        Noted again with the same start, it has run on until then.
        """
        trial = self._trial(number)
        spans = list(trial.user_attrs.get("spans", []))
        if spans and list(spans[-1][:2]) == [worker, round(start, 3)]:
            spans.pop()
        spans.append([worker, round(start, 3), round(end, 3)])
        self._storage.annotate(trial._trial_id, "spans", spans)

    def _end(self, trial: FrozenTrial, state: TrialState, values: list[float] | None) -> None:
        # Straight to the storage: `optuna.Study.tell` takes no value for a pruned trial (it
        # takes the last one, not the best), and would call back a sampler that is gone.
        self._storage.set_trial_state_values(trial._trial_id, state, values)
        self._active.discard(trial.number)
