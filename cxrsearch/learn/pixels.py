"""Pixels cut and resized for a recipe, in files that all workers of a machine share.

A *shelf* is a folder of such files beside a cache's own. A file is made once, by whoever
needs it first, and mapped into memory for reading by everybody: the kernel keeps one copy of
its pages however many workers draw from them, and takes them back when memory runs short.
Later trials and later searches find it again. It is called after all that its pixels depend
on, so nothing in it ever changes:

============ =================================================================================
KEY.u8       ``(m, H, W)`` grey levels, row by row, and their CRC-32 in the last 4 bytes; its time
             is that of its last use
KEY.lock     held by whoever makes or deletes the file; the kernel frees it after a kill
.KEY.*.tmp   a file in the making; one that a kill left is deleted by the next who needs room
============ =================================================================================

A trial looks at the checksum when it maps the file, which brings into memory what its first
epoch draws from. Where it does not fit, the file is made again.

Deleting a file takes it from nobody who has it mapped. Where there is no room, or nothing can
be written, there is no file, and `Shelf.find` says so: that is never an error.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from cxrsearch.data.pixels.cache_build import FULL
from search.files import replace_file

from .augment.frames import prepare, window
from .recipe import size_of

PIXELS_FORMAT = 1
"""Raised whenever the same rows, crop and input size would give other pixels than before."""

SHELF_BYTES = 1 << 30
"""A shelf may take so much of the disk in any case, and as much as its cache where that is more."""

SHELF_FILES = 200
"""Files that a shelf holds at most, however small."""

SPARE_BYTES = 1 << 30
"""Bytes of the disk that a shelf leaves to everybody else, beside what is asked to be left."""

FILE_SUM_BYTES = 4
"""Bytes of a file's checksum, at its end."""

WAIT_SECONDS = 600.0
"""So long a worker waits for another that makes the file it needs."""

_PART = 1 << 21  # pixels cut, resized and written at once; malloc keeps what larger pieces take


def is_whole_frame(frame: int, crop: int | str, input_size: int | str) -> bool:
    """Whether a recipe's network sees images of side ``frame`` exactly as the cache has them."""
    size = size_of(input_size)
    return size == (frame, frame) and window(frame, crop) == (0, 0, frame, frame)


