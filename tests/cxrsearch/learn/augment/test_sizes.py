"""Inputs that grow: when, how far, and what does not change by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cxrsearch.learn.augment.frames import prepare, shrunk
from cxrsearch.learn.augment.sizes import GROWING_SIZES, LEAST_SIDE, MULTIPLE, size_at, size_shares
from cxrsearch.learn.calibrate import Calibration
from cxrsearch.learn.classifier import Learner, takes
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.networks import models
from cxrsearch.learn.pseudo import Pseudo
from cxrsearch.learn.recipe import Recipe, identity, size_of
from cxrsearch.learn.train import train
from cxrsearch.study.cost.recipe_kinds import kind_of, trial_seconds

CPU = ComputeOptions("cpu")


@given(
    st.integers(1, 60),
    st.floats(0.25, 1.0),
    st.sampled_from([32, 64, 96, 224, "100x134", "300x400"]),
)
def test_sizes_rise_to_the_full_one_and_stay_for_the_second_half(
    epochs: int, start: float, size: int | str
) -> None:
    recipe, full = Recipe(epochs=epochs, start_size=start, input_size=size), size_of(size)
    sizes = [size_at(recipe, epoch) for epoch in range(1, epochs + 1)]
    assert sizes == sorted(sizes)
    assert set(sizes[epochs // 2 :]) == {full}
    assert len({*sizes}) <= GROWING_SIZES + 1
    for found in sizes:
        for side, most in zip(found, full, strict=True):
            assert LEAST_SIDE <= side <= most
            assert side == most or side % MULTIPLE == 0
    if epochs > 1:
        for side, most in zip(sizes[0], full, strict=True):
            wanted = max(LEAST_SIDE, start * most)
            assert abs(side - wanted) <= MULTIPLE / 2 or side == most
    assert size_shares(recipe) == [math.prod(found) / math.prod(full) for found in sizes]


def test_the_default_grows_nothing_and_one_epoch_is_at_full_size() -> None:
    assert {size_at(Recipe(), epoch) for epoch in range(1, 11)} == {(224, 224)}
    assert size_at(Recipe(epochs=1, start_size=0.5), 1) == (224, 224)
    assert identity(Recipe(epochs=1, start_size=0.5)) == identity(Recipe(epochs=1))
    assert identity(Recipe(epochs=2, start_size=0.5)) != identity(Recipe(epochs=2))
    recipe = Recipe(epochs=12, start_size=0.5, input_size=96)
    assert [size_at(recipe, epoch)[0] for epoch in range(1, 8)] == [48, 48, 64, 64, 80, 80, 96]


def test_a_smaller_batch_is_what_would_have_been_prepared() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)
    found = shrunk(torch.from_numpy(frames), (48, 32))
    assert torch.equal(found, prepare(frames, np.arange(3), 1024, "48x32"))
    same = torch.from_numpy(frames)
    assert shrunk(same, (64, 64)) is same


@pytest.mark.usefixtures("tiny_model")
@pytest.mark.parametrize("pseudo", ["none", "mean_teacher"])
def test_epochs_are_of_their_size_scores_of_the_full_one_and_a_resumed_run_is_the_same(
    make_study: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pseudo: str
) -> None:
    data = make_study().data
    rows = np.arange(28, 36)
    line = Calibration(np.ones(14), np.zeros(14), np.full(14, 0.6), np.full(14, 0.4))
    scores = np.full((8, 14), 0.5, np.float32)
    said = Pseudo(data.names[rows], scores, line, data.split, data.label_names)
    data = replace(data, pseudo=said, pseudo_rows=rows)
    recipe = Recipe(
        epochs=4, start_size=0.5, batch_size=8, input_size=64, rotation=5.0, pseudo=pseudo, lr=0.01
    )
    seen: list[int] = []
    objective = Learner.objective

    def watched(self: Learner, network: Any, images: Tensor, targets: Tensor) -> Tensor:
        seen.append(images.shape[-1])
        return objective(self, network, images, targets)

    monkeypatch.setattr(Learner, "objective", watched)

    def run(folder: Path, stop: int = 9) -> Any:
        steps = train(recipe, data, seed=3, folder=folder, compute=CPU, resamples=10)
        for _ in range(stop):
            try:
                next(steps)
            except StopIteration as end:
                return end.value
        return steps.close()

    whole = run(tmp_path / "whole")
    assert list(dict.fromkeys(seen)) == [32, 48, 64]
    assert seen.count(64) == 2 * seen.count(32) == 2 * seen.count(48)
    run(tmp_path / "cut", 1)
    np.testing.assert_array_equal(run(tmp_path / "cut").scores, whole.scores)


@pytest.mark.usefixtures("tiny_model")
def test_a_network_of_one_size_stays_at_it_and_it_is_noted(
    study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneSize(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.places = nn.Parameter(torch.zeros(1, 1, 64, 64))
            self.norm = nn.BatchNorm2d(1)

        def forward(self, grey: Tensor) -> Tensor:
            return (self.norm(grey) + self.places).mean(dim=(1, 2, 3))[:, None].expand(-1, 14)

    network = OneSize()
    assert takes(network, (64, 64))
    assert not takes(network, (32, 32))
    assert network.training
    assert not network.norm.num_batches_tracked
    recipe = Recipe(epochs=4, start_size=0.5, batch_size=8, input_size=64)
    growing = Learner(recipe, study.data, seed=1, compute=CPU)
    assert not any("start_size" in note for note in growing.notes)
    monkeypatch.setattr(models, "build_model", lambda *args, **options: OneSize())
    fixed = Learner(recipe, study.data, seed=1, compute=CPU)
    assert any("start_size: 0.5 does nothing" in note for note in fixed.notes)
    assert math.isfinite(fixed.epoch(1))


def test_a_trial_that_grows_is_projected_to_be_cheaper() -> None:
    recipe = Recipe(epochs=8, input_size=64)
    steps = {kind_of(recipe): 0.01}
    whole = trial_seconds(recipe, steps, 100, 30)
    grown = trial_seconds(replace(recipe, start_size=0.5), steps, 100, 30)
    assert whole == pytest.approx(8 * 0.01 * (100 + 10))
    shares = size_shares(replace(recipe, start_size=0.5))
    assert grown == pytest.approx(0.01 * (100 * sum(shares) + 8 * 10))
    assert grown < 0.8 * whole
