"""One process at a time in a folder, and what is known of who that is."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest

from search.errors import StudyError
from search.objective import Outcome
from search.space import SearchSpace
from search.store import lock
from search.store.lock import DRIVER, FolderLock, driver_alive, is_driver, locked
from search.store.record import read_study
from search.study import Study, StudyConfig

SPACE = SearchSpace.from_dict({"name": "s", "genes": {"x": {"low": 0.0, "high": 1.0}}}, "s")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.create(tmp_path / "study", SPACE, StudyConfig("s", "random", 0))


def test_who_fails_in_a_folder_of_its_own_making_leaves_none(tmp_path: Path) -> None:
    for there in (False, True):
        folder = tmp_path / str(there)
        if there:
            folder.mkdir()
        with pytest.raises(ValueError, match="broken"), locked(folder):
            raise ValueError("broken")
        assert folder.exists() == there


def test_what_somebody_put_there_meanwhile_stays(tmp_path: Path) -> None:
    def fail() -> None:
        with locked(tmp_path / "new"):
            (tmp_path / "new" / "notes.txt").write_text("dear")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert (tmp_path / "new" / "notes.txt").exists()


def test_a_moved_study_is_not_written_to_and_what_took_its_place_is_left_alone(
    study: Study,
) -> None:
    task = study.ask()
    moved = study.folder.rename(study.folder.with_name("moved"))
    with pytest.raises(StudyError, match="was moved, deleted or replaced"):
        study.tell(task.number, Outcome(0.5))
    with Study.create(study.folder, SPACE, StudyConfig("s", "random", 1)) as other:
        other.ask()
        with pytest.raises(StudyError, match="was moved, deleted or replaced"):
            study.ask()
        study.close()
        assert (study.folder / DRIVER).exists(), "the other's"
        assert driver_alive(study.folder)
    with Study.open(moved) as again:
        assert [t.number for t in again.unfinished()] == [0]


def test_a_damaged_note_of_the_driver_does_not_make_it_dead(study: Study) -> None:
    for text in ("", "[", '{"pid": "x"}', "[1]", '{"pid": 1, "host": []}'):
        (study.folder / DRIVER).write_text(text)
        assert driver_alive(study.folder), text
        assert is_driver(study.folder)
        with pytest.raises(StudyError, match="another process is running this study"):
            Study.open(study.folder)
    study.ask()
    study.close()
    assert not driver_alive(study.folder)


def test_containers_of_one_host_name_do_not_know_each_others_processes(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process id in the note is of another container: what counts is the lock."""
    study.ask()
    monkeypatch.setattr(lock, "_namespace", lambda: "pid:[4026539999]")
    note = (study.folder / DRIVER).read_text()
    assert driver_alive(study.folder)
    assert read_study(study.folder).counts()["running"] == 1
    study.close()
    (study.folder / DRIVER).write_text(note)  # as a kill leaves it
    assert not driver_alive(study.folder)


def test_a_stale_note_with_our_own_process_id_does_not_make_us_the_driver(study: Study) -> None:
    note = json.loads((study.folder / DRIVER).read_text())
    study.close()
    copy = Path(shutil.copytree(study.folder, study.folder.with_name("copy")))
    (copy / DRIVER).write_text(json.dumps(note))
    assert not is_driver(copy)


def test_looking_does_not_keep_a_driver_out(tmp_path: Path) -> None:
    (tmp_path / lock.DRIVER_LOCK).touch()
    for _ in range(20):
        assert not lock._is_held(tmp_path / lock.DRIVER_LOCK)
        mine = FolderLock(tmp_path)
        mine.acquire()
        assert lock._is_held(tmp_path / lock.DRIVER_LOCK)
        mine.release()


def test_who_looks_for_long_is_waited_for_and_who_writes_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = (tmp_path / lock.DRIVER_LOCK).open("w")
    fcntl.flock(reader, fcntl.LOCK_SH)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            reader.close()

    monkeypatch.setattr("search.store.lock.time.sleep", wait)
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.acquire()
    assert len(waits) == 3
    with pytest.raises(StudyError, match="another process is running this study"):
        second.acquire()
    assert len(waits) == 3
    first.release()


def test_who_looks_for_ever_is_not_waited_for_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LOCK_SECONDS", 0.05)
    with (tmp_path / lock.DRIVER_LOCK).open("w") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        with pytest.raises(StudyError, match="another process is running this study"):
            FolderLock(tmp_path).acquire()


def test_a_folder_for_reading_only_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("search.store.lock.FileLock.acquire", refuse)
    with pytest.raises(StudyError, match=r"cannot be locked .*Read-only file system"):
        FolderLock(tmp_path).acquire()
