from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from cxrsearch.learn import optim
from cxrsearch.learn.optim import EMA, build_optimizer, build_schedule, lr_factor
from cxrsearch.learn.recipe import Recipe


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.last = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(self.norm(self.first(x)))
        return out


def small() -> Small:
    torch.manual_seed(0)
    return Small()


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_each_optimiser_lowers_a_loss(name: str) -> None:
    model = small()
    optimizer = build_optimizer(model, Recipe(optimizer=name, lr=0.02, weight_decay=1e-4))
    x, y = torch.randn(32, 4), torch.randn(32, 2)
    losses = []
    for _ in range(30):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(("name", "bias_decay"), [("adam", 0.3), ("adamw", 0.0), ("sgd", 0.0)])
def test_biases_and_norms_are_decayed_by_adam_alone(name: str, bias_decay: float) -> None:
    model = small()
    optimizer = build_optimizer(model, Recipe(optimizer=name, weight_decay=0.3))
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert len(decay) == len(list(model.parameters()))
    for parameter in model.parameters():
        assert decay[id(parameter)] == (0.3 if parameter.ndim > 1 else bias_decay)


def test_frozen_parameters_are_left_to_themselves() -> None:
    model = small()
    model.first.requires_grad_(False)
    for name in ("adam", "adamw", "sgd"):
        optimizer = build_optimizer(model, Recipe(optimizer=name))
        given = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert given == {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_the_fused_step_is_the_plain_one_in_any_memory_layout(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = []
    for devices in (("cpu",), ()):
        monkeypatch.setattr(optim, "FUSED_ON", devices)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 2, 3))
        model = model.to(memory_format=torch.channels_last)
        optimizer = build_optimizer(model, Recipe(optimizer=name, lr=0.01, weight_decay=1e-3))
        for _ in range(4):
            for parameter in model.parameters():
                parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape))
            optimizer.step()
        weights.append(torch.cat([p.detach().ravel() for p in model.parameters()]))
    assert torch.allclose(weights[0], weights[1], atol=1e-6)


def test_momentum_is_nesterovs_and_may_be_zero() -> None:
    (group, _) = build_optimizer(small(), Recipe(optimizer="sgd", momentum=0.8)).param_groups
    assert group["nesterov"]
    assert group["momentum"] == 0.8
    (group, _) = build_optimizer(small(), Recipe(optimizer="sgd", momentum=0.0)).param_groups
    assert not group["nesterov"]


def test_constant_stays_and_warms_up_in_a_line() -> None:
    assert {lr_factor(Recipe(schedule="constant", warmup=0.0), s, 10) for s in range(10)} == {1.0}
    factors = [lr_factor(Recipe(schedule="constant", warmup=0.4), s, 10) for s in range(10)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[4:] == [1.0] * 6


def test_cosine_is_half_a_cosine() -> None:
    factors = [lr_factor(Recipe(schedule="cosine", warmup=0.0), s, 8) for s in range(8)]
    assert factors == pytest.approx([(1 + math.cos(math.pi * s / 8)) / 2 for s in range(8)])


def test_onecycle_follows_torch() -> None:
    """Torch's own schedule, whose rise ends one step earlier."""
    total, recipe = 41, Recipe(schedule="onecycle", warmup=10 / 41)
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=total, pct_start=11 / 41, cycle_momentum=False
    )
    for step in range(total):
        assert lr_factor(recipe, step, total) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        if step < total - 1:
            optimizer.step()
            theirs.step()


