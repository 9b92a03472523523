from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cxrsearch.learn.augment import draws
from cxrsearch.learn.augment.draws import beside, seed_streams
from cxrsearch.learn.compute.steps import cuda_graphs
from cxrsearch.learn.compute.steps.cuda_graphs import (
    BUSY_BATCH_PIXELS,
    FEWEST_STEPS,
    CalledAgain,
    CudaRecording,
    Graphed,
    Recorder,
    worthwhile,
)
from cxrsearch.learn.compute.steps.loss_scale import LossScale
from cxrsearch.learn.compute.steps.step_state import StepState
from cxrsearch.learn.optim import EMA, build_optimizer, build_schedule
from cxrsearch.learn.recipe import Recipe

CPU = torch.device("cpu")
RECIPES = [
    Recipe(optimizer=name, lr=0.01, weight_decay=0.01, momentum=0.9, schedule="cosine", ema=0.9)
    for name in ("adam", "adamw", "sgd")
]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 14)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.norm(self.conv(images)).relu().mean(dim=(2, 3))
        out: Tensor = self.last(nn.functional.dropout(hidden, 0.2, self.training))
        return out


class Run:
    """A training whose whole step is what `Graphed` wants: draws, gradients, weights, average."""

    def __init__(self, recipe: Recipe, scaled: bool = False) -> None:
        torch.manual_seed(0)
        self.model = Model()
        self.optimizer = build_optimizer(self.model, recipe)
        self.schedule = build_schedule(self.optimizer, recipe, 10)
        self.average = EMA(self.model, recipe.ema)
        self.scale = LossScale(CPU) if scaled else None
        self.generator = torch.Generator(CPU)
        self.targets = (torch.rand(20, 14) < 0.5).float()
        self.state = StepState(
            self.model, self.optimizer, [self.average], self.scale, self.generator
        )
        self.recordings = 0

    def step(self, pixels: Tensor, index: Tensor) -> Tensor:
        images = pixels[:, None].float() / 255
        images = images + 0.1 * torch.rand(images.shape, generator=self.generator)
        images = images + 0.1 * torch.rand(images.shape, generator=beside(self.generator, "mix"))
        self.optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.binary_cross_entropy_with_logits(
            self.model(images), self.targets[index]
        )
        (loss if self.scale is None else self.scale(loss)).backward()  # type: ignore[no-untyped-call]
        if self.scale is None:
            self.optimizer.step()
        else:
            self.scale.step(self.optimizer)
        self.average.update(self.model)
        return loss.detach()

    def record(self, function: Callable[[], Tensor], generator: Any, pool: Any) -> CalledAgain:
        assert generator()[0] is self.generator
        self.recordings += 1
        return CalledAgain(function, generator, pool)

    def after(self, step: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, list[float]]:
        """All that six steps on batches of two sizes left, and their losses."""
        torch.manual_seed(1)
        seed_streams(self.generator, 2)
        pixels = torch.randint(0, 256, (6, 5, 8, 8), generator=torch.Generator().manual_seed(3))
        losses = []
        for number, size in enumerate((5, 4, 5, 4, 4, 5)):
            batch = pixels[number, :size].to(torch.uint8)
            losses.append(float(step(batch, torch.arange(size) + number)))
            self.schedule.step()
        found = [t.float().ravel() for some in self.state.tensors().values() for t in some]
        return torch.cat([*found, torch.tensor([float(self.average.updates)])]), losses


def graphed(run: Run, record: Recorder | None = None) -> Graphed:
    return Graphed(run.step, run.state, record or run.record)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.optimizer)
def test_replayed_steps_are_the_eager_ones_for_batches_of_several_sizes(
    recipe: Recipe, scaled: bool
) -> None:
    eager, replayed = Run(recipe, scaled), Run(recipe, scaled)
    steps = graphed(replayed)
    expected, losses = eager.after(eager.step)
    found, again = replayed.after(steps)
    assert steps.problem is None
    assert replayed.recordings == 2
    # Rates and the average's weight are float32 on the device, and doubles on the host.
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert again == pytest.approx(losses, rel=1e-5)
    if scaled and eager.scale is not None and replayed.scale is not None:
        assert replayed.scale.state_dict() == eager.scale.state_dict()


