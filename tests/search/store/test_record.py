from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from search.errors import StudyError
from search.objective import Outcome, Step
from search.space import SearchSpace
from search.store import record
from search.store.lock import DRIVER, driver_alive
from search.store.places import HISTORY
from search.study import Study, StudyConfig, read_study

SPACE = SearchSpace.from_dict({"genes": {"x": {"low": 0.0, "high": 1.0}}}, "small")


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    made = Study.create(tmp_path / "study", SPACE, StudyConfig("s", "random", 1))
    for value in (0.5, 0.9):
        number = made.ask().number
        made.report(number, Step(1, value))
        made.tell(number, Outcome(value))
    made.ask()
    yield made
    made.close()


def killed(study: Study, folder: Path) -> Path:
    """The study's folder as a killed driver leaves it: with a write-ahead log."""
    shutil.copytree(study.folder, folder)
    (folder / f"{HISTORY}-shm").unlink()
    (folder / DRIVER).write_text(json.dumps({"pid": 1, "host": platform.node(), "started": 0}))
    assert (folder / f"{HISTORY}-wal").stat().st_size
    return folder


def state(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.iterdir()
    }


def test_a_record_is_what_the_driver_sees(study: Study) -> None:
    study.set("target_trials", 4)
    found = read_study(study.folder)
    assert found.trials == study.trials()
    assert found.config == study.config
    assert found.space.to_dict() == study.space.to_dict()
    assert found.attrs["target_trials"] == 4
    assert found.driver_alive
    assert found.counts() == study.counts()
    assert (best := found.best()) is not None
    assert best.number == 1


def test_without_a_driver_the_unfinished_are_interrupted(study: Study) -> None:
    study.close()
    found = read_study(study.folder)
    assert not found.driver_alive
    assert found.counts() == {
        "complete": 2, "pruned": 0, "failed": 0, "repeated": 0, "reruns": 0, "running": 0,
        "paused": 0, "interrupted": 1,
    }  # fmt: skip


def test_reading_a_closed_study_leaves_no_trace(study: Study) -> None:
    study.close()
    before = state(study.folder)
    read_study(study.folder)
    assert state(study.folder) == before


def test_reading_a_running_study_leaves_its_file_alone(study: Study) -> None:
    before = state(study.folder)
    assert len(read_study(study.folder).trials) == 3
    after = state(study.folder)
    assert after.keys() == before.keys()
    for name in (HISTORY, f"{HISTORY}-wal", DRIVER):
        assert after[name] == before[name]


def test_reading_after_a_kill_leaves_its_file_and_log_alone(study: Study, tmp_path: Path) -> None:
    folder = killed(study, tmp_path / "killed")
    before = state(folder)
    found = read_study(folder)
    assert found.trials == study.trials()
    assert not found.driver_alive
    after = state(folder)
    assert {name: after[name] for name in before} == before


def test_a_reader_does_not_wait_for_a_writer(study: Study) -> None:
    with study.batch():
        study.report(2, Step(1, 0.7))
        with study._storage._engine.begin() as connection:  # the write lock, held
            connection.exec_driver_sql("update trials set number = number")
            found = read_study(study.folder)
    assert found.trials[2].intermediate_values == {}
    assert read_study(study.folder).trials[2].intermediate_values == {1: 0.7}


def test_a_writer_does_not_wait_for_a_reader(study: Study) -> None:
    reader = sqlite3.connect(f"file:{study.folder / HISTORY}?mode=ro", uri=True)
    reader.execute("begin")
    assert reader.execute("select count(*) from trials").fetchone() == (3,)
    study.tell(study.ask().number, Outcome(0.1))
    assert reader.execute("select count(*) from trials").fetchone() == (3,)
    reader.close()
    assert len(read_study(study.folder).trials) == 4


def test_where_sqlite_cannot_open_the_log_a_copy_is_read(
    study: Study, tmp_path: Path, monkeypatch: Any
) -> None:
    """As in a read-only folder after a kill, which permission bits cannot bring about as root."""
    folder = killed(study, tmp_path / "killed")
    read = record._read
    tried = []

    def refused(place: Any, hint: str, immutable: bool = False) -> Any:
        tried.append(place.path)
        if place.path.parent == folder:
            raise StudyError("unable to open database file")
        return read(place, hint, immutable)

    monkeypatch.setattr(record, "_read", refused)
    before = state(folder)
    assert read_study(folder).trials == study.trials()
    assert state(folder) == before
    assert len(tried) == 2
    assert not tried[1].exists()


