"""Fill a cache's folder: row by row, in parallel, so that a kill loses the last batch at most.

A row's pixels reach the disk before its byte in ``done.u8`` does. So a row that a kill or a
power cut tore is never taken as done.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from cxrsearch.errors import InputError
from search.files import write_json, write_text

from .dataset import Source
from .errors import ImageError

INDEX, PIXELS, DONE, STATE = "index.json", "pixels.u8", "done.u8", "state.json"
BATCH = 256
"""Rows between two looks at the disk; also what a kill can cost."""
SLACK = 16 << 20
"""Bytes that must stay free beside the pixels, for the index and for everybody else."""
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Plan:
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


def build(
    plan: Plan, source: Source, workers: int, on_progress: Callable[[int, int], None]
) -> None:
    """Complete ``plan``'s folder. The caller holds its lock.

    Raises:
        InputError: where the disk has no room for it.
        OSError: where the folder cannot be written, or the disk fills up on the way.
    """
    _check_space(plan)
    if not (plan.folder / INDEX).exists():
        _write_index(plan)
    with ExitStack() as stack:
        pixels = stack.enter_context(_opened(plan.folder / PIXELS))
        done = stack.enter_context(_opened(plan.folder / DONE))
        _reserve(pixels, plan.size)
        os.ftruncate(done, len(plan.names))
        stale = _copy_known_rows(plan, pixels, done)
        bad = _decode_rows(plan, source, workers, pixels, done, on_progress)
    write_json(plan.folder / STATE, {"bad": bad})
    for folder in stale:
        _remove_unfinished(folder)


def no_space(plan: Plan, error: OSError) -> str | None:
    """The message for a disk that filled up, or None where ``error`` is another one."""
    return _space_message(plan, _free(plan.folder)) if error.errno in FULL else None


def _check_space(plan: Plan) -> None:
    try:
        reserved = (plan.folder / PIXELS).stat().st_blocks * 512
    except FileNotFoundError:
        reserved = 0
    free = _free(plan.folder)
    if free < plan.size - reserved + SLACK:
        raise InputError(_space_message(plan, free))


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _space_message(plan: Plan, free: int) -> str:
    need = plan.size + SLACK
    return (
        f"{plan.folder}: no disk space for the decoded images; {len(plan.names):,} of side "
        f"{plan.frame} need {need:,} bytes ({need / 1e9:.2f} GB), and {free:,} "
        f"({free / 1e9:.2f} GB) are free. Delete old caches in {plan.folder.parent}, or name "
        "another folder with --cache DIR or the environment variable CXRSEARCH_CACHE"
    )


def _write_index(plan: Plan) -> None:
    """Names and stamps; whatever pixels lie here without them belong to nobody."""
    for name in (PIXELS, DONE):
        (plan.folder / name).unlink(missing_ok=True)
    index = {"frame": plan.frame, "names": list(plan.names), "stamps": list(plan.stamps)}
    write_text(plan.folder / INDEX, json.dumps(index))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor to read and write, for `os.pwrite`, which threads can share."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _reserve(descriptor: int, size: int) -> None:
    """Take the room on the disk now, where the system can, not when it is written."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    os.ftruncate(descriptor, size)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    """All of ``data``: one pwrite may stop short when the disk is nearly full."""
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


def _mark(pixels: int, done: int, rows: Sequence[int]) -> None:
    """Say that ``rows`` are done, once their pixels are on the disk."""
    os.fsync(pixels)
    for row in rows:
        _write(done, b"\x01", row)
    os.fsync(done)


def _undone(done: int, count: int) -> list[int]:
    marks = np.frombuffer(os.pread(done, count, 0), np.uint8)
    return [int(row) for row in np.flatnonzero(marks != 1)]


def _decode_rows(
    plan: Plan,
    source: Source,
    workers: int,
    pixels: int,
    done: int,
    on_progress: Callable[[int, int], None],
) -> dict[str, str]:
    """Decode what is not done yet; name -> reason of what cannot be.

    Threads suffice: Pillow's decoders and filters let go of Python's lock.
    """
    bad: dict[str, str] = {}

    def decode(row: int) -> str | None:
        pixels_of, reason = _decode(source, plan.names[row], plan.frame)
        _write(pixels, pixels_of, row * plan.row_bytes)
        return reason

    rows = _undone(done, len(plan.names))
    before = len(plan.names) - len(rows)
    on_progress(before, len(plan.names))
    pool = ThreadPoolExecutor(workers, "decode")
    try:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            reasons = list(pool.map(decode, batch))
            _mark(pixels, done, [r for r, why in zip(batch, reasons, strict=True) if why is None])
            bad.update(
                (plan.names[row], why)
                for row, why in zip(batch, reasons, strict=True)
                if why is not None
            )
            on_progress(before + start + len(batch), len(plan.names))
    finally:
        pool.shutdown(cancel_futures=True)
    os.fsync(pixels)
    return bad


def _decode(source: Source, name: str, frame: int) -> tuple[bytes, str | None]:
    """Pixels of one image, or black and the reason."""
    try:
        image = source.decode(name, frame)
        if image.shape != (frame, frame) or image.dtype != np.uint8:
            raise ImageError(f"decoded to {image.dtype} of shape {image.shape}")
        return image.tobytes(), None
    except ImageError as error:
        return bytes(frame * frame), str(error)
    except Exception as error:  # one odd file must not stop the other 112,119
        return bytes(frame * frame), f"{type(error).__name__}: {error}"


def _copy_known_rows(plan: Plan, pixels: int, done: int) -> list[Path]:
    """Copy rows that another cache of this side has with the same name and stamp.

    Returns:
        folders of unfinished caches of the same images, which a change of the files made
        useless.
    """
    wanted = {(plan.names[row], plan.stamps[row]): row for row in _undone(done, len(plan.names))}
    stale = []
    for folder in sorted(plan.folder.parent.iterdir()):
        if not wanted:
            break
        if folder == plan.folder or not (folder / INDEX).exists():
            continue
        try:
            names = _copy_from(folder, plan, wanted, pixels, done)
        except (OSError, ValueError, KeyError, TypeError):  # deleted meanwhile, or damaged
            continue
        if names == list(plan.names) and not (folder / STATE).exists():
            stale.append(folder)
    return stale


def _copy_from(
    folder: Path, plan: Plan, wanted: dict[tuple[str, str], int], pixels: int, done: int
) -> list[str]:
    """Copy what ``folder`` has of ``wanted`` and take it off there; the names in ``folder``."""
    index = json.loads((folder / INDEX).read_bytes())
    names: list[str] = index["names"]
    shape = (len(names), plan.row_bytes)
    marks = np.fromfile(folder / DONE, np.uint8)
    images = np.memmap(folder / PIXELS, np.uint8, "r", shape=shape)
    keys = zip(names, index["stamps"], marks == 1, strict=True)
    pairs = [
        (theirs, wanted.pop((name, stamp)))
        for theirs, (name, stamp, finished) in enumerate(keys)
        if finished and (name, stamp) in wanted
    ]
    for start in range(0, len(pairs), BATCH):
        batch = pairs[start : start + BATCH]
        for theirs, ours in batch:
            _write(pixels, images[theirs].tobytes(), ours * plan.row_bytes)
        _mark(pixels, done, [ours for _, ours in batch])
    return names


def _remove_unfinished(folder: Path) -> None:
    """Delete an unfinished cache, unless somebody is at work on it."""
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        with lock.acquire(timeout=0):
            if not (folder / STATE).exists():
                shutil.rmtree(folder, ignore_errors=True)
    except (Timeout, OSError):
        return
