"""A study that is open: its history, what it adds up to, and how it is closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from optuna.trial import FrozenTrial

from .errors import StudyError
from .files import shown
from .json_values import plain
from .space import SearchSpace
from .store.lock import FolderLock
from .store.record import best_trial, count_states
from .store.storage import DriverStorage
from .study_config import ENGINE_ATTRS, RESERVED, StudyConfig
from .trials.repeats import Repeats


class OpenStudy:
    """What the one driver of a study reads of it; `search.study.Study` is what it does.

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

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is written within is one transaction, for good or not at all."""
        with self._storage.transaction():
            yield

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number. They must not be changed."""
        return self._storage.trials

    def sampled(self) -> list[FrozenTrial]:
        """All trials, by number, as samplers see them. They must not be changed."""
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
