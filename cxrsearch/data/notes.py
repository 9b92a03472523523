"""What reading an image came to, beside its pixels: noted where it is read, told once for all.

A reader calls `note` or `note_depth`; whoever wants to know reads inside `noted`. Several threads
may do so, each for the image that it reads. An image's notes are a number of seven bits, which a
cache keeps beside the mark that its row is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntFlag

_RANGE = 0b1111
"""The part of a number that says by what range values were read: 0 by what the file states, 1 to
8 by the 8 to 15 bits that they have, `_FLOATS` from the lowest to the highest."""
_FLOATS = 9


class Note(IntFlag):
    """What else may be noted."""

    NO_WINDOW = 1 << 4
    POLARITY = 1 << 5
    IRREGULAR = 1 << 6


_TEXTS = {
    Note.NO_WINDOW: "have a DICOM window or table that cannot be used (empty, of width 0, or no "
    "numbers) and were read without it",
    Note.POLARITY: "say twice, and differently, whether low values are black "
    "(PhotometricInterpretation, PresentationLUTShape), and were read inverted",
    Note.IRREGULAR: "depart from the DICOM standard and were read nevertheless",
}


class Noted:
    """Collects the notes of one image.

    Attributes:
        number: all of them.
    """

    def __init__(self) -> None:
        self.number = 0


_current: ContextVar[Noted | None] = ContextVar("noted", default=None)


@contextmanager
def noted() -> Iterator[Noted]:
    """Collects what is noted inside, in this thread."""
    found = Noted()
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


def note(what: Note) -> None:
    """Note something of the image that is being read."""
    if (found := _current.get()) is not None:
        found.number |= what


def note_depth(held: int, declared: int) -> None:
    """Note that values of ``declared`` bits were read as the ``held`` bits that they have."""
    if held < declared and 8 <= held <= 15:
        _note_range(held - 7)


def note_floats() -> None:
    """Note that fractions were read from their lowest to their highest."""
    _note_range(_FLOATS)


def _note_range(code: int) -> None:
    if (found := _current.get()) is not None:
        found.number = found.number & ~_RANGE | code


def summary(notes: Iterable[tuple[str, int]], total: int) -> list[str]:
    """One sentence a kind, with the count.

    Args:
        notes: name and notes of each image that was read, in order; 0 where there are none.
        total: images that were looked at.
    """
    ranges: Counter[int] = Counter()
    others: Counter[Note] = Counter()
    first: dict[str, str] = {}
    for name, number in notes:
        if code := number & _RANGE:
            ranges[code] += 1
            first.setdefault("floats" if code == _FLOATS else "depth", name)
        for kind in Note:
            if number & kind:
                others[kind] += 1
                first.setdefault(kind.name or "", name)
    floats = ranges.pop(_FLOATS, 0)
    told = []
    if ranges:
        each = ", ".join(f"{count:,} as {code + 7}-bit" for code, count in sorted(ranges.items()))
        mixed = "; brightness compares only within one depth" if len(ranges) > 1 else ""
        told.append(
            f"{_count(ranges.total(), total)} hold values of fewer bits than their files have room "
            f"for, and say nothing else; they were read by those bits ({each}), such as "
            f"{first['depth']!r}{mixed}"
        )
    if floats:
        told.append(
            f"{_count(floats, total)} hold fractions without a range and were read from their "
            f"lowest to their highest value, such as {first['floats']!r}"
        )
    told += [
        f"{_count(others[kind], total)} {text}, such as {first[kind.name or '']!r}"
        for kind, text in _TEXTS.items()
        if others[kind]
    ]
    return told


def reasons(bad: Iterable[tuple[str, str]], most: int) -> list[str]:
    """Why images cannot be read: one text a reason, ``most`` of them and a count of the others.

    Args:
        bad: name and reason of each.
        most: texts at most.
    """
    names: dict[str, list[str]] = {}
    for name, reason in bad:
        names.setdefault(reason, []).append(name)
    told = [
        f"{here[0]}: {reason}"
        if len(here) == 1
        else f"{len(here):,} images, such as {here[0]}: {reason}"
        for reason, here in names.items()
    ]
    more = sum(map(len, list(names.values())[most:]))
    return [*told[:most], *([f"and {more:,} more"] if more else [])]


def _count(count: int, total: int) -> str:
    return f"{count:,} of {total:,} images"
