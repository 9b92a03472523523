"""What a cache is to be, and how its rows reach the disk: the parts that building rests on."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from cxrsearch.data.dataset import CONTENT_BYTES

T = TypeVar("T")
INDEX, CACHE_PIXELS, CACHE_DONE, STATE = "index.json", "pixels.u8", "done.u8", "state.json"
CONTENTS, SUMS = "contents.u8", "sums.u8"
"""Files of a cache; see `cxrsearch.data.pixels.cache`."""
ROW_SUM_BYTES = 4
"""Bytes of a row's checksum."""
ROWS_TOGETHER = 256
"""Rows that are marked as done together; a kill costs two batches at most."""


@dataclass(frozen=True)
class CachePlan:
    """A cache that is to be: its folder, side, and the names and stamps of its rows."""

    folder: Path
    frame: int
    names: Sequence[str]
    stamps: Sequence[str]

    @property
    def row_bytes(self) -> int:
        """Bytes of one image."""
        return self.frame * self.frame

    @property
    def size(self) -> int:
        """Bytes of all pixels."""
        return len(self.names) * self.row_bytes

    @property
    def lock(self) -> Path:
        """The lock file, beside the folder."""
        return self.folder.with_suffix(".lock")


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor to read and write, for `os.pwrite`, which threads can share."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def reserve(descriptor: int, size: int) -> None:
    """Take the room on the disk now, where the system can, not when it is written."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    os.ftruncate(descriptor, size)


def write(descriptor: int, data: bytes, offset: int) -> None:
    """All of ``data``: one pwrite may stop short when the disk is nearly full."""
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


class Opened(NamedTuple):
    """Descriptors of a cache's files while it is filled; see `cxrsearch.data.pixels.cache`."""

    pixels: int
    contents: int
    sums: int
    done: int

    def write(self, plan: CachePlan, row: int, pixels: bytes, content: bytes, made: int) -> None:
        """Write one row: the grey levels, what stands for the image's content, their checksum.

        Args:
            plan: the cache.
            row: where.
            pixels: grey levels.
            content: `CONTENT_BYTES` of it.
            made: the byte that `mark` is to write, 0 where the image could not be read.
        """
        write(self.pixels, pixels, row * plan.row_bytes)
        write(self.contents, content, row * CONTENT_BYTES)
        write(self.sums, row_sum(plan, row, pixels, content, made), row * ROW_SUM_BYTES)


def row_sum(
    plan: CachePlan, row: int, pixels: bytes | memoryview, content: bytes, made: int
) -> bytes:
    """The CRC-32 of all that a row says, its name and stamp among it; see `Opened.write`."""
    head = f"{plan.names[row]}\0{plan.stamps[row]}\0{made}\0".encode("utf-8", "surrogatepass")
    return zlib.crc32(pixels, zlib.crc32(head + content)).to_bytes(ROW_SUM_BYTES, "little")


def marked(notes: int) -> int:
    """The byte of a row that is done; see `cxrsearch.data.notes`."""
    return notes << 1 | 1


def mark(files: Opened, rows: Mapping[int, int]) -> None:
    """Say that ``rows`` are done, once all of theirs is on the disk.

    Args:
        rows: with the notes of each; see `cxrsearch.data.notes`.
    """
    os.fsync(files.pixels)
    os.fsync(files.contents)
    os.fsync(files.sums)
    for row, notes in rows.items():
        write(files.done, bytes([marked(notes)]), row)
    os.fsync(files.done)


def undone(done: int, count: int) -> list[int]:
    """Rows that are not done yet, of ``count``."""
    marks = np.frombuffer(os.pread(done, count, 0), np.uint8)
    return [int(row) for row in np.flatnonzero(marks & 1 == 0)]


def batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """``rows`` in runs of `ROWS_TOGETHER`."""
    for start in range(0, len(rows), ROWS_TOGETHER):
        yield rows[start : start + ROWS_TOGETHER]
