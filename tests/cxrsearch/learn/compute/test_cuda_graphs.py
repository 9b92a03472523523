from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cxrsearch.learn.compute.cuda_graphs import BUSY_BATCH_PIXELS, FEWEST_STEPS, Graphed, worthwhile


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


class Training:
    """A model with a step as `Graphed` wants it, and a recording that needs no GPU."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = Model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.recordings = 0
        self.wrong = 1.0

    def step(self, images: Tensor, targets: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.binary_cross_entropy_with_logits(self.model(images), targets)
        loss.backward()
        return loss.detach()

    def record(self, function: Callable[[], Tensor]) -> Replayer:
        self.recordings += 1
        return Replayer(function, self)

    def weights(self, step: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, list[float]]:
        """Weights and losses after six steps on batches of two sizes."""
        torch.manual_seed(1)
        losses = []
        for size in (5, 4, 5, 4, 4, 5):
            images, targets = torch.rand(size, 1, 8, 8), (torch.rand(size, 14) < 0.5).float()
            losses.append(float(step(images, targets)))
            self.optimizer.step()
        return torch.cat([v.float().ravel() for v in self.model.state_dict().values()]), losses


class Replayer:
    """Computes again, into the memory of the first time, as a CUDA graph does."""

    def __init__(self, function: Callable[[], Tensor], training: Training) -> None:
        self._function, self._training = function, training
        self.result = function()
        self._gradients = [p.grad for p in training.model.parameters()]

    def replay(self) -> None:
        found = self._function()
        self.result.copy_(found * self._training.wrong)
        for kept, parameter in zip(self._gradients, self._training.model.parameters(), strict=True):
            kept.copy_(parameter.grad)


def test_replayed_steps_are_the_eager_ones_for_batches_of_several_sizes() -> None:
    eager, replayed = Training(), Training()
    graphed = Graphed(replayed.step, replayed.model, replayed.record)
    expected, losses = eager.weights(eager.step)
    found, again = replayed.weights(graphed)
    assert graphed.problem is None
    assert replayed.recordings == 2
    assert torch.equal(found, expected)
    assert again == losses


def test_a_recording_that_computes_something_else_is_not_used() -> None:
    eager, replayed = Training(), Training()
    replayed.wrong = 1.2
    graphed = Graphed(replayed.step, replayed.model, replayed.record)
    assert torch.equal(replayed.weights(graphed)[0], eager.weights(eager.step)[0])
    assert graphed.problem is not None
    assert "in the place of" in graphed.problem
    assert replayed.recordings == 1


def test_what_cannot_be_recorded_runs_eagerly() -> None:
    eager, replayed = Training(), Training()

    def refuse(function: Callable[[], Tensor]) -> Replayer:
        function()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    graphed = Graphed(replayed.step, replayed.model, refuse)
    assert torch.equal(replayed.weights(graphed)[0], eager.weights(eager.step)[0])
    assert graphed.problem == "RuntimeError: operation not permitted when stream is capturing"


def test_running_out_of_memory_is_left_to_the_session() -> None:
    training = Training()

    def full(function: Callable[[], Tensor]) -> Replayer:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    graphed = Graphed(training.step, training.model, full)
    with pytest.raises(torch.OutOfMemoryError):
        training.weights(graphed)


def test_graphs_are_for_small_batches_and_long_trainings_on_a_gpu() -> None:
    gpu, side = torch.device("cuda"), (224, 224)
    largest = BUSY_BATCH_PIXELS // (224 * 224)
    assert worthwhile(gpu, largest, side, FEWEST_STEPS)
    assert not worthwhile(gpu, largest + 1, side, FEWEST_STEPS)
    assert not worthwhile(gpu, largest, side, FEWEST_STEPS - 1)
    assert not worthwhile(torch.device("cpu"), largest, side, FEWEST_STEPS)
