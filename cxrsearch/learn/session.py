"""Training that can be cut off anywhere: one learner, its checkpoint, and its memory.

A `Session` owns the learner and a small book of plain values. Work is handed to it as a
function; where memory runs out in the middle, the session goes back to its checkpoint (or
to the start), halves the micro-batch and does the work again. So an out-of-memory error
leaves no half-taken step behind, and the effective batch stays what the recipe says.

One thing the micro-batch does decide: training-mode batch normalisation is over the images
that go through the network together, as wherever gradients are accumulated. So its size is
in the notes where it is not the whole batch, and in the checkpoint, for a resumed run to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch

from cxrsearch.learn import checkpoint
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.device import is_out_of_memory, release_memory
from cxrsearch.learn.isolate import isolated
from cxrsearch.learn.keep import CHECKPOINT
from cxrsearch.learn.loop import Learner
from cxrsearch.learn.recipe import Recipe
from search.objective import TrialError

T = TypeVar("T")


class Session:
    """One training run in ``folder``, new or gone on with.

    Args:
        recipe: what to train.
        data: what to train on.
        seed: everything random derives from it.
        folder: holds the checkpoint.
        device: where to compute.
        threads: CPU threads while work is done; None: as the process has it.
        weights_dir: folder with pretrained weights.
        memory_share: share of the free memory that may be used.
        usable: looks at a checkpoint's book and says why it cannot be gone on with, or None.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: TrainData,
        *,
        seed: int,
        folder: Path,
        device: torch.device,
        threads: int | None = None,
        weights_dir: Path | None = None,
        memory_share: float = 0.8,
        usable: Callable[[dict[str, Any]], str | None] = lambda book: None,
    ) -> None:
        self.recipe, self.data, self.seed, self.folder = recipe, data, seed, folder
        self.device, self.threads, self.weights_dir = device, threads, weights_dir
        self.memory_share = memory_share
        self.book: dict[str, Any] = {}
        self.notes: list[str] = list(data.notes)
        self._learner: Learner | None = None
        self._micro: int | None = None
        state = self._read(usable)
        if state is not None:
            self.book, self._micro = state["book"], state["learner"]["micro"]
        self._state = state
        self._saved = state is not None

    @property
    def learner(self) -> Learner:
        """The learner; made, from the checkpoint where there is one, at the first use."""
        if self._learner is None:
            self._learner = Learner(
                self.recipe,
                self.data,
                seed=self.seed,
                device=self.device,
                weights_dir=self.weights_dir,
                micro=self._micro,
                memory_share=self.memory_share,
            )
            self._micro = self._learner.micro
            self.notes += [note for note in self._learner.notes if note not in self.notes]
            if self._state is not None:
                self._learner.load_state(self._state["learner"])
            self._state = None
        return self._learner

    def work(self, function: Callable[[], T]) -> T:
        """Call ``function`` in isolation, again with a smaller micro-batch where memory ran out.

        Raises:
            TrialError: where it ran out with the smallest micro-batch too.
        """
        while True:
            with isolated(self.device, self.threads, self.seed):
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
        before = self._micro
        if before is None or before <= smallest:
            raise TrialError(
                "out of memory",
                f"{self.recipe.model} at input size {self.recipe.input_size} does not fit on "
                f"{self.device}" + (f", even with {before} images at a time" if before else ""),
            )
        self._micro = max(smallest, before // 2)
        self.notes.append(f"out of memory with {before} images at once; {self._micro} from then on")
        self._state = self._read(lambda book: None)
        if self._saved and self._state is None:
            raise TrialError("crash", f"{self.folder / CHECKPOINT} has gone while training")

    def save(self) -> None:
        """Write learner and book as the one checkpoint."""
        state = {
            "identity": self._identity(),
            "book": self.book,
            "notes": self.notes,
            "learner": self.learner.state(),
        }
        checkpoint.save(self.folder / CHECKPOINT, state)
        self._saved = True

    def start_over(self, reason: str) -> None:
        """Forget the checkpoint and begin again."""
        self.close()
        (self.folder / CHECKPOINT).unlink(missing_ok=True)
        self._saved, self.book = False, {}
        self.notes.append(f"started over: {reason}")

    def close(self) -> None:
        """Free the learner's memory."""
        self._learner = self._state = None
        release_memory(self.device)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must share with this session to be its own."""
        return {"recipe": asdict(self.recipe), "seed": self.seed, "split": self.data.split}

    def _read(self, usable: Callable[[dict[str, Any]], str | None]) -> dict[str, Any] | None:
        """The checkpoint's state, or None (with a note where there is one of no use)."""
        try:
            state = checkpoint.load(self.folder / CHECKPOINT)
        except FileNotFoundError:
            return None
        except checkpoint.CheckpointError as error:
            self.notes.append(f"started over: {error}")
            return None
        problem = self._foreign(state) or usable(state["book"])
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
        if state["identity"] != self._identity():
            return f"{CHECKPOINT} belongs to another recipe, seed or split"
        return None
