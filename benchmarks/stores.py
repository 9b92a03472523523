"""What writing Optuna's tables ourselves earns over Optuna's public interface.

    python -m benchmarks.stores
    python -m benchmarks.stores --trials 50 --rounds 7 --held 1000
    python -m benchmarks.stores --storage postgresql+psycopg://user@host/database

The same trials are written in three ways, on the same kind of connection (SQLite: write-ahead log,
``synchronous=NORMAL``), round by round in turn:

- ours: `search.store.storage.DriverStorage`, one transaction a step, digests with it;
- template: an ask is one ``create_new_trial(template_trial=...)`` of `optuna.storages.RDBStorage`,
  everything else a public call each;
- calls: every parameter and attribute is a public call, as `optuna.Study` does it.

A trial has 20 genes and 5 reports. The public ways write as many attributes as ours and digests of
the same length, without the time that it takes to compute them. Shown are milliseconds a step as
the median of the rounds (smallest to largest), transactions a step, and ratios to ours. Last, what
reading the whole history takes.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState, create_trial

from search.store import tables
from search.store.connections import reading_engine
from search.store.places import HistoryPlace
from search.store.snapshot import load
from search.store.storage import DriverStorage
from search.study_config import STUDY_CONFIG

GENES = {f"gene{k}": FloatDistribution(0.0, 1.0) for k in range(20)}
REPORTS = 5
DIGEST = {"user": ["seed", "params", "spans"], "system": [], "times": True, "sha256": "0" * 64}
STEPS = ("ask", "report", "tell")
WAYS = ("ours", "template", "calls")


def _birth() -> dict[str, Any]:
    """The attributes that a trial is made with."""
    return {"seed": 1, "generation": 2, "attempt": 0, "started": 1.5}


def _point(number: int) -> dict[str, float]:
    return {name: (number % 97 + k) / 200 for k, name in enumerate(GENES)}


class Ours:
    """One transaction a step."""

    def __init__(self, place: HistoryPlace) -> None:
        self.storage = DriverStorage(place)
        self.engine = self.storage._engine
        self.study_id = self.storage.study_id

    def ask(self, number: int) -> int:
        """Make a trial with its parameters; returns its id."""
        storage = self.storage
        with storage.transaction():
            template = create_trial(state=TrialState.RUNNING, user_attrs=_birth())
            template.datetime_start = datetime.datetime.now()
            storage.create_new_trial(self.study_id, template)
            trial_id = storage.trials[-1]._trial_id
            for name, value in _point(number).items():
                storage.set_trial_param(trial_id, name, value, GENES[name])
            storage.set_trial_user_attr(trial_id, "params", _point(number))
        return storage.trials[-1]._trial_id

    def report(self, trial_id: int, step: int) -> None:
        """Store a step with its attributes."""
        with self.storage.transaction():
            _report(self.storage, self.study_id, trial_id, step)

    def tell(self, trial_id: int) -> None:
        """End a trial."""
        with self.storage.transaction():
            _tell(self.storage, self.study_id, trial_id)


class Calls:
    """A public call for each thing, the digests too."""

    def __init__(self, place: HistoryPlace) -> None:
        self.storage = RDBStorage(*_public(place))
        self.engine = self.storage.engine
        self.study_id = self.storage.get_study_id_from_name(str(place.name))

    def ask(self, number: int) -> int:
        """Make a trial with its parameters; returns its id."""
        storage = self.storage
        trial_id = storage.create_new_trial(self.study_id)
        for key, value in {**_birth(), "params": _point(number)}.items():
            storage.set_trial_user_attr(trial_id, key, value)
        for name, value in _point(number).items():
            storage.set_trial_param(trial_id, name, value, GENES[name])
        self.digest(trial_id)
        self.study_digest()
        return trial_id

    def report(self, trial_id: int, step: int) -> None:
        """Store a step with its attributes."""
        _report(self.storage, self.study_id, trial_id, step)
        self.digest(trial_id)
        self.study_digest()

    def tell(self, trial_id: int) -> None:
        """End a trial; the digest comes before, since a trial that has ended takes no attribute."""
        self.digest(trial_id)
        _tell(self.storage, self.study_id, trial_id)
        self.study_digest()

    def digest(self, trial_id: int) -> None:
        """Write a trial's digest."""
        self.storage.set_trial_system_attr(trial_id, "digest", DIGEST)

    def study_digest(self) -> None:
        """Write the study's digest."""
        self.storage.set_study_system_attr(self.study_id, "digest", DIGEST)


class Template(Calls):
    """An ask is one public call, and one for the study's digest."""

    def ask(self, number: int) -> int:
        """Make a trial with its parameters; returns its id."""
        template = create_trial(
            state=TrialState.RUNNING, params=_point(number), distributions=dict(GENES),
            user_attrs={**_birth(), "params": _point(number)}, system_attrs={"digest": DIGEST},
        )  # fmt: skip
        template.datetime_start = datetime.datetime.now()
        trial_id = self.storage.create_new_trial(self.study_id, template)
        self.study_digest()
        return trial_id


def _report(storage: BaseStorage, study_id: int, trial_id: int, step: int) -> None:
    storage.set_trial_intermediate_value(trial_id, step, 0.1 * step)
    storage.set_trial_user_attr(trial_id, "epochs_run", step)
    storage.set_trial_user_attr(trial_id, "spans", [["here", 1.0, 1.0 + step]])
    storage.set_study_user_attr(study_id, "clock", step)


