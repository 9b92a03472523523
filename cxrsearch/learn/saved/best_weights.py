"""The weights of a run's best epoch: in memory, and on the disk in step with the checkpoint.

A checkpoint names the epoch whose weights it goes with. So weights are written before the
checkpoint that names them, and the file of the epoch before stays until that one is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from . import checkpoint
from .checkpoint import LABELS
from .keep import BEST, PREVIOUS

Weights = Mapping[str, Tensor]


class _Held(NamedTuple):
    weights: Weights
    info: dict[str, Any]


class BestWeights:
    """Of one training run in ``folder``; its files say of which ``labels`` the outputs are."""

    def __init__(self, folder: Path, labels: Sequence[str] = ()) -> None:
        self._beside = {LABELS: list(labels)} if labels else {}
        self._path, self._previous = folder / BEST, folder / PREVIOUS
        self._held: _Held | None = None
        self._written: _Held | None = None

    def keep(self, weights: Weights, epoch: int, value: float) -> None:
        """Hold the weights of a new best epoch; nobody else may change them."""
        self._held = _Held(weights, {"epoch": epoch, "value": value, **self._beside})

    def writer(self) -> Callable[[], None]:
        """A function that puts the weights held now in place, where they are not yet.

        A thread may call it later, when a better epoch's are held: the checkpoint that it goes
        with names this one.
        """
        return partial(self._put, self._held)

    def _put(self, held: _Held | None) -> None:
        if held is None or held is self._written:
            return
        # Several best epochs may pass between two checkpoints: the last one's file stays.
        if self._path.exists() and not self._previous.exists():
            self._path.replace(self._previous)
        checkpoint.save_tensors(self._path, held.weights, held.info)
        self._written = held

    def write(self) -> None:
        """Put the weights that are held in place, where they are not yet."""
        self._put(self._held)

    def forget_previous(self) -> None:
        """Delete the weights that no checkpoint names any more."""
        self._previous.unlink(missing_ok=True)

    def weights(self) -> Weights:
        """The best epoch's weights.

        Raises:
            FileNotFoundError, CheckpointError: where they are neither held nor on the disk.
        """
        return self._held.weights if self._held else checkpoint.load_tensors(self._path)[0]

    def recover(self, epoch: int) -> str | None:
        """Make the file the one of ``epoch``, which a checkpoint names, or say that it's gone."""
        for path in (self._path, self._previous):
            try:
                _, info = checkpoint.load_tensors(path)
            except (FileNotFoundError, checkpoint.CheckpointError):
                continue
            if isinstance(info, dict) and info.get("epoch") == epoch:
                if path == self._previous:
                    path.replace(self._path)
                self.forget_previous()
                self._held = self._written = None
                return None
        return f"the weights of epoch {epoch} are missing or damaged"
