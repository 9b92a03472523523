from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.fitting.norms import measure_norms
from cxrsearch.learn.optim import EqualAverage, lr_factor
from cxrsearch.learn.recipe import Recipe, effective, tail_epochs

ONE = ComputeOptions("cpu", threads=1, precision="float32")


def test_statistics_are_the_means_over_the_batches_and_nothing_else_changes() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Dropout(0.9), nn.BatchNorm2d(3, momentum=0.3))
    batches = [torch.randn(4, 1, 2, 2) for _ in range(3)]
    for batch in batches:  # some history, to be forgotten
        model.train()(batch + 5)
    before = torch.random.get_rng_state()
    measure_norms(model, batches)
    assert torch.equal(torch.random.get_rng_state(), before)
    maps = [model[0](batch) for batch in batches]  # dropout is off
    mean = torch.stack([m.mean(dim=(0, 2, 3)) for m in maps]).mean(dim=0)
    var = torch.stack([m.var(dim=(0, 2, 3)) for m in maps]).mean(dim=0)
    torch.testing.assert_close(model[2].running_mean, mean)
    torch.testing.assert_close(model[2].running_var, var)
    assert model[2].momentum == 0.3
    assert not model.training


def test_frozen_blocks_keep_their_statistics(study: Any, tiny_model: None) -> None:
    learner = Learner(Recipe(input_size=32, freeze=1), study.data, seed=0, compute=ONE)
    norm = next(m for m in learner.model.modules() if isinstance(m, nn.BatchNorm2d))
    kept = norm.running_mean.clone()
    measure_norms(learner.model, learner.typical_images())
    assert torch.equal(norm.running_mean, kept)


def test_measured_statistics_are_those_of_the_averaged_weights(
    study: Any, recipe: Recipe, tiny_model: None
) -> None:
    learner = Learner(replace(recipe, ema_norms="measured"), study.data, seed=0, compute=ONE)
    live = learner.model.state_dict()["net.norm.running_mean"].clone()
    learner.epoch(1)
    found = learner.weights()
    with learner.judged():
        measure_norms(learner.model, learner.typical_images())
        again = learner.model.state_dict()["net.norm.running_mean"].clone()
    assert torch.equal(found["net.norm.running_mean"], again)
    assert not torch.equal(learner.model.state_dict()["net.norm.running_mean"], again)
    assert not torch.equal(live, again)


def test_what_ema_norms_says_is_nothing_without_an_average() -> None:
    assert effective(Recipe(ema_norms="measured")) == Recipe()
    assert effective(Recipe(ema_norms="measured", ema=0.9)).ema_norms == "measured"


def test_the_last_epochs_count_by_the_mean_of_their_weights(
    study: Any, recipe: Recipe, tiny_model: None
) -> None:
    recipe = replace(recipe, swa=0.6, epochs=5)
    learner = Learner(recipe, study.data, seed=0, compute=ONE)
    ends = []
    for number in range(1, 6):
        learner.epoch(number)
        live = learner.model.state_dict()["net.conv.weight"].clone()
        counted = learner.weights()["net.conv.weight"]
        if number > 2:
            ends.append(live)
            torch.testing.assert_close(counted, torch.stack(ends).mean(dim=0))
        else:  # what ema has
            assert not torch.equal(counted, live)
    learner.adopt_average()
    kept = learner.model.state_dict()["net.conv.weight"]
    torch.testing.assert_close(kept, torch.stack(ends).mean(dim=0))
    assert learner.counted is None


@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle"])
def test_the_rate_stays_in_the_epochs_that_are_averaged(schedule: str) -> None:
    plain = Recipe(epochs=10, schedule=schedule)
    recipe = replace(plain, swa=0.3)
    factors = [lr_factor(recipe, step, 100) for step in range(100)]
    assert factors[:71] == [lr_factor(plain, step, 100) for step in range(71)]
    assert set(factors[70:]) == {factors[70]}
    # Averaged from the first epoch on, it still warms up.
    assert lr_factor(replace(plain, swa=1.0), 50, 100) == 1.0


def test_a_share_of_the_epochs_is_one_epoch_at_least() -> None:
    assert [tail_epochs(Recipe(epochs=10, swa=s)) for s in (0.0, 0.01, 0.25, 1.0)] == [0, 1, 2, 10]


def test_an_equal_average_is_the_mean_of_what_it_took_in() -> None:
    model = nn.Linear(2, 1)
    average, seen = EqualAverage(model), []
    for value in (1.0, 2.0, 6.0):
        nn.init.constant_(model.weight, value)
        average.update(model)
        seen.append(value)
        with average.applied(model):
            assert model.weight.detach().flatten().tolist() == pytest.approx(
                [sum(seen) / len(seen)] * 2
            )