def _tell(storage: BaseStorage, study_id: int, trial_id: int) -> None:
    storage.set_trial_user_attr(trial_id, "spans", [["here", 1.0, 9.0]])
    storage.set_study_user_attr(study_id, "clock", 9)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])


def _public(place: HistoryPlace) -> tuple[str, dict[str, Any]]:
    """URL and engine options of Optuna's own storage, with the settings of our connections."""
    if place.path is None:
        return str(place.url), {}
    path = place.path

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    return "sqlite://", {"creator": connect, "poolclass": sa.pool.QueuePool}


MAKERS: dict[str, Callable[[HistoryPlace], Any]] = {
    "ours": Ours,
    "template": Template,
    "calls": Calls,
}


def _place(storage: str | None, folder: Path, way: str) -> HistoryPlace:
    """A new study of its own for a way of writing, with what its history needs."""
    name = f"{way}-{uuid.uuid4().hex[:8]}"
    place = (
        HistoryPlace(None, storage, name)
        if storage
        else HistoryPlace(folder / f"{way}.db", None, name)
    )
    if storage:
        tables.make_tables(place)
    tables.create(place, name, {STUDY_CONFIG: {"name": name}})
    return place


def fill(place: HistoryPlace, count: int) -> None:
    """Let the history hold ``count`` ended trials."""
    ours = Ours(place)
    with ours.storage.transaction():
        for number in range(count):
            trial_id = ours.ask(number)
            for step in range(1, REPORTS + 1):
                ours.report(trial_id, step)
            ours.tell(trial_id)
    ours.storage.close()


def one_round(way: Any, trials: int, start: int) -> dict[str, tuple[float, float]]:
    """Milliseconds and transactions a step, by the step."""
    seconds: dict[str, float] = defaultdict(float)
    commits: dict[str, int] = defaultdict(int)
    now = ""

    def count(_: object) -> None:
        commits[now] += 1

    sa.event.listen(way.engine, "commit", count)
    counts = {"ask": trials, "report": trials * REPORTS, "tell": trials}
    for number in range(start, start + trials):
        for now, arguments in (("ask", [()]), ("report", range(1, REPORTS + 1)), ("tell", [()])):
            begun = time.perf_counter()
            for argument in arguments:
                if now == "ask":
                    trial_id = way.ask(number)
                elif now == "report":
                    way.report(trial_id, argument)
                else:
                    way.tell(trial_id)
            seconds[now] += time.perf_counter() - begun
    sa.event.remove(way.engine, "commit", count)
    return {s: (1000 * seconds[s] / counts[s], commits[s] / counts[s]) for s in STEPS}


def _reads(place: HistoryPlace) -> dict[str, Callable[[], object]]:
    def ours() -> object:
        engine = reading_engine(place)
        with engine.begin() as connection:
            found = load(connection, place.name, "")
        engine.dispose()
        return found

    def public() -> object:
        storage = RDBStorage(*_public(place), skip_table_creation=True)
        study_id = storage.get_study_id_from_name(str(place.name))
        trials = storage.get_all_trials(study_id, deepcopy=False)
        attrs = storage.get_study_user_attrs(study_id)
        storage.remove_session()
        storage.engine.dispose()
        return trials, attrs

    return {"ours": ours, "public": public}


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):8.2f} ({min(values):.2f} to {max(values):.2f})"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--held", type=int, default=300, help="trials there before the first round")
    parser.add_argument("--storage", help="an SQLAlchemy URL; by default a SQLite file")
    return parser.parse_args()


def main() -> int:
    """Time and print."""
    options = parse()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(
        f"{options.rounds} rounds of {options.trials} trials, {len(GENES)} genes, {REPORTS} "
        f"reports each, after {options.held} trials; {options.storage or 'SQLite'}; "
        f"{os.cpu_count()} cores"
    )
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    reads: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="stores-") as folder:
        places = {way: _place(options.storage, Path(folder), way) for way in WAYS}
        for place in places.values():
            fill(place, options.held)
        ways = {way: MAKERS[way](place) for way, place in places.items()}
        for index in range(options.rounds):
            for way in WAYS if index % 2 else reversed(WAYS):
                start = options.held + index * options.trials
                for step, row in one_round(ways[way], options.trials, start).items():
                    found[way, step].append(row)
        ways["ours"].storage.close()
        for _ in range(options.rounds):
            for name, read in _reads(replace(places["ours"])).items():
                begun = time.perf_counter()
                read()
                reads[name].append(1000 * (time.perf_counter() - begun))
    print(f"{'':20}{'ms a step':>28}{'transactions':>14}{'ratio to ours':>30}")
    for step in STEPS:
        for way in WAYS:
            ms, commits = zip(*found[way, step], strict=True)
            ratios = [m / o for m, (o, _) in zip(ms, found["ours", step], strict=True)]
            print(
                f"{step + ', ' + way:20}{_spread(list(ms)):>28}{statistics.median(commits):14.1f}"
                f"{_spread(ratios):>30}"
            )
    ratios = [p / o for p, o in zip(reads["public"], reads["ours"], strict=True)]
    print(f"{'read all, ours':20}{_spread(reads['ours']):>28}")
    print(f"{'read all, public':20}{_spread(reads['public']):>28}{'':14}{_spread(ratios):>30}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