def test_rates_and_weights_of_a_recorded_step_are_the_hosts_of_that_moment() -> None:
    run = Run(RECIPES[2])
    with run.state.recordable():
        assert all(isinstance(g["lr"], Tensor) for g in run.optimizer.param_groups)
        there, rate = run.average.weight_there, run.optimizer.param_groups[0]["lr"]
    assert all(isinstance(g["lr"], float) for g in run.optimizer.param_groups)
    assert run.average.weight_there is None
    for updates, lr in ((0, 0.5), (7, 0.25)):
        run.average.updates, run.optimizer.param_groups[0]["lr"] = updates, lr
        run.state.give_numbers()
        assert rate == lr
        assert float(there) == pytest.approx(1 - (1 + updates) / (10 + updates))


def test_what_the_comparison_took_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given = list[torch.device]()
    monkeypatch.setattr(cuda_graphs, "release_memory", given.append)
    run = Run(RECIPES[0])
    steps = graphed(run)
    for _ in range(3):
        steps(torch.zeros((4, 8, 8), dtype=torch.uint8), torch.arange(4))
    assert given == [CPU]


def test_what_a_phase_decides_is_recorded_for_each() -> None:
    run = Run(RECIPES[0])
    steps = graphed(run)
    batch = torch.zeros((4, 8, 8), dtype=torch.uint8), torch.arange(4)
    for phase in ("small", "large", "small"):
        steps(*batch, phase)
    assert run.recordings == 2


class Wrong(CalledAgain):
    """Does not do what it was asked for."""

    def replay(self) -> None:
        self.result.copy_(self._function() * 1.2)


class Lazy(CalledAgain):
    """Leaves the weights alone after the first time."""

    def replay(self) -> None:
        pass


@pytest.mark.parametrize("kind", [Wrong, Lazy])
def test_a_recording_that_computes_something_else_is_not_used(kind: type[CalledAgain]) -> None:
    eager, replayed = Run(RECIPES[0]), Run(RECIPES[0])
    steps = graphed(replayed, kind)
    assert torch.equal(replayed.after(steps)[0], eager.after(eager.step)[0])
    assert steps.problem is not None
    assert "in the place of" in steps.problem


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("operation not permitted when stream is capturing\nmore"),
         "RuntimeError: operation not permitted when stream is capturing"),
        (torch.OutOfMemoryError("CUDA out of memory."), "there is no memory for a recording"),
    ],
)  # fmt: skip
def test_what_cannot_be_recorded_runs_eagerly(error: Exception, said: str) -> None:
    eager, replayed = Run(RECIPES[0]), Run(RECIPES[0])

    def refuse(function: Callable[[], Tensor], generator: Any, pool: Any) -> CalledAgain:
        function()
        raise error

    steps = graphed(replayed, refuse)
    assert torch.equal(replayed.after(steps)[0], eager.after(eager.step)[0])
    assert steps.problem == said


def test_no_memory_for_the_second_shape_frees_the_first() -> None:
    run = Run(RECIPES[0])
    steps = graphed(run)
    steps(torch.zeros((4, 8, 8), dtype=torch.uint8), torch.arange(4))
    assert len(steps._graphs) == 1

    def full(*_: Any) -> CalledAgain:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    steps._record = full
    steps(torch.zeros((5, 8, 8), dtype=torch.uint8), torch.arange(5))
    assert (steps._graphs, steps.problem) == ({}, "there is no memory for a recording")


def test_graphs_are_for_small_batches_and_long_trainings_on_a_gpu() -> None:
    gpu, side = torch.device("cuda"), (224, 224)
    largest = BUSY_BATCH_PIXELS // (224 * 224)
    assert worthwhile(gpu, largest, side, FEWEST_STEPS)
    assert not worthwhile(gpu, largest + 1, side, FEWEST_STEPS)
    assert not worthwhile(gpu, largest, side, FEWEST_STEPS - 1)
    assert not worthwhile(torch.device("cpu"), largest, side, FEWEST_STEPS)


class Recorded(torch.Generator):
    """A generator while a graph is recorded: it does not tell its seed."""

    def initial_seed(self) -> int:
        raise RuntimeError("Cannot call CUDAGeneratorImpl::current_seed during CUDA graph capture")