@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("total", [1, 2, 3, 10, 997])
def test_factors_are_positive_reach_one_and_never_pass_it(
    schedule: str, warmup: float, total: int
) -> None:
    recipe = Recipe(schedule=schedule, warmup=warmup)
    factors = [lr_factor(recipe, step, total) for step in range(total)]
    assert all(0 < f <= 1 for f in factors)
    assert max(factors) == pytest.approx(1.0) or total <= 3
    assert lr_factor(recipe, total + 5, total) == factors[-1]
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_schedule_goes_on_from_its_state() -> None:
    recipe = Recipe(lr=0.1, schedule="cosine")

    def rates(optimizer: torch.optim.Optimizer, schedule: object, steps: int) -> list[float]:
        out = []
        for _ in range(steps):
            out.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            schedule.step()  # type: ignore[attr-defined]
        return out

    optimizer = build_optimizer(small(), recipe)
    whole = rates(optimizer, build_schedule(optimizer, recipe, 20), 20)
    optimizer = build_optimizer(small(), recipe)
    schedule = build_schedule(optimizer, recipe, 20)
    first = rates(optimizer, schedule, 8)
    kept = optimizer.state_dict(), schedule.state_dict()
    optimizer = build_optimizer(small(), recipe)
    schedule = build_schedule(optimizer, recipe, 20)
    optimizer.load_state_dict(kept[0])
    schedule.load_state_dict(kept[1])
    assert first + rates(optimizer, schedule, 12) == whole


def nudge(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
        model(torch.randn(8, 4))  # moves the statistics of batch normalisation


def test_average_is_the_recursion_with_a_warm_start() -> None:
    model = small()
    average = EMA(model, 0.9)
    expected = model.first.weight.detach().clone()
    for update in range(5):
        nudge(model)
        average.update(model)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * model.first.weight.detach()
    live = model.first.weight.detach().clone()
    with average.applied(model):
        torch.testing.assert_close(model.first.weight.detach(), expected)
    assert torch.equal(model.first.weight, live)


def test_average_reaches_its_own_decay() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = EMA(model, 0.5)
    average.updates = 1000
    nn.init.ones_(model.weight)
    average.update(model)
    assert float(average.state_dict()["shadow.weight"]) == 0.5


def test_statistics_of_batch_normalisation_are_averaged_as_the_weights_are() -> None:
    model = small()
    average = EMA(model, 0.9)
    average.updates = 1000  # past the warm start
    expected = model.norm.get_buffer("running_var").clone()
    for _ in range(3):
        nudge(model)
        average.update(model)
        expected = 0.9 * expected + 0.1 * model.norm.get_buffer("running_var")
    state = average.state_dict()
    torch.testing.assert_close(state["shadow.norm.running_var"], expected)
    assert int(state["shadow.norm.num_batches_tracked"]) == 3


def test_an_averages_network_sees_what_its_own_weights_make_of_the_data() -> None:
    # Weights that swing about their mean: at the mean all activations are 1, at the ends 0 and 2.
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    average = EMA(model, 0.99)
    average.updates = 10_000
    weight = model[0].weight
    data = torch.ones(4, 1)
    with torch.no_grad():
        for step in range(2000):
            weight.fill_(2.0 * (step // 20 % 2))  # the statistics follow within 20 steps
            model(data)
            average.update(model)
    assert float(model[1].running_mean) == pytest.approx(2.0, abs=0.3)
    own = average.network(model)
    assert float(own[0].weight) == pytest.approx(1.0, abs=0.15)
    assert float(own[1].running_mean) == pytest.approx(float(own[0].weight), abs=0.15)


def test_average_does_not_share_memory_with_the_model() -> None:
    model = small()
    average = EMA(model, 0.9)
    before = average.state_dict()
    nudge(model)
    after = average.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_average_goes_on_exactly_from_its_state() -> None:
    model = small()
    average = EMA(model, 0.9)
    for _ in range(3):
        nudge(model)
        average.update(model)
    other = EMA(small(), 0.9)
    other.load_state_dict(average.state_dict())
    nudge(model)
    average.update(model)
    other.update(model)
    first, second = average.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert other.updates == 4


def test_model_comes_back_after_an_error() -> None:
    model = small()
    average = EMA(model, 0.9)
    nudge(model)
    live = model.first.weight.detach().clone()
    with pytest.raises(RuntimeError, match="in between"), average.applied(model):
        raise RuntimeError("in between")
    assert torch.equal(model.first.weight, live)
