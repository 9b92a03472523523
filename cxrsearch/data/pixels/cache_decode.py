"""Decode the rows of a cache that are not there yet, in parallel, and say how long it will take."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from cxrsearch.data.dataset import PixelSource, content_of
from cxrsearch.data.errors import ImageError
from cxrsearch.data.notes import noted

from .cache_plan import CachePlan, Opened, batches, mark, marked, undone

SAMPLE = 16
"""Images that are timed for the estimate, at least; four a thread where that is more."""
TELL_SECONDS = 0.5
"""Seconds between two reports of progress, at least."""


@dataclass(frozen=True)
class DecodingEstimate:
    """What a build is about to take.

    Args:
        total: images of the cache.
        left: those to decode; the others were there already.
        frame: side in pixels.
        size: bytes of the whole cache on the disk.
        folder: where it lies.
        workers: threads that decode.
        timed: images that the time was measured on.
        seconds: for those that are left.
    """

    total: int
    left: int
    frame: int
    size: int
    folder: Path
    workers: int
    timed: int
    seconds: float


@dataclass(frozen=True)
class Watch:
    """Whom a build tells how it stands.

    Args:
        on_progress: called with rows done and rows in all.
        on_estimate: called once, before all but a few images are decoded; not at all where
            these few are most of them.
    """

    on_progress: Callable[[int, int], None]
    on_estimate: Callable[[DecodingEstimate], None]


class Decoding:
    """One run over the rows of a cache that are not done.

    Args:
        plan: the cache.
        source: gives the pixels.
        files: of the cache, to write to.
        watch: told how it stands.
    """

    def __init__(self, plan: CachePlan, source: PixelSource, files: Opened, watch: Watch) -> None:
        self.plan, self.source, self.files, self.watch = plan, source, files, watch
        self.bad: dict[str, str] = {}
        self.finished = 0
        self.told = -np.inf

    def run(self, workers: int) -> dict[str, str]:
        """Decode with so many threads; name -> reason of what cannot be.

        Threads suffice: decoders, matrix products and writes let go of Python's lock.
        """
        rows = undone(self.files.done, len(self.plan.names))
        self.finished = len(self.plan.names) - len(rows)
        self.tell(now=True)
        pool = ThreadPoolExecutor(workers, "decode")
        try:
            # The threads are one a core already; BLAS must not start more.
            with threadpool_limits(1, user_api="blas"):
                rows = self._time_some(rows, workers, pool)
                self._decode(rows, pool)
        finally:
            pool.shutdown(cancel_futures=True)
        os.fsync(self.files.pixels)
        os.fsync(self.files.contents)
        os.fsync(self.files.sums)
        return self.bad

    def tell(self, now: bool = False) -> None:
        """Pass on how many rows are done, unless that was just said."""
        if now or time.monotonic() - self.told > TELL_SECONDS:
            self.told = time.monotonic()
            self.watch.on_progress(self.finished, len(self.plan.names))

    def _time_some(self, rows: list[int], workers: int, pool: ThreadPoolExecutor) -> list[int]:
        """Decode a few of ``rows``, spread over all, to tell the time; the others."""
        count = max(SAMPLE, 4 * workers) + workers
        if len(rows) < 4 * count:
            return rows
        sample = rows[:: len(rows) // count][:count]
        first, timed = sample[:workers], sample[workers:]  # the first start threads and decoders
        endings = list(pool.map(self._row, first))
        started = time.monotonic()
        endings += pool.map(self._row, timed)
        seconds = (time.monotonic() - started) / len(timed)
        self._finish(sample, endings)
        left = sorted({*rows}.difference(sample))
        plan = self.plan
        self.watch.on_estimate(
            DecodingEstimate(
                len(plan.names), len(rows), plan.frame, plan.size, plan.folder, workers,
                len(timed), seconds * len(left),
            )
        )  # fmt: skip
        return left

    def _decode(self, rows: Sequence[int], pool: ThreadPoolExecutor) -> None:
        """Decode ``rows``; while one batch reaches the disk, the next is being decoded."""
        under_way: tuple[Sequence[int], Iterable[int | str]] = ((), ())
        for batch in batches(rows):
            following = (batch, pool.map(self._row, batch))
            self._finish(*under_way)
            under_way = following
        self._finish(*under_way)

    def _finish(self, batch: Sequence[int], endings: Iterable[int | str]) -> None:
        """Wait for a batch and mark what could be decoded."""
        good: dict[int, int] = {}
        for row, ending in zip(batch, endings, strict=True):
            if isinstance(ending, int):
                good[row] = ending
            else:
                self.bad[self.plan.names[row]] = ending
            self.finished += 1
            self.tell()
        if good:
            mark(self.files, good)
        if batch:
            self.tell(now=True)

    def _row(self, row: int) -> int | str:
        """Decode and write one row: its notes, or why it cannot be read and stays black."""
        plan = self.plan
        # First what is looked at again: where the file changes meanwhile, its stamp does too.
        content = content_of(self.source, plan.names[row])
        with noted() as found:
            picture, reason = decode(self.source, plan.names[row], plan.frame)
        made = marked(found.number) if reason is None else 0
        self.files.write(plan, row, picture, content, made)
        return found.number if reason is None else reason


def decode(source: PixelSource, name: str, frame: int) -> tuple[bytes, str | None]:
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
