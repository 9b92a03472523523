"""Training for a given number of epochs, with nothing scored in between."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from cxrsearch.errors import InputError
from search.objective import TrialError

from .compute.device import is_out_of_memory
from .compute.options import ComputeOptions
from .session import Session


class EpochsDone(NamedTuple):
    """How far the training is.

    Args:
        epoch: done so far.
        epochs: to be done.
        loss: mean of the epoch's loss an image.
        seconds: that the epoch took.
    """

    epoch: int
    epochs: int
    loss: float
    seconds: float


def train_epochs(session: Session[Any], epochs: int) -> Generator[EpochsDone, None, None]:
    """Train up to ``epochs``, checkpoints among it; closed, it leaves one of the last epoch.

    The session's book holds ``losses`` and ``seconds``, an epoch each.

    Yields:
        `EpochsDone` after each epoch, those that the checkpoint remembers first.

    Raises:
        TrialError: where the loss is not finite, or memory runs out with the smallest batch.
        OSError: where a checkpoint could not be written.
    """
    done = len(session.book.get("losses", []))
    if done > epochs:  # later weights are of no use for a shorter training
        session.start_over(f"the checkpoint is of epoch {done}, past {epochs}")
    book = session.book
    book.setdefault("losses", [])
    book.setdefault("seconds", [])
    saved = len(book["losses"])
    try:
        for number in range(1, epochs + 1):
            while len(book["losses"]) < number:  # earlier ones again, where memory ran out
                _epoch(session)
            if session.due and number > saved:
                session.save()
                saved = number
            yield EpochsDone(
                number, epochs, book["losses"][number - 1], book["seconds"][number - 1]
            )
    except GeneratorExit:
        with suppress(OSError):  # without it, the checkpoint before will do
            if len(book["losses"]) > saved:
                session.save()
            session.settle()
        raise


@contextmanager
def told(compute: ComputeOptions) -> Iterator[None]:
    """Inside, a training that fails for a known reason says so to the user.

    Raises:
        InputError: where it diverged, or ran out of memory on its device.
    """
    try:
        yield
    except TrialError as error:
        raise InputError(f"training failed: {error}") from error
    except Exception as error:
        if is_out_of_memory(error):
            raise InputError(f"training ran out of memory on {compute.device}: {error}") from error
        raise


def _epoch(session: Session[Any]) -> None:
    """Train for the next epoch."""
    start, book = time.perf_counter(), session.book
    loss = session.work(lambda: session.learner.epoch(len(book["losses"]) + 1))
    if not math.isfinite(loss):
        raise TrialError("nan", f"the mean loss of epoch {len(book['losses']) + 1} is {loss}")
    book["losses"].append(loss)
    book["seconds"].append(round(time.perf_counter() - start, 3))
