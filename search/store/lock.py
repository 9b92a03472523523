"""One process at a time in a folder: who holds it, and whether that one is still alive."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from search.errors import StudyError
from search.files import write_json
from search.reading import FileError, read_json

DRIVER_LOCK = "driver.lock"
DRIVER = "driver.json"
CLOCK_STEP = 60.0
"""Seconds by which a set clock may move a process's start; ids are not reused so soon."""
LOCK_SECONDS = 5.0
"""Seconds to wait for a lock that only readers hold: for a moment, see `_is_held`, or for longer
where the machine is busy."""

_ours: set[tuple[int, int, int]] = set()
"""Process, device and inode of each lock file that this process holds; a fork holds none."""


class FolderLock:
    """The right to write in a folder. The kernel gives it back when its holder dies.

    Whoever looks at what is in the folder in order to write there takes it before looking.
    Beside the lock lies a file that says who holds it (process, host, start), so that readers
    can tell whether a driver is alive, mostly without touching the lock.

    Args:
        folder: which must be there.
        lock: name of the lock file; by default a study's.
        holder: name of the file that says who holds it.
        doing: what its holder is doing there, for the message to others.
    """

    def __init__(
        self,
        folder: Path,
        lock: str = DRIVER_LOCK,
        holder: str = DRIVER,
        doing: str = "running this study",
    ) -> None:
        self._folder = folder
        self._path = folder / lock
        self._holder = folder / holder
        self._doing = doing
        self._lock = FileLock(self._path, thread_local=False, is_singleton=False)
        self._file: tuple[int, int, int] | None = None

    def acquire(self) -> None:
        """Become the one who writes.

        Raises:
            StudyError: where another process is, or where the folder cannot be written.
        """
        try:
            self._take()
        except Timeout:
            raise StudyError(
                f"{self._folder}: another process is {self._doing} ({_who(_read(self._holder))}"
                f"holding {self._path}); wait for it, stop it first, or name another folder"
            ) from None
        except (OSError, NotImplementedError) as error:
            raise StudyError(
                f"{self._folder}: cannot be locked ({error}); make it writable, or name another "
                "folder"
            ) from None
        self._file = _identity(self._path)
        try:
            self.check()  # whoever had it may have removed the folder
            write_json(self._holder, _this_process())
        except StudyError:
            self._lock.release()
            raise
        except OSError as error:
            self._lock.release()
            raise StudyError(f"{self._folder}: cannot be written to: {error}") from None
        assert self._file is not None
        _ours.add(self._file)

    def _take(self) -> None:
        """Take the lock; who holds it to write is not waited for."""
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self._lock.acquire(timeout=0)
                return
            except Timeout:
                if _is_held(self._path) or time.monotonic() > end:
                    raise
            time.sleep(0.02)

    def check(self) -> None:
        """Make sure that the folder is still the one that was locked.

        Raises:
            StudyError: where it was moved, deleted or replaced since.
        """
        if self._file is None or _identity(self._path) != self._file:
            raise StudyError(
                f"{self._folder}: was moved, deleted or replaced while it was worked in, so "
                "nothing more is written; go on with it where it is now"
            )

    def release(self, remove: bool = False) -> None:
        """Let the next one in.

        Args:
            remove: whether to remove the folder, if nothing else is in it.
        """
        if self._file is not None and _identity(self._path) == self._file:
            with suppress(OSError):  # of a disk that fails; the lock is what counts
                self._holder.unlink(missing_ok=True)
                if remove and [p.name for p in self._folder.iterdir()] == [self._path.name]:
                    self._path.unlink()
                    self._folder.rmdir()
        if self._file is not None:
            _ours.discard(self._file)
        self._file = None
        self._lock.release()


@contextmanager
def locked(folder: Path) -> Iterator[FolderLock]:
    """A study's lock, kept where the block succeeds and given back where it raises.

    The folder is made where needed. One that was made here and holds nothing is gone again where
    the block fails.

    Raises:
        StudyError: where another process has it, or where the folder cannot be written.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{folder}: cannot be made: {error.strerror or error}") from None
    lock = FolderLock(folder)
    lock.acquire()
    try:
        yield lock
    except BaseException as error:
        lock.release(made and isinstance(error, Exception))
        raise


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return os.getpid(), found.st_dev, found.st_ino


def _namespace() -> str | None:
    """In which process ids mean what they do here: containers of one host name have their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _this_process() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": platform.node(),
        "namespace": _namespace(),
        "started": psutil.Process().create_time(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = read_json(path)
    except (OSError, FileError):
        return None
    return found if isinstance(found, dict) else None


def read_driver(folder: Path) -> dict[str, Any] | None:
    """What ``driver.json`` says, or ``None`` where there is none that can be read."""
    return _read(folder / DRIVER)


def _who(holder: dict[str, Any] | None) -> str:
    if holder is None:
        return ""
    return "process {} on {}, since {}, ".format(*(holder.get(k) for k in ("pid", "host", "since")))


def driver_alive(folder: Path) -> bool:
    """Whether a driver is running the study, without being in its way.

    A process is known by its id and its start, since ids are used again. Where its id says
    nothing here (it runs in another container of the same host name, or the file that names it
    is damaged), the lock is asked. Of a driver on another host, all that can be said is that it
    has not signed off: not every file system knows the locks of other hosts.
    """
    driver = read_driver(folder)
    if driver is None:
        return (folder / DRIVER).exists() and _is_held(folder / DRIVER_LOCK)
    if driver.get("host") != platform.node():
        return True
    if driver.get("namespace") not in (None, _namespace()):
        return _is_held(folder / DRIVER_LOCK)
    try:
        process = psutil.Process(int(driver["pid"]))
        same = abs(process.create_time() - float(driver["started"])) < CLOCK_STEP
        return same and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, KeyError, TypeError, ValueError, OverflowError):
        return _is_held(folder / DRIVER_LOCK)


def _is_held(path: Path) -> bool:
    """Whether somebody holds a lock, by taking it for a moment beside other readers."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(file)  # and with it the lock
    return False


def is_driver(folder: Path) -> bool:
    """Whether this very process is the study's driver."""
    return _identity(folder / DRIVER_LOCK) in _ours