def test_a_copy_that_was_overtaken_is_made_again(
    study: Study, tmp_path: Path, monkeypatch: Any
) -> None:
    folder = killed(study, tmp_path / "killed")
    place = record.existing_place(folder, None)
    copies = []

    def copyfile(source: Path, target: Path) -> None:
        Path(target).write_bytes(Path(source).read_bytes())
        copies.append(source.name)
        if len(copies) == 1:
            os.utime(source, ns=(1, 1))

    monkeypatch.setattr(record.shutil, "copyfile", copyfile)
    assert record._read_copy(place, "s").trials == study.trials()
    assert copies == [HISTORY, f"{HISTORY}-wal"] * 2


@pytest.mark.parametrize("after_a_kill", [False, True])
def test_a_read_only_folder_is_read(study: Study, tmp_path: Path, after_a_kill: bool) -> None:
    folder = killed(study, tmp_path / "killed") if after_a_kill else study.folder
    if not after_a_kill:
        study.close()
    before = state(folder)
    folder.chmod(0o555)
    try:
        if os.geteuid() == 0:  # whom permission bits do not bind
            found = _as_nobody(folder)
            if found is None:
                pytest.skip("another user cannot reach the test's folder or interpreter")
        else:
            found = len(read_study(folder).trials)
    finally:
        folder.chmod(0o755)
    assert found == 3
    assert state(folder) == before


def _as_nobody(folder: Path) -> int | None:
    program = (
        "import os, sys; from pathlib import Path; from search.study import read_study\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "if not os.access(sys.argv[1], os.R_OK): sys.exit(77)\n"
        "print(len(read_study(Path(sys.argv[1])).trials))"
    )
    open_parents = [p for p in folder.parents if str(p).startswith("/tmp/")]
    modes = {p: p.stat().st_mode for p in open_parents}
    for parent in open_parents:
        parent.chmod(0o755)
    run = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=60
    )
    for parent, mode in modes.items():
        parent.chmod(mode)
    if run.returncode == 77:
        return None
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def test_a_missing_or_broken_study_says_so(study: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no such study folder"):
        read_study(tmp_path / "none")
    with pytest.raises(StudyError, match="holds no study"):
        read_study(tmp_path)
    (tmp_path / HISTORY).write_bytes(b"x" * 5000)
    with pytest.raises(StudyError, match="no SQLite file"):
        read_study(tmp_path)


def test_a_driver_is_known_by_its_id_and_its_start(tmp_path: Path) -> None:
    def write(**driver: Any) -> None:
        (tmp_path / DRIVER).write_text(json.dumps(driver))

    started = psutil.Process().create_time()
    host = platform.node()
    assert not driver_alive(tmp_path)
    write(pid=os.getpid(), host=host, started=started)
    assert driver_alive(tmp_path)
    write(pid=os.getpid(), host=host, started=started - 100)
    assert not driver_alive(tmp_path), "the id is used again"
    write(pid=2**22 + 1, host=host, started=started)
    assert not driver_alive(tmp_path)
    write(pid="x", host=host)
    assert not driver_alive(tmp_path)
    write(pid=1, host="another", started=0)
    assert driver_alive(tmp_path), "nothing is known against it"
    (tmp_path / DRIVER).write_text("[")
    assert not driver_alive(tmp_path)


def test_numbers_that_are_stored_twice_are_said(study: Study) -> None:
    for _ in range(3):
        study.ask()
    study.close()
    with sqlite3.connect(study.folder / HISTORY) as history:
        history.execute("update trials set number = 1 where number = 2")
    history.close()
    for look in (read_study, Study.open):
        with pytest.raises(StudyError, match="trial 1 is there twice, as two programs wrote"):
            look(study.folder)
    with sqlite3.connect(study.folder / HISTORY) as history:
        history.execute("delete from trials where number = 1")
    history.close()
    with pytest.raises(StudyError, match="trial 1 is missing"):
        read_study(study.folder)
