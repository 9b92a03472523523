"""Copies to files, in parallel: read a picture, augment it, write what is missing."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cxrsearch.data.errors import ImageError
from cxrsearch.data.notes import noted
from cxrsearch.data.pixels.images import read_grey
from cxrsearch.durations import clock
from cxrsearch.learn.recipe import Recipe
from search.files import write_bytes

from .copies import draw_parameters, make_copies

ZLIB_LEVEL = 4
"""Of zlib: files as small as at its default 6, in a third of the time."""

TIMED_COPIES = 3
"""Images that are made once without being written, to tell time and size."""

DISK_BLOCK = 4096
"""Bytes that a disk gives at once."""


@dataclass(frozen=True)
class CopyTask:
    """One image and the files of its copies.

    Args:
        row: in the data set.
        name: as its table has it.
        file: of the image.
        copies: paths below the folder of the copies.
    """

    row: int
    name: str
    file: Path
    copies: tuple[str, ...]


@dataclass(frozen=True)
class CopyEstimate:
    """What copies are about to take: files, bytes on the disk, seconds, threads."""

    files: int
    size: int
    seconds: float
    threads: int

    def text(self) -> str:
        """One line of it."""
        room = f"{self.size / 1e9:.1f} GB" if self.size >= 1e9 else f"{self.size / 1e6:.0f} MB"
        return (
            f"copies to write: {self.files:,}; about {room} and "
            f"{clock(self.seconds)} with {self.threads} thread{'s' * (self.threads > 1)}"
        )


class Copying:
    """Makes copies below ``out``.

    Args:
        out: the folder.
        recipe: its ranges are what happens.
        seed: of the draws.
        threads: that work at once; decoding, augmentation and encoding let go of Python's lock.

    Attributes:
        written: files written so far.
        notes: name -> what was noted when the image was read; see `cxrsearch.data.notes`.
    """

    def __init__(self, out: Path, recipe: Recipe, seed: int, threads: int) -> None:
        self.out, self.recipe, self.seed, self.threads = out, recipe, seed, threads
        self.written = 0
        self.notes: dict[str, int] = {}

    def is_done(self, task: CopyTask) -> bool:
        """Whether all copies of an image are there."""
        return all((self.out / copy).exists() for copy in task.copies)

    def estimate(self, todo: Sequence[CopyTask]) -> CopyEstimate | None:
        """By a few images spread over ``todo``; None where none of them can be read."""
        sizes, seconds = [], 0.0
        for task in todo[:: max(1, len(todo) // TIMED_COPIES)][:TIMED_COPIES]:
            start = time.monotonic()
            try:
                sizes += [len(data) for data in self._encoded(task, range(len(task.copies)))]
            except ImageError:
                continue
            seconds += time.monotonic() - start
        if not sizes:
            return None
        files = sum(not (self.out / copy).exists() for task in todo for copy in task.copies)
        each = sum(sizes) / len(sizes) + DISK_BLOCK
        return CopyEstimate(files, int(files * each), files * seconds / len(sizes) / self.threads,
                        self.threads)  # fmt: skip

    def run(
        self, todo: Sequence[CopyTask], total: int, on_progress: Callable[[int, int], None]
    ) -> dict[str, str]:
        """Make the copies of ``todo``.

        Args:
            todo: images with copies to make.
            total: images in all, the finished ones too.
            on_progress: called with images done and ``total``.

        Returns:
            name -> reason, of images that cannot be read.
        """
        bad: dict[str, str] = {}
        done, before = total - len(todo), torch.get_num_threads()
        on_progress(done, total)
        # One thread an image: many small steps gain nothing from more, and cores are busy.
        pool = ThreadPoolExecutor(self.threads, "augment", torch.set_num_threads, (1,))
        try:
            for task, (written, reason) in zip(todo, pool.map(self._image, todo), strict=True):
                self.written += written
                if reason:
                    bad[task.name] = reason
                done += 1
                on_progress(done, total)
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)
        return bad

    def _image(self, task: CopyTask) -> tuple[int, str]:
        """Write what is missing of one image: how many files; the reason where it can't be read."""
        missing = [i for i, copy in enumerate(task.copies) if not (self.out / copy).exists()]
        try:
            with noted() as found:
                encoded = self._encoded(task, missing)
            self.notes[task.name] = found.number
        except ImageError as error:
            return 0, str(error)
        for index, data in zip(missing, encoded, strict=True):
            write_bytes(self.out / task.copies[index], data)
        return len(missing), ""

    def _encoded(self, task: CopyTask, wanted: Sequence[int]) -> list[bytes]:
        """Some copies of one image as PNG. All are made, so that each is made in one way."""
        picture = read_grey(task.file)
        parameters = draw_parameters(self.recipe, len(task.copies), self.seed, task.name)
        copies = make_copies(picture, self.recipe, parameters)
        return [_png(copies[index]) for index in wanted]


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=ZLIB_LEVEL)
    return buffer.getvalue()
