"""A peer in an environment of its own: a child process, asked and told by lines of JSON."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .genes import Params, Task

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = ROOT / ".venv-peers"
"""Where `make bench-peers` puts one environment a library."""
TIMEOUT = 900.0
"""Seconds that an answer may take, the library's import included."""
TAIL = 12
"""Lines of the child's log that an error quotes."""
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")


class PeerError(RuntimeError):
    """A peer that cannot be started, or does not answer."""


def interpreter(environment: str) -> Path:
    """The Python of ``environment``; it may not be there."""
    return ENVIRONMENTS / environment / "bin" / "python"


def missing(environment: str) -> str:
    """Why ``environment`` cannot be used, with the way out, or an empty text."""
    # The Makefile touches .ready when the installation has gone through.
    if (ENVIRONMENTS / environment / ".ready").exists() and interpreter(environment).exists():
        return ""
    return f"no environment {ENVIRONMENTS / environment}: run make bench-peer-{environment}"


class PipedPeer:
    """A peer whose calls go to a child process.

    Args:
        environment: of the child, made by ``make bench-peer-<environment>``.
        peer: its name in `worker`.
        task: what it is made for.
        command: of the child, instead of the worker in the environment's Python.
        timeout: seconds that an answer may take.

    Raises:
        PeerError: the environment is missing, or the library cannot be loaded.
    """

    def __init__(
        self,
        environment: str,
        peer: str,
        task: Task,
        command: Sequence[str] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        if command is None:
            reason = missing(environment)
            if reason:
                raise PeerError(f"{peer}: {reason}")
            command = [str(interpreter(environment)), "-m", "benchmarks.search.peers.worker", peer]
        self.peer, self.timeout, self._rest = peer, timeout, b""
        # The libraries leave files where they run.
        self._folder = tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name) / "stderr.log"
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder.name,
                env=_variables(),
            )
        try:
            self._call({"do": "make", "task": task.to_json()})
        except PeerError:
            self.close()
            raise

    def ask(self) -> tuple[int, Params]:
        """(handle, params)."""
        found = self._call({"do": "ask"})
        return found["handle"], found["params"]

    def leg(self) -> tuple[int, Params, int]:
        """(handle, params, epochs) of a peer that says how long it trains."""
        found = self._call({"do": "ask"})
        return found["handle"], found["params"], found["epochs"]

    def tell(self, handle: int, score: float) -> None:
        """The observed score of ``handle``."""
        self._call({"do": "tell", "handle": handle, "score": score})

    def close(self) -> None:
        """End the child and remove its files. May be called twice."""
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
        self._folder.cleanup()

    def _call(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(message).encode() + b"\n")
            self._child.stdin.flush()
        except OSError:
            raise self._failure("has ended") from None
        line = self._line()
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            raise self._failure(f"answered {line[:200]!r}, which is no JSON") from None
        if "error" in found:
            raise self._failure(f"failed: {found['error']}")
        return found

    def _line(self) -> bytes:
        assert self._child.stdout is not None
        stream, until = self._child.stdout.fileno(), time.monotonic() + self.timeout
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                raise self._failure(f"gave no answer in {self.timeout:g} s")
            part = os.read(stream, 65536)
            if not part:
                raise self._failure("has ended")
            self._rest += part
        line, self._rest = self._rest.split(b"\n", 1)
        return line

    def _failure(self, what: str) -> PeerError:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        log = "\n".join(f"  {line}" for line in lines[-TAIL:]) or "  (empty)"
        return PeerError(f"the peer {self.peer} {what}; the end of its log:\n{log}")


def _variables() -> dict[str, str]:
    # One thread each: the harness runs as many cells as there are cores.
    threads = {f"{name}_NUM_THREADS": "1" for name in THREADS}
    own = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **threads, **own}
