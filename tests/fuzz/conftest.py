"""Damaged and odd input, by the thousand: each ends in a result or in a sentence, soon, in little.

``make fuzz`` runs the same tests with many more cases: the seeds of the cases are their numbers,
so that a case that fails can be run again.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

MULTIPLE = "CXRSEARCH_FUZZ"
"""Environment variable: how many times as many cases as in `make test`."""

SECONDS = 2.0
"""A case may take so long."""

GIVEN_UP = 20.0
"""A case is cut off after so many seconds: it hangs."""

BYTES = 512 << 20
"""A case may take so much memory beyond what was there before it."""

COUNTS: Counter[str] = Counter()


class Ending(NamedTuple):
    """How a case ended: with a value, or refused with an error."""

    value: Any
    error: Exception | None

    @property
    def refused(self) -> bool:
        return self.error is not None


def _status(field: str) -> int:
    """A size from /proc/self/status in bytes; 0 where there is none."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(field):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def _forget_peak() -> None:
    """Let the process's peak memory begin anew. Linux only; elsewhere memory is not checked."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


class Hang(BaseException):
    """Raised in a case that does not end. Nothing that handles errors takes it for one."""


@contextmanager
def cut_off() -> Iterator[None]:
    """Raise `Hang` after `GIVEN_UP` seconds, as soon as Python has the word."""

    def ring(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, GIVEN_UP)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def cases() -> Callable[[int], range]:
    """``cases(n)``: numbers of n cases, or of many more under ``make fuzz``."""

    def numbers(count: int) -> range:
        return range(count * int(os.environ.get(MULTIPLE, "1")))

    return numbers


Guarded = Callable[..., Ending]


@pytest.fixture
def guarded(request: pytest.FixtureRequest) -> Iterator[Guarded]:
    """``guarded(name, call, *allowed)``: run one case under the limits.

    ``call()`` may return, or raise one of ``allowed`` with a message in it. Anything else, more
    than `SECONDS`, or more than `BYTES` fails the test, naming the case.
    """
    failures: list[str] = []

    def run(name: object, call: Callable[[], Any], *allowed: type[Exception]) -> Ending:
        _forget_peak()
        before = _status("VmRSS:")
        start = time.perf_counter()
        value: Any = None
        refusal: Exception | None = None
        try:
            with cut_off():
                value = call()
        except allowed as error:
            refusal = error
            if not str(error).strip():
                failures.append(f"{name}: an error without a message")
        except Hang:
            failures.append(f"{name}: no end after {GIVEN_UP:.0f} s")
            return Ending(None, None)
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
        seconds = time.perf_counter() - start
        taken = _status("VmHWM:") - before
        if seconds > SECONDS:
            # A machine that is busy with something else is no hang: what hangs does so again.
            start = time.perf_counter()
            with suppress(Exception):
                call()
            seconds = min(seconds, time.perf_counter() - start)
        if seconds > SECONDS:
            failures.append(f"{name}: took {seconds:.1f} s")
        if taken > BYTES:
            failures.append(f"{name}: took {taken >> 20} MB")
        COUNTS[request.node.nodeid.partition("::")[0]] += 1
        return Ending(value, refusal)

    yield run
    assert not failures, f"{len(failures)} cases failed:\n" + "\n".join(failures[:20])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many cases there were, for ``make fuzz``."""
    if os.environ.get(MULTIPLE) and COUNTS:
        for file, count in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{count:7,} cases  {file}")
        terminalreporter.write_line(f"{sum(COUNTS.values()):7,} cases in all")
