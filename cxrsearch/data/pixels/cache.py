"""Every image decoded once, into one uint8 file that all workers map into memory.

A cache is a folder, named after all that its pixels depend on (names, stamps of the source
files, side), and never changed once it is complete: a changed source file leads to another
folder, into which the unchanged rows are copied. What lies in it:

=========== ===============================================================================
index.json  format, side, names and stamps: written first
pixels.u8   ``(n, side, side)`` grey levels, row by row in the order of the names
contents.u8 8 bytes a row that stand for the bytes of the image's file; of an image that
            is drawn, for its name and stamp
sums.u8     4 bytes a row: the CRC-32 of all that the other files say of it
done.u8     one byte a row, odd once the row has reached the disk; its other bits are what was
            noted when the image was read
state.json  the images that could not be read, with reasons: written last, so its presence
            means complete
=========== ===============================================================================

Index and state carry digests. `open_cache` holds every row against its checksum, and decodes
again what was damaged; workers, who map the cache after it, do not.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.notes import summary
from cxrsearch.errors import InputError
from search.files import as_given
from search.reading import FileError, read_json

from .cache_build import (
    MOST_INDEX,
    build,
    forget_rows,
    indexed,
    no_space,
    read_contents,
)
from .cache_check import damaged_rows
from .cache_decode import DecodingEstimate, Watch
from .cache_plan import CACHE_DONE, CACHE_PIXELS, INDEX, STATE, CachePlan

CACHE_FORMAT = 2
"""Raised whenever the same file would give other pixels than before."""


@dataclass(frozen=True, eq=False)
class Cache:
    """Decoded images. Pickled as its path alone, and mapped again where it arrives.

    Args:
        images: ``(n, frame, frame)`` uint8, read-only; black where ``ok`` is False.
        names: ``(n,)``, the row order.
        ok: ``(n,)`` bool, whether the image could be read.
        bad: name -> reason, for those that could not.
        path: the cache's folder.
        frame: side in pixels.
    """

    images: np.ndarray = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    ok: np.ndarray = field(repr=False)
    bad: Mapping[str, str]
    path: Path
    frame: int

    @cached_property
    def contents(self) -> Mapping[str, str]:
        """name -> 16 hex digits that stand for the file that was decoded, where it could be read.

        Raises:
            InputError: where the cache has gone, or was changed since it was opened.
        """
        try:
            found = read_contents(self.path, len(self.names))
        except (OSError, ValueError):
            raise InputError(f"{self.path}: a damaged image cache; delete that folder") from None
        known = self.ok & found.any(axis=1)
        return {self.names[row]: found[row].tobytes().hex() for row in np.flatnonzero(known)}

    def notes(self, names: Collection[str] | None = None) -> list[str]:
        """What was noteworthy when images were read: a sentence a kind, with the count.

        Args:
            names: of those that are asked about; all by default.
        """
        try:
            marks = np.fromfile(self.path / CACHE_DONE, np.uint8)[: len(self.names)] >> 1
        except OSError:
            return []
        wanted = None if names is None else set(names)
        noted = [
            (self.names[row], int(marks[row]))
            for row in np.flatnonzero(marks)
            if wanted is None or self.names[row] in wanted
        ]
        return summary(noted, len(self.names if names is None else names))

    def __reduce__(self) -> tuple[Any, ...]:
        return load_cache, (self.path,)


def default_cache_root() -> Path:
    """``$CXRSEARCH_CACHE``, or ``cxrsearch`` in the platform's folder for caches."""
    if given := os.environ.get("CXRSEARCH_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "cxrsearch"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "cxrsearch"


def open_cache(
    dataset: Dataset,
    frame: int,
    root: Path | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    names: Sequence[str] | None = None,
    on_estimate: Callable[[DecodingEstimate], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Cache:
    """The decoded images of a data set, from disk or built now.

    Safe to call from several processes at once (one builds, the others wait and use it) and
    to kill at any moment (the next call goes on with what was finished).

    Args:
        dataset: whose ``source`` gives the pixels.
        frame: side in pixels.
        root: folder of all caches; `default_cache_root` where None.
        workers: threads that decode; one a CPU where None.
        on_progress: called with rows done and rows in all, also while another process builds.
        names: other images of the source than the labelled ones, such as the unlabelled.
        on_estimate: called with what a build will take, once that is known from its first few
            images; not at all where there are no more than a few.
        on_note: called with what people should know: that damaged rows are decoded again.

    Raises:
        InputError: where the disk is full, the folder cannot be written, or nothing is asked for.
    """
    rows = tuple(dataset.names if names is None else names)
    if not rows or frame < 1:
        raise InputError(f"{dataset.label}: no cache of {len(rows)} images of side {frame}")
    stamps = tuple(dataset.source.stamp(name) for name in rows)
    key = hashlib.sha256(json.dumps([CACHE_FORMAT, frame, rows, stamps]).encode()).hexdigest()[:16]
    shelf = as_given(Path(root if root is not None else default_cache_root()))
    plan = CachePlan(shelf / f"v{CACHE_FORMAT}-{frame}px" / key, frame, rows, stamps)
    watch = Watch(on_progress or _nothing, on_estimate or _nothing)
    threads = workers or _cpus()
    if _bad_of(plan) is None:
        _build_alone(plan, dataset, threads, watch)
    damaged = damaged_rows(plan, threads)
    if damaged:
        (on_note or _nothing)(_told(plan, damaged))
        _build_alone(plan, dataset, threads, watch, damaged)
    return load_cache(plan.folder)


def _told(plan: CachePlan, damaged: Sequence[int]) -> str:
    some = ", ".join(plan.names[row] for row in damaged[:3]) + ", ..." * (len(damaged) > 3)
    return (
        f"{plan.folder}: {len(damaged)} of {len(plan.names)} cached images were damaged since they "
        f"were written, and are decoded again: {some}"
    )


def _nothing(*told: object) -> None:
    """Reports to nobody: the default where progress is not shown."""


def load_cache(path: Path) -> Cache:
    """Map a complete cache.

    Raises:
        InputError: where it is gone, unfinished or damaged.
    """
    try:
        index = read_json(path / INDEX, "the image cache's index", MOST_INDEX)
        bad = read_json(path / STATE, "the image cache's state", MOST_INDEX)["bad"]
        names, frame = tuple(index["names"]), int(index["frame"])
        shape = (len(names), frame, frame)
        if (path / CACHE_PIXELS).stat().st_size != np.prod(shape, dtype=np.int64):
            raise ValueError(shape)
        images = np.memmap(path / CACHE_PIXELS, np.uint8, "r", shape=shape)
    except OSError as error:
        raise InputError(
            f"{path}: the image cache is not there ({error.strerror}); build it with --dry-run, "
            "or name a folder that all machines have with --cache"
        ) from None
    except (FileError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: a damaged image cache; delete that folder") from None
    ok = np.array([name not in bad for name in names])
    ok.flags.writeable = False
    return Cache(images, names, ok, bad, path, frame)


def _build_alone(
    plan: CachePlan, dataset: Dataset, workers: int, watch: Watch, damaged: Sequence[int] = ()
) -> None:
    """Build under a lock; where another process holds it, wait and show its progress.

    Rows that are ``damaged`` are decoded again.
    """
    try:
        plan.lock.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(plan.lock)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=0.5)
            except Timeout:
                watch.on_progress(_count_done(plan), len(plan.names))
        try:
            plan.folder.mkdir(exist_ok=True)  # only now nobody removes it as unfinished
            if damaged:
                forget_rows(plan, damaged)
            if damaged or _bad_of(plan) is None:
                build(plan, dataset.source, workers, watch)
        finally:
            lock.release()
    except OSError as error:
        raise InputError(no_space(plan, error) or _not_writable(plan, error)) from error


def _bad_of(plan: CachePlan) -> dict[str, str] | None:
    """What a complete cache could not read, with reasons; None where it is not complete.

    Looked at before any lock is taken: a finished cache may lie in a folder for reading only.
    """
    try:
        state = read_json(plan.folder / STATE, most=MOST_INDEX)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except FileError:
        try:
            (plan.folder / STATE).stat()
        except OSError as error:
            raise InputError(_not_writable(plan, error)) from None
        return None  # damaged: what could not be read is tried again
    bad = state.get("bad") if isinstance(state, dict) else None
    whole = isinstance(bad, dict) and set(bad) <= set(plan.names) and indexed(plan)
    return bad if whole else None


def _count_done(plan: CachePlan) -> int:
    try:
        marks = np.frombuffer((plan.folder / CACHE_DONE).read_bytes(), np.uint8)
        return int((marks & 1).sum())
    except OSError:
        return 0


def _not_writable(plan: CachePlan, error: OSError) -> str:
    return (
        f"{plan.folder}: the image cache cannot be written ({error.strerror}); name another "
        "folder with --cache DIR or the environment variable CXRSEARCH_CACHE"
    )


def _cpus() -> int:
    """CPUs that this process may use (Linux knows; elsewhere all that there are)."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), 32)
    return min(os.cpu_count() or 1, 32)
