"""One driver per study: who holds it, and whether that one is still alive."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from .errors import StudyError
from .files import write_json
from .reading import FileError, read_json

LOCK = "driver.lock"
DRIVER = "driver.json"
CLOCK_STEP = 60.0
"""Seconds by which a set clock may move a process's start; ids are not reused so soon."""


class DriverLock:
    """The right to write to a study. The kernel gives it back when its holder dies.

    Beside the lock lies ``driver.json`` (process, host, start), so that readers can tell
    whether a driver is alive without touching the lock.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / LOCK, thread_local=False, is_singleton=False)

    def acquire(self) -> None:
        """Become the driver.

        Raises:
            StudyError: where another process is, or where the folder cannot be written.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StudyError(
                f"{self._folder}: {_holder(self._folder)} is running this study (it holds "
                f"{self._folder / LOCK}); wait for it, or stop it first"
            ) from None
        except (OSError, NotImplementedError) as error:
            raise StudyError(f"{self._folder}: cannot lock the study: {error}") from None
        try:
            write_json(self._folder / DRIVER, _this_process())
        except OSError as error:
            self._lock.release()
            raise StudyError(f"{self._folder}: cannot be written to: {error}") from None

    def release(self) -> None:
        """Let the next driver in."""
        (self._folder / DRIVER).unlink(missing_ok=True)
        self._lock.release()


@contextmanager
def locked(folder: Path) -> Iterator[DriverLock]:
    """The lock, kept where the block succeeds and given back where it raises."""
    lock = DriverLock(folder)
    lock.acquire()
    try:
        yield lock
    except BaseException:
        lock.release()
        raise


def _this_process() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": platform.node(),
        "started": psutil.Process().create_time(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def read_driver(folder: Path) -> dict[str, Any] | None:
    """What ``driver.json`` says, or ``None`` where there is none that can be read."""
    try:
        found = read_json(folder / DRIVER)
    except (OSError, FileError):
        return None
    return found if isinstance(found, dict) else None


def _holder(folder: Path) -> str:
    driver = read_driver(folder)
    if driver is None:
        return "another process"
    return "process {} on {} (since {})".format(*(driver.get(k) for k in ("pid", "host", "since")))


def driver_alive(folder: Path) -> bool:
    """Whether a driver is running the study. Touches neither the lock nor the driver.

    A process is known by its id and its start, since ids are used again. Of a driver on
    another host all that can be said is that it has not signed off.
    """
    driver = read_driver(folder)
    if driver is None:
        return False
    if driver.get("host") != platform.node():
        return True
    try:
        process = psutil.Process(int(driver["pid"]))
        same = abs(process.create_time() - float(driver["started"])) < CLOCK_STEP
        return same and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return True
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def is_driver(folder: Path) -> bool:
    """Whether this very process is the study's driver."""
    driver = read_driver(folder) or {}
    return driver.get("pid") == os.getpid() and driver.get("host") == platform.node()
