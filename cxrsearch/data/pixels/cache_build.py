"""Fill a cache's folder: row by row, in parallel, so that a kill loses two batches at most.

A row's pixels reach the disk before its byte in ``done.u8`` does. So a row that a kill or a
power cut tore is never taken as done.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from cxrsearch.data.dataset import CONTENT_BYTES, PixelSource
from cxrsearch.errors import InputError
from search.errors import SearchError
from search.files import write_json
from search.reading import FileError, read_json

from .cache_decode import Decoding, Watch
from .cache_plan import (
    CACHE_DONE,
    CACHE_PIXELS,
    CONTENTS,
    INDEX,
    ROW_SUM_BYTES,
    STATE,
    SUMS,
    CachePlan,
    Opened,
    batches,
    mark,
    opened,
    reserve,
    row_sum,
    undone,
    write,
)

CACHE_SPARE = 16 << 20
"""Bytes that must stay free beside the pixels, for the index and for everybody else."""
MOST_INDEX = 1 << 30
"""Bytes that the names and stamps of a cache may take."""
FULL = (errno.ENOSPC, errno.EDQUOT)


def build(plan: CachePlan, source: PixelSource, workers: int, watch: Watch) -> None:
    """Complete ``plan``'s folder. The caller holds its lock.

    Raises:
        InputError: where the disk has no room for it.
        OSError: where the folder cannot be written, or the disk fills up on the way.
    """
    _check_space(plan)
    if not (plan.folder / INDEX).exists():
        for name in (CACHE_PIXELS, CONTENTS, SUMS, CACHE_DONE):  # they belong to nobody
            (plan.folder / name).unlink(missing_ok=True)
    if not indexed(plan):
        write_json(plan.folder / INDEX, _index(plan))
    with ExitStack() as stack:
        places = (plan.folder / name for name in (CACHE_PIXELS, CONTENTS, SUMS, CACHE_DONE))
        files = Opened(*(stack.enter_context(opened(place)) for place in places))
        reserve(files.pixels, plan.size)
        os.ftruncate(files.contents, len(plan.names) * CONTENT_BYTES)
        os.ftruncate(files.sums, len(plan.names) * ROW_SUM_BYTES)
        os.ftruncate(files.done, len(plan.names))
        stale = _copy_known_rows(plan, files, watch)
        bad = Decoding(plan, source, files, watch).run(workers)
    write_json(plan.folder / STATE, {"bad": bad})
    for folder in stale:
        _remove_unfinished(folder)


def no_space(plan: CachePlan, error: OSError) -> str | None:
    """The message for a disk that filled up, or None where ``error`` is another one."""
    return _space_message(plan, _free(plan.folder)) if error.errno in FULL else None


def _check_space(plan: CachePlan) -> None:
    try:
        reserved = (plan.folder / CACHE_PIXELS).stat().st_blocks * 512
    except FileNotFoundError:
        reserved = 0
    free = _free(plan.folder)
    if free < plan.size - reserved + CACHE_SPARE:
        raise InputError(_space_message(plan, free))


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _space_message(plan: CachePlan, free: int) -> str:
    need = plan.size + CACHE_SPARE
    return (
        f"{plan.folder}: no disk space for the decoded images; {len(plan.names):,} of side "
        f"{plan.frame} need {need:,} bytes ({need / 1e9:.2f} GB), and {free:,} "
        f"({free / 1e9:.2f} GB) are free. Delete old caches in {plan.folder.parent}, or name "
        "another folder with --cache DIR or the environment variable CXRSEARCH_CACHE"
    )


def indexed(plan: CachePlan) -> bool:
    """Whether the folder's index is there, whole, and of these images."""
    try:
        return bool(read_json(plan.folder / INDEX, most=MOST_INDEX) == _index(plan))
    except (FileNotFoundError, FileError):
        return False


def _index(plan: CachePlan) -> dict[str, Any]:
    return {"frame": plan.frame, "names": list(plan.names), "stamps": list(plan.stamps)}


def forget_rows(plan: CachePlan, rows: Sequence[int]) -> None:
    """Make `build` decode ``rows`` again. The caller holds the lock.

    Raises:
        OSError: where nothing can be written.
    """
    with opened(plan.folder / CACHE_DONE) as done:
        os.ftruncate(done, len(plan.names))
        for row in rows:
            write(done, b"\0", row)
        os.fsync(done)


def _copy_known_rows(plan: CachePlan, files: Opened, watch: Watch) -> list[Path]:
    """Copy rows that another cache of this side has with the same name and stamp.

    Returns:
        folders of unfinished caches of the same images, which a change of the files made
        useless.
    """
    rows = undone(files.done, len(plan.names))
    wanted = {(plan.names[row], plan.stamps[row]): row for row in rows}
    stale = []
    for folder in sorted(plan.folder.parent.iterdir()):
        if not wanted:
            break
        if folder == plan.folder or not (folder / INDEX).exists():
            continue
        try:
            names = _copy_from(folder, plan, wanted, files, watch)
        except (
            OSError,
            SearchError,
            ValueError,
            KeyError,
            TypeError,
        ):  # deleted meanwhile, or damaged
            continue
        if names == list(plan.names) and not (folder / STATE).exists():
            stale.append(folder)
    return stale


def _copy_from(
    folder: Path,
    plan: CachePlan,
    wanted: dict[tuple[str, str], int],
    files: Opened,
    watch: Watch,
) -> list[str]:
    """Copy what ``folder`` has of ``wanted`` and take it off there; the names in ``folder``."""
    index = read_json(folder / INDEX, most=MOST_INDEX)
    names: list[str] = index["names"]
    shape = (len(names), plan.row_bytes)
    marks = np.fromfile(folder / CACHE_DONE, np.uint8)
    images = np.memmap(folder / CACHE_PIXELS, np.uint8, "r", shape=shape)
    contents = read_contents(folder, len(names))
    sums = np.fromfile(folder / SUMS, np.uint8).reshape(len(names), ROW_SUM_BYTES)
    keys = zip(names, index["stamps"], marks & 1 == 1, strict=True)
    pairs = [
        (theirs, wanted.pop((name, stamp)))
        for theirs, (name, stamp, finished) in enumerate(keys)
        if finished and (name, stamp) in wanted
    ]
    left = len(wanted) + len(pairs)
    for batch in batches(pairs):
        copied: dict[int, int] = {}
        for theirs, ours in batch:
            pixels, content = images[theirs].tobytes(), contents[theirs].tobytes()
            made = int(marks[theirs])
            if sums[theirs].tobytes() != row_sum(plan, ours, pixels, content, made):
                wanted[plan.names[ours], plan.stamps[ours]] = ours  # damaged there
                continue
            files.write(plan, ours, pixels, content, made)
            copied[ours] = made >> 1
        mark(files, copied)
        left -= len(batch)
        watch.on_progress(len(plan.names) - left, len(plan.names))
    return names


def read_contents(folder: Path, count: int) -> np.ndarray:
    """What stands for the content of a cache's ``count`` images: ``(n, 8)`` uint8.

    Raises:
        OSError: where they have gone.
        ValueError: where they are not as many.
    """
    return np.fromfile(folder / CONTENTS, np.uint8).reshape(count, CONTENT_BYTES)


def _remove_unfinished(folder: Path) -> None:
    """Delete an unfinished cache, unless somebody is at work on it."""
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        with lock.acquire(timeout=0):
            if not (folder / STATE).exists():
                shutil.rmtree(folder, ignore_errors=True)
    except (Timeout, OSError):
        return
