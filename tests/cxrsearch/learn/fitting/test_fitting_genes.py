"""What every gene of fitting has to keep: it acts, it can be cut off, and goes through in parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.learn import session
from cxrsearch.learn.calibrate import Calibration
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.pseudo import Pseudo
from cxrsearch.learn.recipe import Recipe, identity
from cxrsearch.learn.saved.checkpoint import load_tensors
from cxrsearch.learn.train import train

pytestmark = pytest.mark.usefixtures("tiny_model")

ONE = ComputeOptions("cpu", threads=1)
GENES: dict[str, dict[str, Any]] = {
    "head_bias": {"head_bias": "prevalence"},
    "ema_norms": {"ema_norms": "measured"},
    "swa": {"swa": 0.7},
    "layer_decay": {"layer_decay": 0.5},
    "sharpness": {"sharpness": 0.3},
    "auxiliary": {"auxiliary": 0.5},
    "distill": {"distill": 0.4},
}


@pytest.fixture
def study(make_study: Callable[..., Any]) -> Any:
    """A study whose data say how old everybody is, and what a teacher thinks."""
    made = make_study()
    ages = np.random.default_rng(2).normal(50, 20, (len(made.data.names), 1)).astype(np.float32)
    data, some = made.data, np.random.default_rng(3).random((len(made.data.train), 14))
    line = Calibration(np.ones(14), np.zeros(14), np.full(14, 0.6), np.full(14, 0.4))
    none, k = np.zeros(0, np.int64), len(data.label_names)
    teacher = Pseudo(
        data.names[none], np.zeros((0, k), np.float32), line, data.split, data.label_names,
        taught=data.names[data.train], taught_scores=some.astype(np.float32),
    )  # fmt: skip
    data = replace(data, about=ages, about_names=("age",), pseudo=teacher, pseudo_rows=none)
    return replace(made, data=data)


@pytest.fixture(params=GENES)
def fitted_recipe(request: pytest.FixtureRequest, recipe: Recipe) -> Recipe:
    """The recipe with everything on, and a gene of fitting besides."""
    return replace(recipe, **GENES[request.param])


def whole_run(study: Any, recipe: Recipe, folder: Path) -> tuple[float, np.ndarray, dict[str, Any]]:
    """Value, probabilities and last checkpoint of a training, or of the rest of one."""
    running = train(recipe, study.data, seed=3, compute=ONE, resamples=20, folder=folder)
    while True:
        try:
            next(running)
        except StopIteration as stop:
            state = load_tensors(folder / "checkpoint.safetensors")[0]
            return stop.value.value, stop.value.scores, state


def same_tensors(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_a_run_cut_off_with_it_equals_an_uninterrupted_one(
    study: Any, fitted_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CHECKPOINT_SHARE", math.inf)
    value, scores, state = whole_run(study, fitted_recipe, tmp_path / "whole")
    for cut in (1, 2):
        folder = tmp_path / str(cut)
        first = train(fitted_recipe, study.data, seed=3, compute=ONE, resamples=20, folder=folder)
        for _ in range(cut):
            next(first)
        first.close()
        torch.manual_seed(cut)
        again = whole_run(study, fitted_recipe, folder)
        assert again[0] == value
        assert np.array_equal(again[1], scores)
        assert same_tensors(again[2], state)


def test_it_acts(study: Any, recipe: Recipe, fitted_recipe: Recipe) -> None:
    assert identity(recipe) != identity(fitted_recipe)
    ends = []
    for each in (recipe, fitted_recipe):
        learner = Learner(each, study.data, seed=0, compute=ONE)
        for number in range(1, recipe.epochs + 1):
            assert math.isfinite(learner.epoch(number))
        ends.append(learner.weights())
    assert not same_tensors(*ends)


def test_with_frozen_norms_it_is_the_same_in_parts(study: Any, fitted_recipe: Recipe) -> None:
    recipe = replace(fitted_recipe, dropout=0.0, batch_size=8, freeze=1, momentum=0.0, lr=0.01)
    found = []
    for micro in (8, 4, 2):
        compute = replace(ONE, micro=micro, precision="float32")
        learner = Learner(recipe, study.data, seed=0, compute=compute)
        for number in (1, 2, 3):
            learner.epoch(number)
        found.append(torch.cat([p.ravel() for p in learner.weights().values()]))
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[2], found[0], atol=1e-5, rtol=1e-4)
