"""A PostgreSQL server of our own: on the loopback address, in a folder that goes with it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

USERS = ("postgres", "nobody")
"""Whom the server runs as for root, whom it refuses."""


class NoServerError(Exception):
    """No server can be started here; the message says what is missing."""


def _programs() -> Path:
    """The folder of PostgreSQL's programs; Debian keeps them out of the path."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise NoServerError("PostgreSQL is not installed (Debian: apt-get install postgresql)")


def _run_as() -> list[str]:
    """What makes the rest of a command run as somebody who is not root."""
    if os.geteuid() != 0:
        return []
    import pwd

    known = {user.pw_name for user in pwd.getpwall()}
    user = next((name for name in USERS if name in known), None)
    if user is None or shutil.which("setpriv") is None:
        raise NoServerError("root has no setpriv or no other user to start PostgreSQL as")
    entry = pwd.getpwnam(user)
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]


def free_port() -> int:
    """A port of the loopback address that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def postgres(*settings: str) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database, whose server ends with the block.

    Args:
        settings: of the server besides its defaults, such as ``fsync=off``.

    Raises:
        NoServerError: where the server, its driver or a user for it is missing.
    """
    if find_spec("psycopg") is None:
        raise NoServerError("psycopg is not installed (pip install 'cxrsearch[postgres]')")
    programs, who, port = _programs(), _run_as(), free_port()
    # A short path, for the socket, and a folder that another user may enter.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        if who:
            shutil.chown(folder, int(who[1].split("=")[1]), int(who[2].split("=")[1]))
        data, log = folder / "data", folder / "log"

        def call(*words: object) -> None:
            command = [*who, *map(str, words)]
            done = subprocess.run(
                command, cwd=folder, text=True, timeout=120,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            if done.returncode != 0:
                raise RuntimeError(done.stdout + (log.read_text() if log.exists() else ""))

        call(programs / "initdb", "-D", data, "-U", "me", "-A", "trust", "-N", "-E", "UTF8")
        own = (f"listen_addresses=127.0.0.1 -c unix_socket_directories={folder}", *settings)
        options = " ".join([f"-p {port}", *(f"-c {setting}" for setting in own)])
        # Its output is a file: a pipe would stay open as long as the server runs.
        start = [*who, programs / "pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start"]
        with (folder / "start").open("w") as said:
            subprocess.run(start, cwd=folder, check=True, stdout=said, stderr=said, timeout=120)
        try:
            yield f"postgresql+psycopg://me@127.0.0.1:{port}/postgres"
        finally:
            call(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
