from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.fitting.sharpness import SharpnessAware
from cxrsearch.learn.recipe import Recipe, passes
from cxrsearch.study.cost.recipe_kinds import kind_of, trial_seconds, weightiest

ONE = ComputeOptions("cpu", threads=1)


def test_gradients_are_those_at_the_worst_of_the_neighbourhood() -> None:
    model = nn.Linear(2, 1, bias=False)
    weights = torch.tensor([[0.3, -0.4]])
    with torch.no_grad():
        model.weight.copy_(weights)
    curvature = torch.tensor([[4.0, 1.0]])

    def step(images: Tensor, targets: Tensor) -> Tensor:
        model.zero_grad()
        loss = (curvature * model.weight.square()).sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    nothing = torch.zeros(1)
    loss = SharpnessAware(model, step, rho=0.1)(nothing, nothing)
    gradient = curvature * weights
    moved = weights + 0.1 * gradient / gradient.norm()
    assert model.weight.grad is not None
    torch.testing.assert_close(model.weight.grad, curvature * moved)
    assert torch.equal(model.weight.detach(), weights)
    torch.testing.assert_close(loss, (curvature * weights.square()).sum() / 2)


def test_statistics_of_batch_normalisation_are_the_first_passes(
    study: Any, recipe: Recipe, tiny_model: None
) -> None:
    recipe = replace(recipe, dropout=0.0, batch_size=16, train_seed=1.0)
    found = []
    for rho in (0.0, 0.5):
        learner = Learner(replace(recipe, sharpness=rho), study.data, seed=0, compute=ONE)
        learner.epoch(1)  # one step
        found.append(learner.model.state_dict())
    plain, sharp = found
    assert torch.equal(plain["net.norm.running_mean"], sharp["net.norm.running_mean"])
    assert int(sharp["net.norm.num_batches_tracked"]) == 1
    assert not torch.equal(plain["net.conv.weight"], sharp["net.conv.weight"])


def test_a_step_of_two_passes_is_not_made_faster_by_others(
    study: Any, recipe: Recipe, tiny_model: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def eager(*given: Any) -> str:
        asked.append(given)
        return "eager"

    monkeypatch.setattr("cxrsearch.learn.training.faster_way", eager)
    Learner(recipe, study.data, seed=0, compute=ONE)
    assert len(asked) == 1
    Learner(replace(recipe, sharpness=0.1), study.data, seed=0, compute=ONE)
    assert len(asked) == 1


def test_the_projection_counts_both_passes_once() -> None:
    plain, sharp = Recipe(), Recipe(sharpness=0.05)
    assert (passes(plain), passes(sharp)) == (1, 2)
    (timed,) = weightiest([sharp, plain]).values()
    assert passes(timed) == 1
    steps = {kind_of(plain): 0.01}
    assert trial_seconds(sharp, steps, 100, 0) == 2 * trial_seconds(plain, steps, 100, 0)
