from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cxrsearch.learn.compute.steps.compiled import PIXELS, Compiled, repays


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 14)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.norm(self.conv(images)).relu().mean(dim=(2, 3))
        out: Tensor = self.last(nn.functional.dropout(hidden, 0.2, self.training))
        return out


def step(model: nn.Module) -> Callable[[Callable[[Tensor], Any], Tensor, Tensor], Tensor]:
    def taken(network: Callable[[Tensor], Any], images: Tensor, targets: Tensor) -> Tensor:
        model.zero_grad(set_to_none=True)
        loss = nn.functional.binary_cross_entropy_with_logits(network(images), targets)
        loss.backward()
        return loss.detach()

    return taken


def trained(
    compiler: Callable[[nn.Module], Callable[[Tensor], Any]] | None,
    clock: Callable[[int], float] = lambda call: 2.0 if call else 1.0,
) -> tuple[Tensor, str | None]:
    """Weights after five steps on batches of two sizes, and the problem there was.

    ``clock`` gives the seconds of the first timed call, which is the compiled network's, and of
    the second, the eager one's.
    """
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    calls: list[float] = []

    def seconds(call: Callable[[], object]) -> float:
        call()
        calls.append(clock(len(calls)))
        return calls[-1]

    by = step(model)
    steps: Any = (
        Compiled(by, model, compiler, seconds) if compiler else lambda x, y: by(model, x, y)
    )
    torch.manual_seed(1)
    for size in (5, 4, 5, 4, 4):
        steps(torch.rand(size, 1, 8, 8), (torch.rand(size, 14) < 0.5).float())
        optimizer.step()
    weights = torch.cat([v.float().ravel() for v in model.state_dict().values()])
    return weights, getattr(steps, "problem", None)


def test_compiled_steps_are_the_eager_ones() -> None:
    weights, problem = trained(lambda model: torch.compile(model, backend="aot_eager"))
    assert problem is None
    assert torch.allclose(weights, trained(None)[0], atol=1e-5)


def test_the_compiled_network_is_what_steps_use_once_it_was_checked() -> None:
    calls = []

    def counting(model: nn.Module) -> Callable[[Tensor], Any]:
        return lambda images: (calls.append(len(images)), model(images))[1]

    assert trained(counting)[1] is None
    assert calls[-4:] == [4, 5, 4, 4]


@pytest.mark.parametrize("error", [RuntimeError("no compiler found\nmore"), ValueError("")])
def test_a_compiler_that_fails_leaves_the_eager_steps(error: Exception) -> None:
    def fails(model: nn.Module) -> Callable[[Tensor], Any]:
        def network(images: Tensor) -> Any:
            raise error

        return network

    weights, problem = trained(fails)
    assert torch.equal(weights, trained(None)[0])
    assert problem == f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def test_a_network_that_computes_something_else_is_not_used() -> None:
    weights, problem = trained(lambda model: lambda images: 3 * model(images))
    assert torch.equal(weights, trained(None)[0])
    assert problem is not None
    assert "in the place of" in problem


def test_a_compiled_network_that_is_no_faster_is_not_used() -> None:
    weights, problem = trained(lambda model: model, lambda call: 1.0)
    assert torch.equal(weights, trained(None)[0])
    assert problem == "the compiled network is no faster"


def test_running_out_of_memory_is_left_to_the_session() -> None:
    def full(model: nn.Module) -> Callable[[Tensor], Any]:
        def network(images: Tensor) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        return network

    with pytest.raises(torch.OutOfMemoryError):
        trained(full)


def test_only_long_trainings_of_networks_with_batch_normalisation_on_a_gpu_are_compiled() -> None:
    gpu = torch.device("cuda")
    assert repays(gpu, Model(), PIXELS)
    assert not repays(gpu, Model(), PIXELS - 1)
    assert not repays(torch.device("cpu"), Model(), PIXELS)
    assert not repays(gpu, nn.Conv2d(1, 1, 1), PIXELS)
