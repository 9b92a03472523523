"""Connections to a history: one that writes, many that read, and what their errors mean."""

from __future__ import annotations

import hashlib
import os
import platform
import sqlite3
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool, QueuePool

from search.errors import StudyError

from .places import STORAGE_VARIABLE, HistoryPlace

BUSY_SECONDS = 60
PATIENCE = 1.0
"""Seconds to wait for the right to write: one who finds that a study is there has it briefly."""
SNAPSHOT: dict[str, dict[str, Any]] = {
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "mysql": {"isolation_level": "REPEATABLE READ"},
    "mariadb": {"isolation_level": "REPEATABLE READ"},
}
"""By database, how all queries of a reader's transaction see one state of it."""
KEEPALIVE = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}
"""Seconds, seconds and times: a PostgreSQL server knows within a minute that a driver's host is
gone, and no router forgets a connection on which nothing is written during a long epoch."""


def sqlite_writer(path: Path) -> Callable[[], sqlite3.Connection]:
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
    uri = f"file:{urllib.parse.quote(os.fsencode(path.absolute()))}?mode=ro"
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


def writing_engine(place: HistoryPlace) -> sa.Engine:
    """An engine for the driver.

    In a database that is not SQLite it has one connection and never another: what `hold` takes
    goes with it, so nothing is written by a driver that may have lost it.
    """
    if place.path is None:
        assert place.url is not None
        engine = sa.create_engine(place.url, poolclass=QueuePool, pool_size=1, max_overflow=0)
        _connect_once(engine)
        return engine
    engine = sa.create_engine("sqlite://", creator=sqlite_writer(place.path), poolclass=QueuePool)
    _begin_with(engine, "BEGIN IMMEDIATE")
    return engine


def reading_engine(place: HistoryPlace, immutable: bool = False) -> sa.Engine:
    """An engine that cannot write. ``immutable``: the file is known to have no writer."""
    if place.path is None:
        assert place.url is not None
        engine = sa.create_engine(place.url, poolclass=NullPool)
        return engine.execution_options(**SNAPSHOT.get(engine.dialect.name, {}))
    creator = _sqlite_reader(place.path, immutable)
    engine = sa.create_engine("sqlite://", creator=creator, poolclass=NullPool)
    _begin_with(engine, "BEGIN")
    return engine


def _connect_once(engine: sa.Engine) -> None:
    connected = False

    @sa.event.listens_for(engine, "do_connect")
    def connect(*arguments: Any) -> None:
        nonlocal connected
        if connected:
            raise StudyError(LOST)
        connected = True


LOST = (
    "the connection to the database was lost, and with it the right to write to the study, so "
    "nothing more is written; see that the database can be reached, and resume"
)


def hold(engine: sa.Engine, name: str) -> bool:
    """Become the one who writes to the study ``name``, until ``engine`` is disposed of or cut off.

    Args:
        engine: from `writing_engine`.
        name: the study's.

    Returns:
        whether there is such a right: in PostgreSQL, where it is an advisory lock of the
        session. A SQLite file is held by its study's folder.

    Raises:
        StudyError: where somebody else has it, saying who.
    """
    if engine.dialect.name != "postgresql":
        return False
    who = f"process {os.getpid()} on {platform.node()}"
    with engine.begin() as connection:
        for setting, value in {**KEEPALIVE, "application_name": who[:63]}.items():
            connection.execute(sa.select(sa.func.set_config(setting, str(value), False)))
        key = lock_key(connection, name)
        until = time.monotonic() + PATIENCE
        while not connection.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar():
            if time.monotonic() < until:
                time.sleep(PATIENCE / 50)
                continue
            raise StudyError(
                f"{_holder(connection, key)} is running the study {name!r}; wait for it, or stop "
                "it first"
            )
    return True


def lock_key(connection: sa.Connection, name: str) -> int:
    """64 bits that stand for a study in a database; names are unique in a schema."""
    schema = connection.execute(sa.select(sa.func.current_schema())).scalar()
    digest = hashlib.sha256(f"study\0{schema}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _holder(connection: sa.Connection, key: int) -> str:
    """Who has an advisory lock, as far as the database tells."""
    found = connection.execute(
        sa.text(
            "SELECT a.application_name, host(a.client_addr), l.pid, "
            "to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ') "
            "FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid "
            "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND "
            "l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND ((l.classid::bigint << 32) | l.objid::bigint) = :key"
        ),
        {"key": key},
    ).first()
    if found is None:
        return "another process"
    name, address, session, since = found
    known = [f"from {address}"] if address else []
    known += [f"session {session}", *([f"since {since}"] if since else [])]
    return f"{name or 'another process'} ({', '.join(known)})"


@contextmanager
def readable_errors(place: HistoryPlace) -> Iterator[None]:
    """Turn database errors into a `StudyError` with a sentence and the place."""
    try:
        yield
    except StudyError as error:
        named = [p if p.startswith(f"{place}: ") else f"{place}: {p}" for p in error.problems]
        raise StudyError(named) from error.__cause__
    except ModuleNotFoundError as error:
        raise StudyError(f"{place}: install the database's Python driver: {error}") from None
    except (DBAPIError, NoSuchModuleError, sqlite3.Error, StorageInternalError) as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise StudyError(f"{place}: {LOST} ({_first_line(error)})") from error
        raise StudyError(f"{place}: {_explain(error)}") from error


def _first_line(error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = str(getattr(cause, "orig", None) or cause).strip()
    return text.splitlines()[0] if text else type(cause).__name__


def _explain(error: Exception) -> str:
    first = _first_line(error)
    hints = {
        "not a database": "this is no SQLite file; restore it from a copy",
        "malformed": "the file is damaged; restore it from a copy",
        "utf-8": "the file is damaged; restore it from a copy",
        "no such table": "this is no study's history",
        "disk is full": "the disk is full; free some space and resume",
        "readonly": "the file or its folder cannot be written to",
        "locked": "another program keeps writing to it; close it and resume",
        "unable to open": "the file or its folder cannot be opened",
        "duplicate": "another study of that name was made there just now; choose another folder",
        "password": f"give the full URL with --storage, or in ${STORAGE_VARIABLE}",
    }
    hint = next((hint for key, hint in hints.items() if key in first.lower()), None)
    return f"{hint} ({first})" if hint else f"the history cannot be used ({first})"
