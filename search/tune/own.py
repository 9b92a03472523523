"""A Ray of our own on this machine: private, silent, and gone without a trace.

Whoever reaches Ray's ports or sockets may run code as this user. So its ports listen on this
machine only, it asks for a token that is made for it and lies in no file, and everything it
writes, sockets included, lies in a folder that nobody else can open (Ray itself makes its
folders readable and writable for all). A process that is killed cannot remove its folder: the
next one that starts does, where nobody holds the folder's lock any more.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import ray
from filelock import FileLock, Timeout

from .private import loopback, read_mode

OBJECT_STORE_BYTES = 256 * 2**20
"""Ray's shared memory here. Only the objective goes through it, and that is small."""

FOLDER_PREFIX = "ray-"
OWNER_LOCK = "lock"
_OURS = re.compile(r"ray-(?:tune-)?[a-z0-9_]{8}")

LONGEST_FOLDER = 40
"""Unix sockets lie 65 characters below Ray's folder, and their paths have no more than 107."""

OLD = 3600.0
"""Seconds after which a folder without a lock, of an earlier version, may be left over."""

JUST_MADE = 10.0
"""Seconds for which a lock is taken for held: its file is made before it is locked."""

REMOVALS = 50
"""How often a folder is removed, a tenth of a second apart, until it stays away."""


@contextmanager
def own_folder() -> Iterator[Path]:
    """A new folder for Ray that only this user can open, removed at the end.

    Folders whose process was killed are removed first. Ray is told to use ``r`` in it.

    Raises:
        OSError: where none can be made.
    """
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
    if len(str(folder / "r")) >= LONGEST_FOLDER and Path("/tmp").is_dir():
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir="/tmp"))
    lock = FileLock(folder / OWNER_LOCK, is_singleton=False)
    lock.acquire(timeout=0)
    try:
        yield folder
    finally:
        _remove(folder)
        lock.release()


@contextmanager
def own_ray(cpus: int, gpus: int | None = None) -> Iterator[Path]:
    """Ray, started for this process alone; yields the folder in which it lies.

    Args:
        cpus: that it may give to trials.
        gpus: the same; ``None``: as many as it finds.
    """
    with own_folder() as folder, own_token(), loopback():
        try:
            ray.init(
                address="local",
                num_cpus=cpus,
                num_gpus=gpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(folder / "r"),
            )
            yield folder
        finally:
            ray.shutdown()


@contextmanager
def own_token() -> Iterator[None]:
    """Make the Ray that is started now ask for a token, which its processes inherit.

    By its default Ray of late asks too, but for one that it leaves in the home folder.
    """
    wanted = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        read_mode()
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        read_mode()


def _remove(folder: Path) -> None:
    """Remove ``folder``, again where somebody has written to it meanwhile.

    Ray waits for none of its workers to end, and a worker that is late writes its log.
    """
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def sweep() -> None:
    """Remove this user's folders of processes that are gone; of others nothing is touched."""
    for place in {Path(tempfile.gettempdir()), Path("/tmp")}:
        with suppress(OSError):
            for folder in place.glob(f"{FOLDER_PREFIX}*"):
                if _OURS.fullmatch(folder.name) and _is_left_over(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_left_over(folder: Path) -> bool:
    """Whether ``folder`` is ours and the process that made it is gone.

    By its lock, which the kernel gives back; a process id says nothing where several
    containers share the folder. One without a lock is of an earlier version: left over where
    no Ray answers in it, after a while in which one may be starting.
    """
    try:
        if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
            return False
        if (folder / OWNER_LOCK).exists():
            if time.time() - (folder / OWNER_LOCK).stat().st_mtime < JUST_MADE:
                return False
            lock = FileLock(folder / OWNER_LOCK, is_singleton=False)
            lock.acquire(timeout=0)
            lock.release()
            return True
        return time.time() - folder.stat().st_mtime > OLD and not _answers(folder)
    except (OSError, Timeout, NotImplementedError):
        return False


def _answers(folder: Path) -> bool:
    """Whether anybody listens at one of the sockets in ``folder``."""
    for path in folder.glob("session_*/sockets/*"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(path))
            except (ConnectionRefusedError, FileNotFoundError):
                continue
            return True
    return False
