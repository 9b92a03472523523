"""Training that can be cut off anywhere: one learner, its checkpoint, and its memory.

Checkpoints are written by a thread of their own while training goes on, and no more often than
that they take `CHECKPOINT_SHARE` of the time. A kill costs the epochs since the last one, which are
trained again, to the same values.

A `Session` owns the learner and a small book of plain values. Work is handed to it as a
function; where memory runs out in the middle, the session goes back to its checkpoint (or
to the start), halves the micro-batch and does the work again. So an out-of-memory error
leaves no half-taken step behind, and the effective batch stays what the recipe says.

One thing the micro-batch does decide: training-mode batch normalisation is over the images
that go through the network together, as wherever gradients are accumulated. So its size is
in the notes where it is not the whole batch, and in the checkpoint, for a resumed run to keep.

Precision and threads decide over roundings. A checkpoint says with which ones its training began:
on another machine it goes on in the same precision, with the same threads where there are as many,
and what cannot be kept is noted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from search.objective import TrialError

from .compute.device import is_out_of_memory, pick_device, release_memory
from .compute.isolate import isolated
from .compute.options import ComputeOptions
from .compute.precision import amp_dtype, multiplies, precision_of
from .data import TrainData
from .recipe import Recipe, as_of_now
from .saved import checkpoint
from .saved.keep import CHECKPOINT
from .training import Training

T = TypeVar("T")
L = TypeVar("L", bound=Training)

CHECKPOINT_SHARE = 0.025
"""Share of the training time that checkpoints may take."""
FIRST = 0.3
"""Seconds that a checkpoint is taken to need before one was written."""


BEGAN = "began"
"""Where a checkpoint says how the training computed from its start."""


def _nothing() -> None:
    pass


class Session(Generic[L]):
    """One training run in ``folder``, new or resumed.

    Args:
        make: makes the learner, of ``(recipe, data, seed=, compute=)``.
        recipe: what to train.
        data: what to train on.
        seed: everything random derives from it.
        folder: holds the checkpoint.
        compute: where and how fast, in a new training; one that goes on keeps of it what it began
            with.
        usable: looks at a checkpoint's state (``book``, ``learner``) and says why it cannot be
            resumed, or None.
        settings: what else than recipe, seed and split a checkpoint must share to be gone on
            with; JSON-able.
    """

    def __init__(
        self,
        make: Callable[..., L],
        recipe: Recipe,
        data: TrainData,
        *,
        seed: int,
        folder: Path,
        compute: ComputeOptions,
        usable: Callable[[dict[str, Any]], str | None] = lambda state: None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._make, self._settings = make, dict(settings or {})
        self.recipe, self.data, self.seed, self.folder = recipe, data, seed, folder
        self.compute, self.device = compute, pick_device(compute.device)
        self.book: dict[str, Any] = {}
        self.notes: list[str] = list(data.notes)
        self._learner: L | None = None
        self._usable, self._asked = usable, compute
        state = self._read()
        if state is not None:
            self.book = state["book"]
            self.compute = replace(compute, micro=state["learner"]["micro"])
            self._keep(state.get(BEGAN))
        self._state = state
        self._saved = state is not None
        self._start: dict[str, Any] | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Future[float] | None = None
        self._cost, self._since = FIRST, time.perf_counter()

    @property
    def learner(self) -> L:
        """The learner; made, from the checkpoint where there is one, at the first use."""
        if self._learner is None:
            self._learner = self._make(self.recipe, self.data, seed=self.seed, compute=self.compute)
            self.compute = replace(self.compute, micro=self._learner.micro)
            self.take_notes()
            if self._state is not None:
                self._learner.load_state(self._state["learner"])
            self._state = None
        return self._learner

    def take_notes(self) -> None:
        """Take over what the learner noted and is not among the notes yet."""
        self.notes += [note for note in self.learner.notes if note not in self.notes]

    @property
    def precision_used(self) -> str:
        """``float32``, ``bf16`` or ``fp16``: what convolutions compute in."""
        return precision_of(self.device, self.compute.precision)

    @property
    def micro(self) -> int | None:
        """Images that go through the network at once; None before the learner is made."""
        return self.compute.micro

    @property
    def threads_used(self) -> int:
        """CPU threads while work is done."""
        return self.compute.threads or torch.get_num_threads()

    def _keep(self, began: Mapping[str, Any] | None) -> None:
        """Go on as a training ``began``, and note what is otherwise here."""
        if began is None:
            if self.compute.precision == "auto":
                self.notes.append(
                    "the checkpoint, of an earlier version, does not say in which precision the "
                    f"training began; it goes on in {self.precision_used}"
                )
            return
        self.compute = replace(self.compute, precision=began["precision"])
        said = []
        if self.device.type != began["device"]:
            said.append(f"on {self.device.type} what began on {began['device']}")
        elif self.device.type == "cpu" and (mine := self.threads_used) != began["threads"]:
            kept = min(mine, began["threads"])
            self.compute = replace(self.compute, threads=kept)
            if kept < began["threads"]:
                said.append(f"with {mine} threads what began with {began['threads']}")
            else:
                self.notes.append(
                    f"goes on with as many threads as it began with ({kept}, not {mine}): "
                    "others would round otherwise"
                )
        if said:
            self.notes.append(f"goes on {said[0]}: results are rounded otherwise from here on")
        kind = amp_dtype(self.device, self.compute.precision)
        if kind is not None and not multiplies(self.device, kind):
            self.notes.append(
                f"goes on in {self.precision_used}, as it began: {self.device} emulates that, "
                "which is slow"
            )

    def work(self, function: Callable[[], T]) -> T:
        """Call ``function`` in isolation, again with a smaller micro-batch where memory ran out.

        Before it is called again the book is what it was at the last checkpoint: ``function``
        has to look there for what comes next.

        Raises:
            TrialError: where it ran out with the smallest micro-batch too.
        """
        if self._start is None:
            self._start = deepcopy(self.book)
        while True:
            with isolated(self.compute, self.seed):
                try:
                    return function()
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
            # Outside the except clause, so that the traceback no longer holds the tensors.
            self._shrink()

    def _shrink(self) -> None:
        """Back to the checkpoint, or to the start, with half the micro-batch."""
        smallest = self._learner.smallest if self._learner is not None else 1
        self.close()
        before = self.compute.micro
        if before is None or before <= smallest:
            raise TrialError(
                "out of memory",
                f"{self.recipe.model} at input size {self.recipe.input_size} does not fit on "
                f"{self.device}" + (f", even with {before} images at a time" if before else ""),
            )
        fewer = max(smallest, before // 2)
        self.compute = replace(self.compute, micro=fewer)
        self.notes.append(f"out of memory with {before} images at once; {fewer} from then on")
        self._state = self._read()
        if self._saved and self._state is None:
            raise TrialError("crash", f"{self.folder / CHECKPOINT} has gone while training")
        before_it = self._state["book"] if self._state else deepcopy(self._start or {})
        self.book.clear()
        self.book.update(before_it)

    @property
    def due(self) -> bool:
        """Whether a checkpoint now would stay within `CHECKPOINT_SHARE` of the time."""
        return time.perf_counter() - self._since >= self._cost / CHECKPOINT_SHARE

    def save(
        self, first: Callable[[], None] = _nothing, then: Callable[[], None] = _nothing
    ) -> None:
        """Begin to write learner and book, as they are now, as the one checkpoint.

        Args:
            first: called before that, by the thread that writes.
            then: called once the checkpoint is in its place.

        Raises:
            OSError: where the checkpoint before this one could not be written.
        """
        self.settle()
        begin = time.perf_counter()
        state = {
            "identity": self._identity(),
            BEGAN: {
                "device": self.device.type,
                "precision": self.precision_used,
                "threads": self.threads_used,
            },
            "book": self.book,
            "notes": self.notes,
            "learner": self.learner.state(),
        }
        taken = checkpoint.snapshot(state)
        self._since = time.perf_counter()
        self._writer = self._writer or ThreadPoolExecutor(1, "checkpoint")
        self._writing = self._writer.submit(self._write, taken, first, then, self._since - begin)

    def _write(
        self,
        taken: checkpoint.Snapshot,
        first: Callable[[], None],
        then: Callable[[], None],
        spent: float,
    ) -> float:
        """Seconds that the checkpoint took, ``spent`` of them before this call."""
        begin = time.perf_counter()
        first()
        checkpoint.save_tensors(self.folder / CHECKPOINT, *taken)
        then()
        return spent + time.perf_counter() - begin

    def settle(self) -> None:
        """Wait until what is being written is there.

        Raises:
            OSError: where it could not be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            self._cost = writing.result()
            self._saved = True

    def start_over(self, reason: str) -> None:
        """Forget the checkpoint and begin again."""
        self.close()
        (self.folder / CHECKPOINT).unlink(missing_ok=True)
        self._saved, self.book, self.compute = False, {}, self._asked
        self.notes.append(f"started over: {reason}")

    def close(self) -> None:
        """Free the learner's memory; a checkpoint that is being written is finished first."""
        with suppress(OSError):  # where it could not be written there is the one before
            self.settle()
        if self._writer is not None:
            self._writer.shutdown()
            self._writer = None
        self._learner = self._state = None
        release_memory(self.device)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must share with this session to be its own."""
        identity = {"recipe": asdict(self.recipe), "seed": self.seed, "split": self.data.split}
        return {**identity, **self._settings}

    def _read(self) -> dict[str, Any] | None:
        """The checkpoint's state, or None (with a note where there is one of no use)."""
        try:
            state = checkpoint.load(self.folder / CHECKPOINT)
        except FileNotFoundError:
            return None
        except checkpoint.CheckpointError as error:
            self.notes.append(f"started over: {error}")
            return None
        try:
            problem = self._foreign(state) or self._usable(state)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            problem = f"{CHECKPOINT} holds no training state ({error!r})"  # of an earlier version
        if problem:
            self.notes.append(f"started over: {problem}")
            return None
        self.notes = list(dict.fromkeys([*state["notes"], *self.notes]))
        return dict(state)

    def _foreign(self, state: Any) -> str | None:
        """Why ``state`` is not a checkpoint of this very run, or None."""
        if not isinstance(state, dict) or not {"identity", "book", "notes", "learner"} <= set(
            state
        ):
            return f"{CHECKPOINT} holds no training state"
        stored = dict(state["identity"])
        if {**stored, "recipe": as_of_now(stored["recipe"])} != self._identity():
            return f"{CHECKPOINT} belongs to another recipe, seed or split"
        asked = self.compute.precision
        began = (state.get(BEGAN) or {}).get("precision", asked)
        if asked not in ("auto", began):
            return f"{CHECKPOINT} was trained in {began}, and {asked} is asked for"
        return None
