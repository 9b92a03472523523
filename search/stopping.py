"""How a run is asked to stop: Ctrl-C, SIGTERM of a batch system, SIGHUP of a closed terminal.

The first signal stops a run cleanly. One that comes while it stops ends the process at once, by
that signal: what it has written is whole, and what runs in other processes ends with it. A
signal is often sent twice, to a process and to its group, so an echo of the first within
`ECHO` seconds counts as the first. One that is ignored (``nohup``) stays so.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ECHO = 1.0

GRACE = 20.0
"""Seconds that a runner which only notices signals may take to stop: parts of it may have been
ended by the same signal, and it would wait for their answer. Batch systems kill after 30."""

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""The signals that stop a run."""


class Stopped(KeyboardInterrupt):
    """A run was asked to stop. Whatever ends cleanly on Ctrl-C does so on this.

    Args:
        number: the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = int(number)

    @property
    def exit_code(self) -> int:
        """As shells have it."""
        return 128 + self.number


class Stop:
    """Whether a run has been asked to stop, and by what.

    Args:
        react: called with the signal when it first comes; ``None``: it is only noted, and
            what has not ended `GRACE` seconds later is ended.
    """

    def __init__(self, react: Callable[[int], None] | None = None) -> None:
        self.number: int | None = None
        self._react = react
        self._watch: threading.Timer | None = None
        self._at = 0.0
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self.number is not None

    @property
    def armed(self) -> bool:
        """Whether it listens."""
        return bool(self._before)

    def arm(self) -> None:
        """Listen; again after a library has put its own handlers there."""
        for number in SIGNALS:
            before = signal.getsignal(number)
            if before == signal.SIG_IGN and number not in self._before:
                continue
            self._before.setdefault(number, before)
            signal.signal(number, self._handle)

    def disarm(self) -> None:
        """Put back what was there before."""
        for number, handler in self._before.items():
            if handler is not None:
                signal.signal(number, handler)
        self._before.clear()
        if self._watch is not None:
            self._watch.cancel()

    def raise_(self, cause: BaseException | None = None) -> None:
        """Raise `Stopped` where a signal has come."""
        if self.number is not None:
            raise Stopped(self.number) from cause

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number, self._at = number, time.monotonic()
            if self._react is not None:
                self._react(number)
            else:
                self._watch = threading.Timer(GRACE, os._exit, [128 + number])
                self._watch.daemon = True
                self._watch.start()
        elif time.monotonic() - self._at > ECHO:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextmanager
def stopping(react: Callable[[int], None] | None = None) -> Iterator[Stop]:
    """Listen for signals within; outside the main thread there is nothing to listen to.

    Args:
        react: as for `Stop`.
    """
    stop = Stop(react)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    stop.arm()
    try:
        yield stop
    finally:
        stop.disarm()


def raise_stopped(number: int) -> None:
    """A reaction: end what is being done, by `Stopped`."""
    raise Stopped(number)
