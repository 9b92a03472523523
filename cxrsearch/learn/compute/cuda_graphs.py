"""Forward and backward pass as one CUDA graph, for batches so small that launches take longest.

DenseNet121 launches some two thousand kernels a step. On a small batch a GPU waits for them
more than it computes; a graph launches them all at once. What a graph computes is compared with
the eager step before it is used, and whatever fails on the way leaves the eager step in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from .agreement import TrainingStep, difference

BUSY_BATCH_PIXELS = 64 * 224 * 224
"""Larger batches keep a GPU busy without."""
FEWEST_STEPS = 50
"""Shorter trainings don't repay the recording."""
WARM_UPS = 3
"""Passes before the recording, in which cuDNN chooses its algorithms."""


class Recording(Protocol):
    """What was recorded: ``result`` is written anew by each ``replay``."""

    result: Tensor

    def replay(self) -> None:
        """Compute again from what lies in the same memory by now."""


class CudaRecording:
    """A `Recording` of ``function`` as a CUDA graph."""

    def __init__(self, function: Callable[[], Tensor]) -> None:
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                function()
        here.wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self.result = function()

    def replay(self) -> None:
        """Launch the graph."""
        self._graph.replay()


class _Graph(NamedTuple):
    """A recording for one shape of batch, and the memory that it reads and writes."""

    images: Tensor
    targets: Tensor
    recording: Recording
    gradients: list[Tensor | None]


def worthwhile(device: torch.device, batch: int, side: tuple[int, int], steps: int) -> bool:
    """Whether a training of ``steps`` batches of ``batch`` images is one that graphs speed up."""
    small = batch * side[0] * side[1] <= BUSY_BATCH_PIXELS
    return device.type == "cuda" and small and steps >= FEWEST_STEPS


class Graphed:
    """``step``, replayed from a recording: leaves the same gradients and returns the same loss.

    Args:
        step: ``(images, targets) -> loss``; it sets the gradients of ``model`` from none at
            all, and touches nothing else but the model's buffers.
        model: what is trained.
        record: makes a recording; another one in tests.
    """

    def __init__(
        self,
        step: TrainingStep,
        model: nn.Module,
        record: Callable[[Callable[[], Tensor]], Recording] = CudaRecording,
    ) -> None:
        self._step, self._model, self._record = step, model, record
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._graphs: dict[torch.Size, _Graph] = {}
        self.problem: str | None = None
        """Why the eager step is used, where it is."""

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """One step on (b, 1, H, W) images and (b, ...) targets."""
        if self.problem is None and images.shape not in self._graphs:
            self._try(images, targets)
        if self.problem is not None:
            return self._step(images, targets)
        return self._replayed(self._graphs[images.shape], images, targets)

    def _replayed(self, graph: _Graph, images: Tensor, targets: Tensor) -> Tensor:
        graph.images.copy_(images)
        graph.targets.copy_(targets)
        graph.recording.replay()
        for parameter, gradient in zip(self._parameters, graph.gradients, strict=True):
            parameter.grad = gradient
        return graph.recording.result

    def _try(self, images: Tensor, targets: Tensor) -> None:
        """Record a graph for this shape and hold it against the eager step."""
        shape = images.shape

        def record() -> None:
            self._graphs[shape] = self._recorded(images, targets)

        self.problem = difference(
            self._model,
            images.device,
            record,
            lambda: self._step(images, targets),
            lambda: self._replayed(self._graphs[shape], images, targets),
        )
        if self.problem is not None:
            self._graphs.clear()

    def _recorded(self, images: Tensor, targets: Tensor) -> _Graph:
        kept, wanted = images.clone(), targets.clone()
        recording = self._record(lambda: self._step(kept, wanted))
        return _Graph(kept, wanted, recording, [p.grad for p in self._parameters])
