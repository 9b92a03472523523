"""A whole training step as one CUDA graph, for batches so small that launches take longest.

DenseNet121 launches some two thousand kernels a step, and optimiser, average and augmentation some
hundred more. On a small batch a GPU waits for them more than it computes; a graph launches them all
at once. What a graph computes is compared with eager steps before it is used, and whatever fails on
the way leaves the eager step in place.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..device import is_out_of_memory, release_memory
from .agreement import TrainingStep, difference
from .step_state import StepState

BUSY_BATCH_PIXELS = 64 * 224 * 224
"""Larger batches keep a GPU busy without."""
FEWEST_STEPS = 50
"""Shorter trainings don't repay the recording."""
WARM_UPS = 3
"""Steps before the recording, in which cuDNN chooses its algorithms."""
COMPARED = 2
"""Steps in a row that are compared: what the first leaves is part of the second, and numbers that
the host drew would be the same in both."""

WholeStep = Callable[[], Tensor]


class Recording(Protocol):
    """What was recorded: ``result`` is written anew by each ``replay``."""

    result: Tensor

    def replay(self) -> None:
        """Compute again from what lies in the same memory by now."""


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Inside, what waits for the device raises: a recording would fail by it, and leave a mess."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says once that it is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


class CudaRecording:
    """A `Recording` of ``function`` as a CUDA graph.

    Args:
        function: what is recorded; it is called some times before.
        generators: gives those that it draws from, beside torch's own, once it was called.
        pool: of memory, shared by graphs of which none needs what another left in between.
    """

    def __init__(
        self,
        function: WholeStep,
        generators: Callable[[], list[torch.Generator]],
        pool: object,
    ) -> None:
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(here)
        try:
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS - 1):
                    function()
                with _no_waiting():
                    function()
        finally:
            here.wait_stream(aside)  # also before what a step that failed has left is undone
        self._graph = torch.cuda.CUDAGraph()
        drawn = generators()
        for generator in drawn:
            self._graph.register_generator_state(generator)
        try:
            with torch.cuda.graph(self._graph, pool, capture_error_mode="thread_local"):  # type: ignore[arg-type]
                self.result = function()
        except BaseException:
            # Before torch 2.13 a generator that took part refuses to draw from then on.
            for generator in (torch.cuda.default_generators[here.device_index], *drawn):
                generator.graphsafe_set_state(generator.clone_state())
            raise
        finally:
            torch.cuda.set_stream(here)  # a recording that fails leaves its own behind

    def replay(self) -> None:
        """Launch the graph."""
        self._graph.replay()


class CalledAgain:
    """A `Recording` where there are no graphs: ``function`` itself, into the same memory.

    It is no faster. With it, all that goes with a graph runs on a CPU too.

    Args:
        function: as of `CudaRecording`; so are the others.
    """

    def __init__(
        self,
        function: WholeStep,
        generators: Callable[[], list[torch.Generator]],
        pool: object,
    ) -> None:
        del generators, pool
        for _ in range(WARM_UPS):
            function()
        self._function, self.result = function, function().clone()

    def replay(self) -> None:
        """Call the function."""
        self.result.copy_(self._function())


class _Graph(NamedTuple):
    """A recording for one shape of batch, and the memory that it reads."""

    pixels: Tensor
    places: Tensor
    recording: Recording


Recorder = Callable[[WholeStep, Callable[[], list[torch.Generator]], object], Recording]


def worthwhile(device: torch.device, batch: int, side: tuple[int, int], steps: int) -> bool:
    """Whether a training of ``steps`` batches of ``batch`` images is one that graphs speed up."""
    small = batch * side[0] * side[1] <= BUSY_BATCH_PIXELS
    return device.type == "cuda" and small and steps >= FEWEST_STEPS


class Graphed:
    """``step``, replayed from a recording: changes the same and returns the same loss.

    Args:
        step: ``(pixels, index) -> loss``, a whole one; it changes what ``state`` says.
        state: of the training.
        record: makes a recording; None: as the device can.

    Attributes:
        problem: why the eager step is used, where it is.
    """

    def __init__(
        self, step: TrainingStep, state: StepState, record: Recorder | None = None
    ) -> None:
        graphs = state.device.type == "cuda"
        self._step, self._state = step, state
        self._record: Recorder = record or (CudaRecording if graphs else CalledAgain)
        self._pool: object = torch.cuda.graph_pool_handle() if graphs else None
        self._graphs: dict[Hashable, _Graph] = {}
        self.problem: str | None = None

    def __call__(self, pixels: Tensor, index: Tensor, phase: Hashable = None) -> Tensor:
        """One step.

        Args:
            pixels: (b, H, W) uint8.
            index: (b,) int64, positions of the images.
            phase: what else than shapes decides over the operations of the step.
        """
        key = (pixels.shape, phase)
        if self.problem is None and key not in self._graphs:
            self._try(key, pixels, index)
        if self.problem is not None:
            return self._step(pixels, index)
        return self._replayed(self._graphs[key], pixels, index)

    def _replayed(self, graph: _Graph, pixels: Tensor, index: Tensor) -> Tensor:
        graph.pixels.copy_(pixels)
        graph.places.copy_(index)
        self._state.give_numbers()
        graph.recording.replay()
        self._state.count()
        return graph.recording.result

    def _try(self, key: Hashable, pixels: Tensor, index: Tensor) -> None:
        """Record a graph for this key and hold it against eager steps."""

        def record() -> None:
            self._graphs[key] = self._recorded(pixels, index)

        def some(step: TrainingStep) -> Tensor:
            return torch.stack([step(pixels, index).clone() for _ in range(COMPARED)])

        state = self._state
        try:
            self.problem = difference(
                lambda: state.undone(record),
                lambda: state.outline(lambda: some(self._step)),
                lambda: state.outline(
                    lambda: some(lambda p, i: self._replayed(self._graphs[key], p, i))
                ),
            )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            # Eager steps keep less: their batch need not become smaller for a graph's sake.
            self.problem = "there is no memory for a recording"
        if self.problem is not None:
            self._graphs.clear()
        # A graph has memory of its own: what eager steps took is others', who share the device.
        release_memory(state.device)

    def _recorded(self, pixels: Tensor, index: Tensor) -> _Graph:
        kept, places = pixels.clone(), index.clone()

        def step() -> Tensor:
            with self._state.recordable():
                return self._step(kept, places)

        self._state.give_numbers()
        return _Graph(kept, places, self._record(step, self._state.generators, self._pool))
