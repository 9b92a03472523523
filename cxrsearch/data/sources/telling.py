"""Says what data sets are taken for to whoever wants to know, such as a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[Sequence[str]], None] | None] = ContextVar("listener", default=None)


@contextmanager
def telling(say: Callable[[str], object]) -> Iterator[None]:
    """Within, what is told goes to ``say``, a line at a time, and nothing of it twice."""
    told: set[tuple[str, ...]] = set()

    def once(lines: Sequence[str]) -> None:
        if tuple(lines) not in told:
            told.add(tuple(lines))
            for line in lines:
                say(line)

    token = _listener.set(once)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(lines: Sequence[str]) -> None:
    """Tell some lines, where anybody listens."""
    if (say := _listener.get()) is not None:
        say(lines)