def as_tensor(pixels: np.ndarray) -> Tensor:
    """A tensor over ``pixels`` themselves, which may be mapped for reading only: never write."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(pixels)


@dataclass(frozen=True)
class Shelf:
    """The prepared pixels of one cache.

    Args:
        folder: where they lie; made where needed, in a folder that is there.
        limit: bytes that they may take together; what was used longest ago makes room.
        spare: bytes of the disk to leave free, beside `SPARE_BYTES`.
    """

    folder: Path
    limit: int = SHELF_BYTES
    spare: int = 0

    def find(
        self, images: np.ndarray, rows: np.ndarray, crop: int | str, input_size: int | str
    ) -> Tensor | None:
        """What `prepare` makes of ``rows``, mapped from a file that all share.

        Safe to call from several processes at once: one makes the file, the others wait.

        Args:
            images: (n, F, F) uint8, of the one cache that this shelf belongs to.
            rows: (m,) which of them.
            crop: window in units of a 1024 frame.
            input_size: a side or ``"HxW"`` in pixels.

        Returns:
            (m, H, W) uint8 on the CPU, for reading only; None where no file can be had.
        """
        shape = (len(rows), *size_of(input_size))
        path = self.folder / f"{_key(images.shape[1], rows, crop, input_size)}.u8"
        try:
            found = _mapped(path, shape)
            if found is None and len(rows):
                self.folder.mkdir(exist_ok=True)
                with FileLock(path.with_suffix(".lock")).acquire(timeout=WAIT_SECONDS):
                    found = _mapped(path, shape)
                    if found is None and self._make_room(path, int(np.prod(shape))):
                        _write(path, images, rows, crop, input_size)
                        found = _mapped(path, shape)
        except (OSError, NotImplementedError):  # full, for reading only, no locks, waited too long
            return None
        return found

    def _make_room(self, path: Path, size: int) -> bool:
        """Delete what was used longest ago until ``size`` bytes fit; the caller holds the lock."""
        self._sweep(path)
        files = {file: _stat(file) for file in self.folder.glob("*.u8")}
        being_made = sum(_stat(file)[1] for file in self.folder.glob(".*.tmp"))
        left = sorted(files, key=lambda file: files[file])
        taken = being_made + sum(bytes for _, bytes in files.values())
        wanted = size + self.spare + SPARE_BYTES
        if size > self.limit - being_made or wanted > self._free() + taken:
            return False
        while left and (
            len(left) >= SHELF_FILES or taken + size > self.limit or self._free() < wanted
        ):
            oldest = left.pop(0)
            with _held(oldest.with_suffix(".lock")) as held:
                if held:
                    oldest.unlink(missing_ok=True)
                    taken -= files[oldest][1]
        # Files that others have mapped give their room back when those are done with them.
        return taken + size <= self.limit and self._free() >= wanted

    def _sweep(self, path: Path) -> None:
        """Delete what was left of files whose making was killed."""
        for left in self.folder.glob(".*.tmp"):
            key = left.name.split(".")[1]
            if key == path.stem:
                left.unlink(missing_ok=True)  # ours: nobody else is at it, for we hold the lock
                continue
            with _held(self.folder / f"{key}.lock") as held:
                if held:
                    left.unlink(missing_ok=True)

    def _free(self) -> int:
        return shutil.disk_usage(self.folder).free


def _key(frame: int, rows: np.ndarray, crop: int | str, input_size: int | str) -> str:
    """The name of a file: rows, window and size, and whoever did the resizing."""
    what = (PIXELS_FORMAT, torch.__version__, frame, window(frame, crop), size_of(input_size))
    text = repr(what).encode() + np.ascontiguousarray(rows, np.int64).tobytes()
    return hashlib.sha256(text).hexdigest()[:16]


def _mapped(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """The file as a tensor, noting its use; None where it is not there, or not whole."""
    size = int(np.prod(shape))
    try:
        if path.stat().st_size != size + FILE_SUM_BYTES:
            return None
        held = np.memmap(path, np.uint8, "r")
    except (FileNotFoundError, ValueError):
        return None
    if zlib.crc32(held[:size].data).to_bytes(FILE_SUM_BYTES, "little") != held[size:].tobytes():
        return None
    with suppress(OSError):  # somebody else's file, or a disk for reading only
        os.utime(path)
    return as_tensor(held[:size].reshape(shape))


def _write(
    path: Path, images: np.ndarray, rows: np.ndarray, crop: int | str, input_size: int | str
) -> None:
    """Make the file: it has its name once all of it is on the disk, and not before."""
    height, width = size_of(input_size)
    _, _, tall, wide = window(images.shape[1], crop)
    step = max(1, _PART // max(tall * wide, height * width))
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            _reserve(file.fileno(), len(rows) * height * width + FILE_SUM_BYTES)
            total = 0
            for start in range(0, len(rows), step):
                part = prepare(images, rows[start : start + step], crop, input_size)
                total = zlib.crc32(part.numpy().data, total)
                file.write(part.numpy().data)
            file.write(total.to_bytes(FILE_SUM_BYTES, "little"))
        temporary.chmod(0o644)
        replace_file(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _reserve(descriptor: int, size: int) -> None:
    """Take the room on the disk now, so that others who look for some see that it is gone."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:  # other file systems take it when it is written
            if error.errno in FULL:
                raise


@contextmanager
def _held(lock: Path) -> Iterator[bool]:
    """The lock and its file's end, if nobody holds it: yields whether that is so.

    A process that waited for the deleted file may then hold the lock beside one that made a
    new one. Both make the same pixels, each under a name of its own, so that costs time only.
    """
    holder = FileLock(lock)
    try:
        holder.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
        lock.unlink(missing_ok=True)
    finally:
        holder.release()


def _stat(file: Path) -> tuple[float, int]:
    """Time of the last use and bytes of pixels of a file; zeros where it has gone."""
    try:
        found = file.stat()
        return found.st_mtime, max(0, found.st_size - FILE_SUM_BYTES)
    except OSError:
        return 0.0, 0
