"""How a study's history is made, opened and read.

The tables are Optuna's own (`optuna.storages.RDBStorage` makes them), so that
optuna-dashboard and every Optuna tool open the same history. SQLite unless a URL names
another database.
"""

from __future__ import annotations

import json
import sqlite3
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool, QueuePool

from .errors import StudyError
from .files import replace_file
from .places import STORAGE_VARIABLE, Place, check_local

BUSY_SECONDS = 60
METRICS = "study:metric_names"

# Connections


def _sqlite_writer(path: Path) -> Callable[[], sqlite3.Connection]:
    """Connections for the driver: write-ahead log, patient, one fsync a checkpoint.

    With a write-ahead log ``synchronous=NORMAL`` loses nothing when a process is killed,
    and never the database; a power cut may cost the last transactions.
    """

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
        )
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    return connect


def _sqlite_reader(path: Path, immutable: bool) -> Callable[[], sqlite3.Connection]:
    uri = f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro"
    uri += "&immutable=1" if immutable else ""

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            uri, uri=True, timeout=10, check_same_thread=False, isolation_level=None
        )

    return connect


def _begin_with(engine: sa.Engine, statement: str) -> None:
    """Begin SQLite's transactions explicitly: its Python driver delays them until a write.

    A writer takes its lock at once (a later upgrade could fail without waiting), a reader
    gets one snapshot for all its queries.
    """
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(statement))


def writing_engine(place: Place) -> sa.Engine:
    """An engine for the driver."""
    if place.path is None:
        assert place.url is not None
        return sa.create_engine(place.url, pool_pre_ping=True)
    engine = sa.create_engine("sqlite://", creator=_sqlite_writer(place.path), poolclass=QueuePool)
    _begin_with(engine, "BEGIN IMMEDIATE")
    return engine


def reading_engine(place: Place, immutable: bool = False) -> sa.Engine:
    """An engine that cannot write. ``immutable``: the file is known to have no writer."""
    if place.path is None:
        assert place.url is not None
        return sa.create_engine(place.url, poolclass=NullPool)
    creator = _sqlite_reader(place.path, immutable)
    engine = sa.create_engine("sqlite://", creator=creator, poolclass=NullPool)
    _begin_with(engine, "BEGIN")
    return engine


@contextmanager
def readable_errors(place: Place) -> Iterator[None]:
    """Turn database errors into a `StudyError` with a sentence and the place."""
    try:
        yield
    except StudyError as error:
        named = [p if p.startswith(f"{place}: ") else f"{place}: {p}" for p in error.problems]
        raise StudyError(named) from error.__cause__
    except ModuleNotFoundError as error:
        raise StudyError(f"{place}: install the database's Python driver: {error}") from None
    except (DBAPIError, NoSuchModuleError, sqlite3.Error, StorageInternalError) as error:
        raise StudyError(f"{place}: {_explain(error)}") from error


def _explain(error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = str(getattr(cause, "orig", None) or cause).strip()
    first = text.splitlines()[0] if text else type(cause).__name__
    hints = {
        "not a database": "this is no SQLite file; restore it from a copy",
        "malformed": "the file is damaged; restore it from a copy",
        "no such table": "this is no study's history",
        "disk is full": "the disk is full; free some space and resume",
        "readonly": "the file or its folder cannot be written to",
        "locked": "another program keeps writing to it; close it and resume",
        "unable to open": "the file or its folder cannot be opened",
        "password": f"give the full URL with --storage, or in ${STORAGE_VARIABLE}",
    }
    hint = next((hint for key, hint in hints.items() if key in first.lower()), None)
    return f"{hint} ({first})" if hint else f"the history cannot be used ({first})"


# Making


def create(
    place: Place,
    name: str,
    attrs: Mapping[str, Any],
    directions: Sequence[str] = ("maximize",),
    metrics: Sequence[str] = (),
) -> None:
    """Make an empty history for the study ``name`` with the user attributes ``attrs``.

    ``directions`` and ``metrics`` are as in `search.settings.StudyConfig`.

    A SQLite history is made under a temporary name and renamed when whole; elsewhere the
    study and its attributes are one transaction. So a kill leaves all of it or nothing.

    Raises:
        StudyError: where there is one already or the database cannot be used.
    """
    if place.path is None or place.path.exists():
        with readable_errors(place):
            _create_in(place, name, attrs, directions, metrics)
        return
    check_local(place.path.parent)
    place.path.parent.mkdir(parents=True, exist_ok=True)
    for left in place.path.parent.glob(f".{place.path.name}.new*"):
        left.unlink(missing_ok=True)
    new = Place(place.path.with_name(f".{place.path.name}.new"), None)
    assert new.path is not None
    with readable_errors(place):
        _create_in(new, name, attrs, directions, metrics)
    replace_file(new.path, place.path)


def _create_in(
    place: Place,
    name: str,
    attrs: Mapping[str, Any],
    directions: Sequence[str],
    metrics: Sequence[str],
) -> None:
    options: dict[str, Any] = {"poolclass": NullPool}
    if place.path is not None:
        options["creator"] = _sqlite_writer(place.path)
    url = "sqlite://" if place.path is not None else (place.url or "")
    tables = optuna.storages.RDBStorage(url, engine_kwargs=options)
    tables.remove_session()
    tables.engine.dispose()
    engine = writing_engine(place)
    try:
        with engine.begin() as connection:
            taken = connection.execute(
                sa.select(models.StudyModel.study_id).where(models.StudyModel.study_name == name)
            ).first()
            if taken is not None:
                raise StudyError(
                    f"{place}: holds a study named {name!r} already; go on with it, or choose "
                    "another name"
                )
            key = connection.execute(
                sa.insert(models.StudyModel).values(study_name=name)
            ).inserted_primary_key
            assert key is not None
            connection.execute(
                sa.insert(models.StudyDirectionModel),
                [
                    {"direction": StudyDirection[d.upper()], "study_id": key[0], "objective": i}
                    for i, d in enumerate(directions)
                ],
            )
            if metrics:
                # Optuna's own place for them (`Study.set_metric_names`): its plots read it.
                connection.execute(
                    sa.insert(models.StudySystemAttributeModel).values(
                        study_id=key[0], key=METRICS, value_json=json.dumps(list(metrics))
                    )
                )
            connection.execute(
                sa.insert(models.StudyUserAttributeModel),
                [
                    {"study_id": key[0], "key": k, "value_json": json.dumps(v)}
                    for k, v in attrs.items()
                ],
            )
    finally:
        engine.dispose()
