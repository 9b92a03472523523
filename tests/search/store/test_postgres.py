"""A history in a real PostgreSQL: a server of the tests' own, on the loopback address."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from benchmarks.cluster.postgres import NoServerError, free_port, postgres
from search.budget import Budget
from search.errors import StudyError
from search.objective import Outcome, Step, Steps, Task
from search.serial import run_serial
from search.space import SearchSpace
from search.store import connections
from search.store.places import URL_FILE, HistoryPlace, find_place
from search.store.record import read_study
from search.study import Study, StudyConfig, discard

SPACE = SearchSpace.from_dict(
    {"name": "s", "genes": {"x": {"low": 0.0, "high": 1.0}, "m": {"choices": ["a", "b"]}}}, "s"
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of an empty database."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgres("fsync=off"))
        except NoServerError as error:
            pytest.skip(str(error))
        yield url


def config() -> StudyConfig:
    return StudyConfig(f"s{uuid.uuid4().hex[:8]}", "random", 0)


def objective(task: Task) -> Steps:
    for k in range(1, 7):
        yield Step(k, 0.1 * k + task.params["x"], {"epoch": k}, last=k == 6)
    return Outcome(0.6 + task.params["x"], attrs={"auroc": {"a": 1}})


def query(server: str, text: str, **values: object) -> list[tuple[object, ...]]:
    engine = sa.create_engine(server, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        found = connection.execute(sa.text(text), values)
        return [tuple(row) for row in found] if found.returns_rows else []


def test_a_search_is_written_read_killed_and_gone_on_with(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with Study.create(folder, SPACE, config(), server) as study:
        run_serial(study, objective, Budget(trials=2))
        cut = study.ask()
        study.report(cut.number, Step(1, 0.5, {}))
    with Study.open(folder) as study:
        run_serial(study, objective, Budget(trials=4))
    record = read_study(folder)
    assert [t.state for t in record.trials] == [TrialState.COMPLETE] * 4
    assert record.trials[2].user_attrs["attempt"] == 1


def test_a_reader_sees_one_moment(server: str, tmp_path: Path) -> None:
    folder, stop = tmp_path / "s", threading.Event()
    torn: list[str] = []
    reads: list[int] = []

    def read() -> None:
        while not stop.is_set():
            trials = read_study(folder, server).trials
            reads.append(len(trials))
            for t in trials:
                whole = t.state == TrialState.COMPLETE
                if whole and (not t.values or len(t.intermediate_values) < 6):
                    torn.append(f"{t.number}: ended without all of it")
                if len(t.params) < 2 or "params" not in t.user_attrs:
                    torn.append(f"{t.number}: no parameters")

    with Study.create(folder, SPACE, config(), server) as study:
        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        run_serial(study, objective, Budget(trials=12))
        while len(reads) <= 3 and any(reader.is_alive() for reader in readers):
            time.sleep(0.01)
        stop.set()
        for reader in readers:
            reader.join()
    assert len(reads) > 3
    assert torn == []


def test_a_reader_cannot_write(server: str, tmp_path: Path) -> None:
    with Study.create(tmp_path / "s", SPACE, config(), server):
        engine = connections.reading_engine(find_place(tmp_path / "s", server))
        with engine.begin() as connection:
            level = connection.execute(sa.text("show transaction_isolation")).scalar()
            assert level == "repeatable read"
            with pytest.raises(sa.exc.DBAPIError, match="read-only"):
                connection.execute(sa.text("delete from trials"))


def test_a_second_driver_is_refused_with_who_the_first_is(server: str, tmp_path: Path) -> None:
    """From another folder, as on another host; the first goes on as if nothing were."""
    with Study.create(tmp_path / "a", SPACE, config(), server) as first:
        (tmp_path / "b").mkdir()
        shutil.copy(tmp_path / "a" / URL_FILE, tmp_path / "b")
        wanted = rf"process {os.getpid()} on .*from 127\.0\.0\.1, session \d+.* is running"
        with pytest.raises(StudyError, match=wanted):
            Study.open(tmp_path / "b")
        first.tell(first.ask().number, Outcome(0.5))
        assert [t.number for t in read_study(tmp_path / "b").trials] == [0]
        # Another study of the same database is another matter.
        with Study.create(tmp_path / "c", SPACE, config(), server) as other:
            other.ask()
    with Study.open(tmp_path / "b") as second:
        assert second.ask().number == 1


def test_who_lost_the_connection_writes_nothing_more(server: str, tmp_path: Path) -> None:
    study = Study.create(tmp_path / "s", SPACE, config(), server)
    task = study.ask()
    query(server, "select pg_terminate_backend(pid) from pg_stat_activity "
          "where application_name like 'process %'")  # fmt: skip
    with pytest.raises(StudyError, match="connection to the database was lost"):
        study.tell(task.number, Outcome(0.5))
    for _ in range(2):  # not even where the database answers again
        with pytest.raises(StudyError, match="nothing more is written"):
            study.tell(task.number, Outcome(0.5))
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "s" / URL_FILE, tmp_path / "b")
    with Study.open(tmp_path / "b") as second:  # the right went with the connection
        assert [t.number for t in second.unfinished()] == [0]
    study.close()


def test_an_idle_connection_is_kept_alive_and_a_dead_host_noticed(
    server: str, tmp_path: Path
) -> None:
    with Study.create(tmp_path / "s", SPACE, config(), server) as study:
        with study._storage._engine.begin() as connection:
            seconds = connection.execute(sa.text("show tcp_keepalives_idle")).scalar()
        assert seconds == "30"


def test_of_two_that_make_one_study_at_once_one_does(server: str, tmp_path: Path) -> None:
    """In an empty database, so that both also find no tables."""
    name = f"d{uuid.uuid4().hex[:8]}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(f"create database {name}"))
    url = re.sub("postgres$", name, server)
    settings, start = config(), threading.Barrier(3)
    made: list[Study] = []
    refused: list[str] = []

    def make(number: int) -> None:
        start.wait()
        try:
            made.append(Study.create(tmp_path / str(number), SPACE, settings, url))
        except StudyError as error:
            refused.append(str(error))

    makers = [threading.Thread(target=make, args=(k,)) for k in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(made) == 1
    assert len(refused) == 2
    assert all(re.search("is running the study|holds a study named", text) for text in refused)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1, "nothing stays"
    made[0].ask()
    made[0].close()


def test_a_study_that_never_began_makes_room_for_a_new_one(server: str, tmp_path: Path) -> None:
    folder, settings = tmp_path / "s", config()
    Study.create(folder, SPACE, settings, server).close()
    discard(folder, server)
    with Study.create(folder, SPACE, settings, server) as study:
        study.ask()
    discard(folder, server)  # one that has begun stays
    assert query(server, "select count(*) from studies where study_name = :name",
                 name=settings.name) == [(1,)]  # fmt: skip
    with pytest.raises(StudyError, match="holds a study named"):
        Study.create(tmp_path / "other", SPACE, settings, server)


def test_another_study_of_the_same_name_is_not_taken_for_ours(server: str, tmp_path: Path) -> None:
    settings, folder = config(), tmp_path / "s"
    Study.create(folder, SPACE, settings, server).close()
    discard(Path(shutil.copytree(folder, tmp_path / "gone")), server)
    Study.create(tmp_path / "new", SPACE, settings, server).close()
    with pytest.raises(StudyError, match="made for another folder"):
        Study.open(folder)
    with pytest.raises(StudyError, match="made for another folder"):
        read_study(folder)


def test_a_study_in_a_file_is_not_looked_for_in_a_database(server: str, tmp_path: Path) -> None:
    Study.create(tmp_path / "db", SPACE, config(), server).close()
    Study.create(tmp_path / "file", SPACE, config()).close()
    for look in (Study.open, read_study):
        with pytest.raises(StudyError, match="leave --storage out"):
            look(tmp_path / "file", server)


def test_where_a_database_has_moved_is_remembered_without_the_password(
    server: str, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    with Study.create(folder, SPACE, config(), server) as study:
        study.ask()
    moved = server.replace("me@127.0.0.1", "me:secret@localhost")
    Study.open(folder, moved).close()
    text = (folder / URL_FILE).read_text()
    assert "@localhost" in text
    assert "secret" not in text
    assert len(read_study(folder).trials) == 1


def test_a_server_that_is_gone_says_so(server: str, tmp_path: Path) -> None:
    away = re.sub(r":\d+/", f":{free_port()}/", server)
    with pytest.raises(StudyError, match="connection"):
        Study.create(tmp_path / "s", SPACE, config(), away)
    assert not (tmp_path / "s").exists()
    place = HistoryPlace(None, away)
    with pytest.raises(StudyError, match="connection"), connections.readable_errors(place):
        connections.reading_engine(place).connect()
