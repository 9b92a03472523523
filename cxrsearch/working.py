"""A folder in which a job that may be cut off goes on, and no other job does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.errors import StudyError
from search.files import write_json
from search.reading import FileError, read_json
from search.store.lock import FolderLock

from .errors import InputError

LOCK, HOLDER = ".lock", ".lock.json"
"""What is held in a folder by whoever is at work there, and who it is; see `search.store.lock`."""

JOB = "job.json"
"""What a job says of itself in the folder in which it goes on."""

SHOWN = 200
"""Characters of a value in a message: some hold a name of each image."""


def work_of(out: Path) -> Path:
    """The folder in which ``out`` is made, until it is there as a whole."""
    return out.parent / f".{out.name}.work"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from working in ``folder``, which is made where needed.

    Raises:
        InputError: where one is at it, or the folder cannot be locked.
    """
    lock = FolderLock(folder, LOCK, HOLDER, "at work there")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except StudyError as error:
        raise InputError(error.problems) from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be locked ({error}); name another folder") from None
    try:
        yield
    finally:
        lock.release()


def claim(
    folder: Path,
    wanted: Mapping[str, Any],
    file: str = JOB,
    may_change: Collection[str] = (),
) -> None:
    """Make ``folder`` the place of the job that ``wanted`` describes, or go on with it there.

    Args:
        folder: where the job leaves what it has done; see `alone`.
        wanted: JSON-able values that tell it from others.
        file: where they are kept in the folder.
        may_change: those that may have another value now.

    Raises:
        InputError: where another one was begun there, whose results would be taken for its own.
    """
    path = folder / file
    if not path.is_file():
        write_json(path, dict(wanted))
        return
    try:
        begun = read_json(path, "the job's record")
    except FileError as error:
        raise FileError([f"{p}, or name another folder" for p in error.problems]) from None
    if not isinstance(begun, dict):
        raise InputError(f"{path}: not the settings of a job; name another folder")
    changed = [
        f"{name} was {_short(begun.get(name))}, is {_short(value)}"
        for name, value in wanted.items()
        if begun.get(name) != value and name not in may_change
    ]
    if changed:
        raise InputError(
            f"{folder}: begun with another job ({'; '.join(changed)}); go on with the same, "
            "name another --out, or delete that folder to begin again"
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
