"""How batches that lie in the host's memory get to a GPU while it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


@torch.inference_mode(False)  # training writes where scoring has written
def _pinned(shape: Sequence[int]) -> Tensor:
    return torch.empty(tuple(shape), dtype=torch.uint8, pin_memory=True)


def _event() -> Any:
    return torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]


class Staging:
    """Two pinned buffers that batches are written to in turn, and copied from while others wait.

    Pinning memory for each batch would stop the GPU, and a copy from memory that is not pinned the
    host. A buffer is written anew once its last copy is through, which by then it nearly always is.

    Args:
        device: a CUDA device.
        shape: of the largest batch.
        buffer: makes one; of another kind in tests.
        event: makes what says that a copy is through; of another kind in tests.

    Attributes:
        most: images of the largest batch.
    """

    def __init__(
        self,
        device: torch.device,
        shape: Sequence[int],
        buffer: Callable[[Sequence[int]], Tensor] = _pinned,
        event: Callable[[], Any] = _event,
    ) -> None:
        self._device, self.most = device, shape[0]
        self._buffers, self._through = [buffer(shape) for _ in "ab"], [event() for _ in "ab"]
        self._turn = 0

    def send(self, count: int, write: Callable[[Tensor], object]) -> Tensor:
        """What ``write`` writes into (count, ...) uint8, on the device.

        The copy may not be through yet; what is computed with it on the same stream waits.

        Raises:
            ValueError: where ``count`` is more than a buffer holds.
        """
        if count > self.most:
            raise ValueError(f"{count} images for buffers of {self.most}")
        self._turn = 1 - self._turn
        through = self._through[self._turn]
        through.synchronize()
        part = self._buffers[self._turn][:count]
        write(part)
        sent = part.to(self._device, non_blocking=True)
        through.record()
        return sent
