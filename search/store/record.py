"""A study as everybody else sees it: read-only, at any time, without a lock."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from search.errors import StudyError
from search.space import SearchSpace
from search.study_config import StudyConfig, read_settings
from search.trials.halving import paused_at
from search.trials.marks import is_rerun, same_as, searched
from search.trials.pareto import front

from .connections import readable_errors, reading_engine
from .lock import driver_alive, is_driver
from .places import HistoryPlace, existing_place
from .snapshot import Stored, load

SNAPSHOT_TRIES = 20
ENDED = ("complete", "pruned", "failed", "repeated")
"""The states of `count_states` in which a trial of the search has ended."""


def count_states(trials: Sequence[FrozenTrial], running: Collection[int]) -> dict[str, int]:
    """Trials by state: ``complete``, ``pruned``, ``failed``, ``repeated`` (ended by what another
    trial came to), ``reruns`` (of finalists, however they ended), and of the unfinished ``running``
    (those in ``running``), ``paused`` (at a rung) and ``interrupted`` (the rest, which wait for a
    resume)."""
    final = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    names = dict(zip(final, ENDED, strict=False))
    counts = dict.fromkeys((*ENDED, "reruns", "running", "paused", "interrupted"), 0)
    for trial in trials:
        unfinished = "running" if trial.number in running else "interrupted"
        unfinished = unfinished if paused_at(trial) is None else "paused"
        state = names.get(trial.state, unfinished)
        if same_as(trial) is not None:
            state = "repeated"
        elif is_rerun(trial) and trial.state.is_finished():
            state = "reruns"
        counts[state] += 1
    return counts


def best_trial(
    trials: Sequence[FrozenTrial], directions: Sequence[str] = ("maximize",)
) -> FrozenTrial | None:
    """The complete trial with the highest finite value; of equals the first. Repeats and reruns
    are none.

    Of several objectives the first decides; among its equals, the others do: the trial is the
    first of `search.trials.pareto.front`.
    """
    if len(directions) > 1:
        return next(iter(front(trials, directions)), None)
    complete = [
        (t.value, -t.number, t)
        for t in trials
        if t.state == TrialState.COMPLETE and t.value is not None and math.isfinite(t.value)
        if same_as(t) is None and not is_rerun(t)
    ]
    return max(complete, key=lambda found: found[:2])[2] if complete else None


@dataclass(frozen=True)
class StudyRecord:
    """What a study's history held at one moment.

    Args:
        folder: the study's folder.
        config: how it searches.
        space: what it searches.
        trials: all trials, by number, reruns among them.
        attrs: the study's attributes.
        driver_alive: whether a driver was running it.
    """

    folder: Path
    config: StudyConfig
    space: SearchSpace
    trials: list[FrozenTrial]
    attrs: dict[str, Any]
    driver_alive: bool

    @property
    def searched(self) -> list[FrozenTrial]:
        """The trials that the search itself has asked for: all but reruns of finalists."""
        return searched(self.trials)

    def counts(self) -> dict[str, int]:
        """Trials by state, see `count_states`.

        An unfinished trial runs while a driver is alive; without one it waits to be
        resumed.
        """
        running = {t.number for t in self.trials} if self.driver_alive else set()
        return count_states(self.trials, running)

    def best(self) -> FrozenTrial | None:
        """The complete trial with the highest first value; see `best_trial`."""
        return best_trial(self.trials, self.config.directions)

    def front(self) -> list[FrozenTrial]:
        """The complete trials that none dominates, the best in the first objective first."""
        return front(self.trials, self.config.directions)


def read_study(folder: Path, storage: str | None = None) -> StudyRecord:
    """Read the study in ``folder`` as it is now.

    Writes nothing and waits for nobody: while the search runs, after it was killed, and
    in a folder that cannot be written to.

    Args:
        folder: the study's folder.
        storage: the SQLAlchemy URL where the folder remembers none or no password.

    Raises:
        StudyError: where there is no study or it cannot be read.
    """
    place = existing_place(folder, storage)
    alive = driver_alive(folder)
    stored = _read_sqlite(place, folder) if place.path else _read(place, folder.name)
    config, space = read_settings(stored.user_attrs, str(place), place.identity)
    return StudyRecord(folder, config, space, stored.trials, stored.user_attrs, alive)


def _read(place: HistoryPlace, hint: str, immutable: bool = False) -> Stored:
    with readable_errors(place):
        engine = reading_engine(place, immutable)
        try:
            with engine.begin() as connection:
                return load(connection, place.name, hint)
        finally:
            engine.dispose()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read_sqlite(place: HistoryPlace, folder: Path) -> Stored:
    """Read a SQLite history in the least intrusive of three ways.

    Without a write-ahead log the file is all there is, and is read as it stands, without
    any file beside it (`immutable`), provided that it was the same after as before. With one,
    SQLite reads both (`mode=ro`), which needs its shared-memory file; where that cannot
    be had (a read-only folder after a kill), a copy of both is read.
    """
    path = place.path
    assert path is not None
    log = path.with_name(path.name + "-wal")
    before = _stamp(path)
    if not (_stamp(log) or (0, 0))[1] and not driver_alive(folder):
        try:
            stored = _read(place, folder.name, immutable=True)
        except StudyError:
            if _stamp(path) == before and not log.exists():
                raise
        else:
            if _stamp(path) == before and not (_stamp(log) or (0, 0))[1]:
                return stored
    try:
        return _read(place, folder.name)
    except StudyError as error:
        # Closing a copied file in the driver itself would drop its SQLite locks.
        if is_driver(folder):
            raise
        first = error
    try:
        return _read_copy(place, folder.name)
    except StudyError:
        raise first from None


def _read_copy(place: HistoryPlace, hint: str) -> Stored:
    """Read a copy of the file and its write-ahead log.

    The two belong together as long as the file did not change while they were copied: the
    log is only appended to, and a half-copied last transaction is ignored by its checksum.
    """
    path = place.path
    assert path is not None
    log = path.with_name(path.name + "-wal")
    with tempfile.TemporaryDirectory(prefix="study-") as temporary:
        copy = Path(temporary) / path.name
        for _ in range(SNAPSHOT_TRIES):
            before = _stamp(path)
            copy.with_name(copy.name + "-wal").unlink(missing_ok=True)
            shutil.copyfile(path, copy)
            if log.exists():
                shutil.copyfile(log, copy.with_name(copy.name + "-wal"))
            if _stamp(path) == before:
                return _read(HistoryPlace(copy, None, place.name), hint)
    raise StudyError(f"{path}: changes too fast to be copied; try again")