def test_a_stream_goes_on_while_a_step_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, recorded = torch.Generator(), Recorded()
    for each in (plain, recorded):
        with monkeypatch.context() as patch:
            patch.setattr(Recorded, "initial_seed", torch.Generator.initial_seed)
            seed_streams(each, 5)
            torch.rand(3, generator=beside(each, "mix"))
    monkeypatch.setattr(draws, "recording", lambda device: True)
    wanted = torch.rand(3, generator=beside(plain, "mix"))
    assert torch.equal(torch.rand(3, generator=beside(recorded, "mix")), wanted)
    with pytest.raises(RuntimeError, match="current_seed"):
        beside(recorded, "erasing")  # it is not there yet: a warm-up makes it


def test_nothing_is_being_recorded_on_a_cpu() -> None:
    assert not draws.recording(CPU)


class Gpu:
    """What `CudaRecording` asks of ``torch.cuda``, on a machine without; notes what is done."""

    device_index = 0

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.told: list[str] = []
        self.mode, self.registered = 0, list[Any]()
        own = Swapped(self, "own")
        self.default_generators = (own,)
        for name in (
            "current_stream", "Stream", "stream", "CUDAGraph", "graph", "set_stream",
            "get_sync_debug_mode", "set_sync_debug_mode", "default_generators",
        ):  # fmt: skip
            patch.setattr(torch.cuda, name, getattr(self, name))

    def current_stream(self) -> Gpu:
        return self

    Stream = CUDAGraph = current_stream

    def wait_stream(self, other: object) -> None:
        pass

    @contextmanager
    def stream(self, stream: object) -> Iterator[None]:
        yield

    @contextmanager
    def graph(self, graph: object, pool: object, **how: Any) -> Iterator[None]:
        assert how == {"capture_error_mode": "thread_local"}
        self.told.append("record")
        yield

    def set_stream(self, stream: object) -> None:
        assert stream is self
        self.told.append("back")

    def get_sync_debug_mode(self) -> int:
        return self.mode

    def set_sync_debug_mode(self, mode: int | str) -> None:
        self.mode = 2 if mode == "error" else int(mode)

    def register_generator_state(self, generator: object) -> None:
        self.registered.append(generator)

    def replay(self) -> None:
        self.told.append("replay")


class Swapped:
    """A generator that notes that it was given its own state anew."""

    def __init__(self, gpu: Gpu, name: str) -> None:
        self._gpu, self._name = gpu, name

    def clone_state(self) -> str:
        return f"state of {self._name}"

    def graphsafe_set_state(self, state: str) -> None:
        self._gpu.told.append(state)


def test_a_step_is_recorded_after_one_in_which_waiting_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = Gpu(monkeypatch)
    mine, modes = Swapped(gpu, "mine"), list[int]()

    def step() -> Tensor:
        modes.append(gpu.mode)
        return torch.ones(())

    made = CudaRecording(step, lambda: [mine], None)  # type: ignore[list-item]
    assert modes == [0, 0, 2, 0]
    assert gpu.told == ["record", "back"]
    assert gpu.registered == [mine]
    made.replay()
    assert gpu.told[-1] == "replay"


def test_a_step_that_waits_for_the_device_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(monkeypatch)

    def step() -> Tensor:
        if gpu.mode == 2:
            raise RuntimeError("called a synchronizing CUDA operation")
        return torch.ones(())

    with pytest.raises(RuntimeError, match="synchronizing"):
        CudaRecording(step, list, None)
    assert (gpu.mode, gpu.told) == (0, [])


def test_generators_draw_on_after_a_recording_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, calls = Gpu(monkeypatch), list[int]()
    mine = Swapped(gpu, "mine")

    def step() -> Tensor:
        calls.append(1)
        if len(calls) > 3:
            raise RuntimeError("operation not permitted when stream is capturing")
        return torch.ones(())

    with pytest.raises(RuntimeError, match="not permitted"):
        CudaRecording(step, lambda: [mine], None)  # type: ignore[list-item]
    assert gpu.told == ["record", "state of own", "state of mine", "back"]
