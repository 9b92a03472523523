from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.criterion import (
    SUREST,
    best_constant,
    build_loss,
    prevalence_of,
    safe_prevalence,
)
from cxrsearch.learn.losses import LOSSES
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe, as_of_now, new_defaults
from cxrsearch.learn.saved.checkpoint import LABELS, save_tensors
from cxrsearch.study.label_genes import read_space
from cxrsearch.study.space import shipped_spaces

CPU = ComputeOptions(device="cpu", threads=1)
SHARES = np.array([0.02, 0.3, 0.5, 0.9])


def log_odds(share: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.log(share / (1 - share))).float()


def test_with_cross_entropy_it_is_the_log_odds_of_the_prevalence() -> None:
    found = best_constant(build_loss(Recipe(), SHARES), SHARES)
    torch.testing.assert_close(found, log_odds(SHARES), atol=1e-3, rtol=1e-3)


def test_label_smoothing_moves_it_to_the_smoothed_prevalence() -> None:
    found = best_constant(build_loss(Recipe(label_smoothing=0.2), SHARES), SHARES)
    torch.testing.assert_close(found, log_odds(SHARES * 0.8 + 0.1), atol=1e-3, rtol=1e-3)


def test_where_positives_weigh_as_much_as_negatives_it_is_zero() -> None:
    found = best_constant(build_loss(Recipe(loss="weighted_bce"), SHARES), SHARES)
    torch.testing.assert_close(found, torch.zeros(4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_no_other_constant_costs_less(name: str) -> None:
    """Of every loss: held against a grid of constants."""
    loss = build_loss(Recipe(loss=name), SHARES)
    best = best_constant(loss, SHARES)
    assert best.abs().max() <= SUREST
    n = 200
    marks = torch.from_numpy((np.arange(n)[:, None] < SHARES * n).astype(np.float32))

    def cost(logits: torch.Tensor) -> float:
        return float(loss(logits.expand(n, -1), marks))

    least = cost(best)
    for shift in (-2.0, -0.5, -0.1, 0.1, 0.5, 2.0):
        for label in range(4):
            moved = best.clone()
            moved[label] += shift
            assert cost(moved) >= least - 1e-6


def test_labels_that_are_never_or_always_there_stay_finite() -> None:
    marks = np.array([[0, 1, np.nan, 1], [0, 1, np.nan, np.nan], [0, 1, np.nan, 0]])
    assert safe_prevalence(marks).tolist() == [0.2, 0.8, 0.5, 0.5]
    found = best_constant(build_loss(Recipe(), prevalence_of(marks)), safe_prevalence(marks))
    wanted = log_odds(np.array([0.2, 0.8, 0.5, 0.5]))
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)


def test_the_prevalence_is_that_of_the_drawn_images() -> None:
    marks = np.array([[1.0], [0.0], [0.0], [np.nan]])
    assert safe_prevalence(marks, np.array([1.0, 0.5, 0.5, 1.0])).tolist() == [0.5]


def test_a_training_starts_at_the_constant_answer(study: Any, tiny_model: None) -> None:
    recipe = Recipe(input_size=32, head_bias="prevalence")
    data = study.data
    learner = Learner(recipe, data, seed=3, compute=CPU)
    bias = dict(learner.model.named_parameters())["net.classifier.bias"]
    share = safe_prevalence(data.labels[data.train])
    torch.testing.assert_close(bias.detach(), log_odds(share), atol=1e-3, rtol=1e-3)
    plain = Learner(replace(recipe, head_bias="zero"), data, seed=3, compute=CPU)
    for name, value in plain.model.state_dict().items():
        same = torch.equal(value, learner.model.state_dict()[name])
        assert same == (name != "net.classifier.bias"), name  # from the same random start


def test_labels_that_are_not_learnt_start_at_zero(study: Any, tiny_model: None) -> None:
    data = replace(study.data, learnt=(2,))
    learner = Learner(Recipe(input_size=32, head_bias="prevalence"), data, seed=3, compute=CPU)
    bias = dict(learner.model.named_parameters())["net.classifier.bias"]
    assert bias.detach().nonzero().flatten().tolist() == [2]


def test_a_head_that_was_given_keeps_its_biases(
    study: Any, tiny_model: None, tmp_path: Path
) -> None:
    before = build_model(Recipe(input_size=32), n_classes=14)
    with torch.no_grad():
        before.net.classifier.bias.fill_(0.7)
    save_tensors(tmp_path / "w.safetensors", before.net.state_dict(), {LABELS: list(DISEASES)})
    recipe = Recipe(input_size=32, head_bias="prevalence", init=str(tmp_path / "w.safetensors"))
    given = Learner(recipe, study.data, seed=3, compute=CPU)
    assert (dict(given.model.named_parameters())["net.classifier.bias"] == 0.7).all()
    others = {n: v for n, v in before.net.state_dict().items() if "classifier" not in n}
    save_tensors(tmp_path / "w.safetensors", others, {})
    body = Learner(recipe, study.data, seed=3, compute=CPU)
    assert not (dict(body.model.named_parameters())["net.classifier.bias"] == 0.7).any()


def test_a_recipe_of_before_starts_at_zero_and_a_space_of_today_at_the_prevalence() -> None:
    before = {k: v for k, v in asdict(Recipe()).items() if k != "head_bias"}
    assert as_of_now(before)["head_bias"] == "zero"
    assert new_defaults()["head_bias"] == "prevalence"
    for path in shipped_spaces().values():
        space = read_space(path)
        assert "head_bias" in space.genes or space.fixed["head_bias"] == "prevalence"


def test_a_space_that_says_zero_means_zero(tiny_space: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(tiny_space.read_text() + "  head_bias: zero\n")
    assert read_space(path).fixed["head_bias"] == "zero"
    assert read_space(tiny_space).fixed["head_bias"] == "prevalence"
