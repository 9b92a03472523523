"""Where a user has something written: whether it can be, before any minute is spent.

A file is looked at first, so that nothing else is lost by it. A folder in which a job goes on
that may be cut off belongs to that job, and to one process at a time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.errors import StudyError
from search.files import write_json
from search.reading import FileError, read_json
from search.store.lock import FolderLock

from .data.files import check_place
from .errors import InputError

PAGE = re.compile(
    rb"<!doctype html>.{,200}Content-Security-Policy[^>]{,30}default-src 'none'",
    re.IGNORECASE | re.DOTALL,
)
"""How our pages begin: unlike others they may load nothing."""

START_BYTES = 1 << 16
"""Bytes at the beginning of a file that it is known by."""


def check_file(out: Path, example: str, *own: re.Pattern[bytes]) -> None:
    """Check that ``out`` can be written, and that nothing else would be lost by it.

    Args:
        out: the file.
        example: a file name of the kind, for the message.
        own: what a file of ours begins with; one that begins otherwise is not written over.

    Raises:
        InputError: where ``out`` is a folder or somebody else's file, or cannot be written.
    """
    if out.is_dir():
        raise InputError(f"--out {out}: a folder; name a file, such as {out / example}")
    check_place(out)
    check_own(out, *own)


def check_own(out: Path, *own: re.Pattern[bytes]) -> None:
    """Refuse to write over a file that does not begin with one of ``own``.

    Raises:
        InputError: where ``out`` is such a file.
    """
    if not out.is_file():
        return
    with out.open("rb") as file:
        start = file.read(START_BYTES)
    if start and not any(pattern.match(start) for pattern in own):
        raise InputError(
            f"--out {out}: holds something else, which would be lost; name another file"
        )


LOCK, HOLDER = ".lock", ".lock.json"
"""What is held in a folder by whoever is at work there, and who it is; see `search.store.lock`."""

JOB = "job.json"
"""What a job says of itself in the folder in which it goes on."""

VALUE_SHOWN = 200
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
    return text if len(text) <= VALUE_SHOWN else f"{text[:VALUE_SHOWN]}..."
