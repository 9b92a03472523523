"""The one view of images that are worked through: an estimate first, then how far it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cxrsearch.durations import QUIET_SECONDS, clock
from cxrsearch.errors import InputError

from .dataset import Dataset
from .notes import reasons
from .pixels.cache import Cache, open_cache
from .pixels.cache_decode import DecodingEstimate


def open_shown(
    dataset: Dataset, frame: int, root: Path, names: Sequence[str] | None = None
) -> Cache:
    """`open_cache`, with what it costs told on stderr where it has to be built.

    Args:
        dataset: whose source gives the pixels.
        frame: side in pixels.
        root: folder of all caches.
        names: other images of the source than the labelled ones.

    Raises:
        InputError: as `open_cache`.
    """
    with DecodingView() as view:
        return open_cache(
            dataset,
            frame,
            root,
            on_progress=view.progress,
            names=names,
            on_estimate=view.estimate,
            on_note=view.say,
        )


def leave_out_bad(dataset: Dataset, cache: Cache) -> tuple[Dataset, list[str]]:
    """The images that could be decoded, and notes on those that could not, or not as they say.

    Raises:
        InputError: where none could be.
    """
    if not cache.bad:
        return dataset, cache.notes()
    some = reasons(cache.bad.items(), 5)
    if not cache.ok.any():
        raise InputError([f"{dataset.label}: not one image could be read", *some])
    keep = np.flatnonzero(cache.ok)
    usable = dataset.taking(keep)
    count = len(cache.bad)
    return usable, [
        f"{count} unreadable image{'s are' if count > 1 else ' is'} left out: {'; '.join(some)}",
        *cache.notes(),
    ]


class DecodingView:
    """Shows a build as it goes on. Use as a context manager.

    Args:
        console: where to write, stderr by default; a terminal gets a bar, anything else a line
            a minute.
        doing: what is done to the images.
        did: the line at the end, with ``{}`` in the place of how many.
    """

    def __init__(
        self,
        console: Console | None = None,
        doing: str = "decoding images",
        did: str = "decoded {} images",
    ) -> None:
        self.console = console or Console(stderr=True)
        self.doing, self.did = doing, did
        self._bar = Progress(
            TextColumn(doing),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._task: TaskID | None = None
        self._started = self._spoke = time.monotonic()
        self._first = self._then = self._done = 0

    def __enter__(self) -> DecodingView:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.console.is_terminal:
            self._bar.stop()
        elif self._done > self._first:
            gone = clock(time.monotonic() - self._started)
            self.say(f"{self.did.format(f'{self._done - self._first:,}')} in {gone}")

    def estimate(self, estimate: DecodingEstimate) -> None:
        """Say what the build will take."""
        self.say(describe_estimate(estimate))

    def progress(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` images are there."""
        now = time.monotonic()
        if self._task is None:
            self._first = self._then = done
            self._started = self._spoke = now
            self._task = self._bar.add_task("decode", total=total, completed=done)
            if self.console.is_terminal:
                self._bar.start()
        self._done = done
        self._bar.update(self._task, completed=done, total=total)
        if now - self._spoke > QUIET_SECONDS and not self.console.is_terminal:
            # By the speed of the last minute: rows copied from another cache come faster.
            each = (now - self._spoke) / max(1, done - self._then)
            self.say(
                f"{self.doing}: {done:,} of {total:,} ({done / total:.0%}) | "
                f"{clock(now - self._started)} gone, about {clock(each * (total - done))} left"
            )
            self._then = done

    def say(self, text: str) -> None:
        """Write a line."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._spoke = time.monotonic()


def describe_estimate(estimate: DecodingEstimate) -> str:
    """``images to decode: ...``: how many, how long, and the room that they take."""
    of = f" of {estimate.total:,}" if estimate.left < estimate.total else ""
    return (
        f"images to decode: {estimate.left:,}{of}, to {estimate.frame} x {estimate.frame}; about "
        f"{clock(estimate.seconds)} with {estimate.workers} thread{'s' * (estimate.workers > 1)} "
        f"(timed on {estimate.timed}); {estimate.size / 1e9:.2f} GB in {estimate.folder}"
    )
