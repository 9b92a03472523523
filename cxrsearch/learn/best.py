"""The weights of a run's best epoch: in memory, and on the disk in step with the checkpoint.

A checkpoint names the epoch whose weights it goes with. So weights are written before the
checkpoint that names them, and the file of the epoch before stays until that one is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from cxrsearch.learn import checkpoint
from cxrsearch.learn.keep import BEST, PREVIOUS

Weights = Mapping[str, Tensor]


class BestWeights:
    """Of one training run in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._path, self._previous = folder / BEST, folder / PREVIOUS
        self._weights: Weights | None = None
        self._info: dict[str, float] = {}
        self._written = True

    def keep(self, weights: Weights, epoch: int, value: float) -> None:
        """Hold the weights of a new best epoch; nobody else may change them."""
        self._weights, self._info = weights, {"epoch": epoch, "value": value}
        self._written = False

    def write(self) -> None:
        """Put the weights that are held in place, where they are not yet."""
        if self._weights is None or self._written:
            return
        # Several best epochs may pass between two checkpoints: the last one's file stays.
        if self._path.exists() and not self._previous.exists():
            self._path.replace(self._previous)
        checkpoint.save_tensors(self._path, self._weights, self._info)
        self._written = True

    def forget_previous(self) -> None:
        """Delete the weights that no checkpoint names any more."""
        self._previous.unlink(missing_ok=True)

    def weights(self) -> Weights:
        """The best epoch's weights.

        Raises:
            FileNotFoundError, CheckpointError: where they are neither held nor on the disk.
        """
        return (
            self._weights if self._weights is not None else checkpoint.load_tensors(self._path)[0]
        )

    def recover(self, epoch: int) -> str | None:
        """Make the file the one of ``epoch``, which a checkpoint names, or say that it's gone."""
        for path in (self._path, self._previous):
            try:
                _, info = checkpoint.load_tensors(path)
            except (FileNotFoundError, checkpoint.CheckpointError):
                continue
            if info.get("epoch") == epoch:
                if path == self._previous:
                    path.replace(self._path)
                self.forget_previous()
                self._weights, self._written = None, True
                return None
        return f"the weights of epoch {epoch} are missing or damaged"
