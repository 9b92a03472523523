from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cxrsearch.learn import optim
from cxrsearch.learn.compute.steps.loss_scale import FIRST_SCALE, GROWTH_STEPS, LossScale, ready
from cxrsearch.learn.optim import build_optimizer, has_fused, load_optimizer
from cxrsearch.learn.recipe import Recipe

CPU = torch.device("cpu")
OPTIMISERS = ("adam", "adamw", "sgd")


def made(optimizer: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    recipe = Recipe(optimizer=optimizer, lr=0.1, weight_decay=0.01, momentum=0.9)
    return model, build_optimizer(model, recipe, scaled=True)


@pytest.fixture(params=["fused", "plain"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether this device's fused kernels heed a scaled loss."""
    if request.param == "plain":
        monkeypatch.setattr(optim, "SCALED_ON", ())
    return str(request.param)


def set_gradients(model: nn.Module, number: int, scale: Tensor | float) -> None:
    torch.manual_seed(number)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) * scale


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().ravel().clone() for p in model.parameters()])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_steps_are_those_of_the_loss_without_a_scale(name: str, kernels: str) -> None:
    (plain, optimizer), (scaled, theirs) = made(name), made(name)
    assert all(group["fused"] == (kernels == "fused") for group in theirs.param_groups)
    ready(theirs)
    scale = LossScale(CPU)
    for number in range(5):
        set_gradients(plain, number, 1.0)
        optimizer.step()
        set_gradients(scaled, number, scale.now())
        scale.step(theirs)
    assert torch.allclose(weights(scaled), weights(plain), rtol=1e-6, atol=1e-7)
    assert scale.skipped == 0


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_a_step_with_an_overflow_is_left_out_even_the_first(
    name: str, bad: float, kernels: str
) -> None:
    (plain, optimizer), (scaled, theirs) = made(name), made(name)
    ready(theirs)
    scale = LossScale(CPU)
    before = weights(scaled)
    set_gradients(scaled, 0, scale.now())
    next(scaled.parameters()).grad[0, 0] = bad
    scale.step(theirs)
    assert torch.equal(weights(scaled), before)
    assert (scale.skipped, scale.now()) == (1, FIRST_SCALE / 2)
    for number in (1, 2):
        set_gradients(plain, number, 1.0)
        optimizer.step()
        set_gradients(scaled, number, scale.now())
        scale.step(theirs)
    assert torch.allclose(weights(scaled), weights(plain), rtol=1e-6, atol=1e-7)
    scale.forget()
    assert scale.skipped == 0


def test_the_scale_grows_after_many_good_steps_and_goes_on_from_its_state() -> None:
    model, optimizer = made("sgd")
    scale = LossScale(CPU)

    def go(scale: LossScale, steps: int) -> None:
        for _ in range(steps):
            set_gradients(model, 0, 0.0)
            scale.step(optimizer)

    go(scale, GROWTH_STEPS - 1)
    state: dict[str, Any] = scale.state_dict()
    assert all(isinstance(value, int | float) for value in state.values())
    other = LossScale(CPU)
    other.load_state_dict(state)
    for each in (scale, other):
        assert each.now() == FIRST_SCALE
        go(each, 1)
        assert each.now() == 2 * FIRST_SCALE


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_state_that_was_made_before_changes_no_step(name: str) -> None:
    (plain, optimizer), (other, prepared) = made(name), made(name)
    ready(prepared)
    for number in range(3):
        for model, taken in ((plain, optimizer), (other, prepared)):
            set_gradients(model, number, 1.0)
            taken.step()
    assert torch.equal(weights(plain), weights(other))
    assert str(optimizer.state_dict()) == str(prepared.state_dict())


def test_apples_kernels_do_not_heed_a_scaled_loss() -> None:
    assert [has_fused(torch.device(name), scaled=True) for name in ("cpu", "cuda", "mps")] == [
        True, True, False,
    ]  # fmt: skip
    assert all(has_fused(torch.device(name), scaled=False) for name in ("cpu", "cuda", "mps"))


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("before", ["fused", "plain"])
def test_a_scaled_training_goes_on_where_kernels_are_others(
    name: str, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a checkpoint says of kernels is of the device that wrote it."""
    both = []
    for fused in (before == "fused", before != "fused"):
        monkeypatch.setattr(optim, "SCALED_ON", ("cpu",) if fused else ())
        both.append(made(name))
        ready(both[-1][1])
    (one, optimizer), (other, theirs) = both
    scale = LossScale(CPU)
    set_gradients(one, 0, scale.now())
    scale.step(optimizer)
    other.load_state_dict(one.state_dict())
    load_optimizer(theirs, deepcopy(optimizer.state_dict()))
    assert all(group["fused"] == (before != "fused") for group in theirs.param_groups)
    for model, taken in ((one, optimizer), (other, theirs)):
        set_gradients(model, 1, scale.now())
        scale.step(taken)
    assert torch.allclose(weights(one), weights(other), rtol=1e-5, atol=1e-6)
