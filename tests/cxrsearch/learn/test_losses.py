from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cxrsearch.learn.criterion import build_loss, positive_weights
from cxrsearch.learn.recipe import Recipe, gene_limits

NAMES = gene_limits()["loss"]["choices"]
PREVALENCE = np.linspace(0.01, 0.4, 14)


def example(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn((6, 14), generator=generator)
    return logits, (torch.rand((6, 14), generator=generator) < 0.3).float()


def naive(name: str, z: Tensor, t: Tensor, recipe: Recipe) -> float:
    """Each paper's formula, written out in double precision."""
    p, t = torch.sigmoid(z.double()), t.double()
    if name == "bce":
        loss = -(t * p.log() + (1 - t) * (1 - p).log())
    elif name == "weighted_bce":
        w = torch.from_numpy((1 - PREVALENCE) / PREVALENCE)
        loss = -(w * t * p.log() + (1 - t) * (1 - p).log())
    elif name == "focal":
        p_t = torch.where(t > 0.5, p, 1 - p)
        loss = -((1 - p_t) ** recipe.focal_gamma) * p_t.log()
    else:
        p_m = (p - 0.05).clamp(min=0)
        positive = (1 - p) ** recipe.gamma_positive * p.log()
        negative = p_m**recipe.gamma_negative * (1 - p_m).log()
        loss = -(t * positive + (1 - t) * negative)
    return float(loss.mean())


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_written_out_formula(name: str) -> None:
    recipe = Recipe(loss=name, focal_gamma=1.5, gamma_negative=3.0, gamma_positive=0.5)
    logits, targets = example()
    actual = float(build_loss(recipe, PREVALENCE)(logits, targets))
    assert actual == pytest.approx(naive(name, logits, targets, recipe), rel=1e-5)


@pytest.mark.parametrize("name", ["focal", "asymmetric"])
def test_without_focus_it_is_cross_entropy(name: str) -> None:
    recipe = Recipe(loss=name, focal_gamma=0.0, gamma_negative=0.0, gamma_positive=0.0)
    logits, targets = example()
    if name == "asymmetric":
        targets = torch.ones_like(targets)  # negatives keep their margin
    actual = build_loss(recipe, PREVALENCE)(logits, targets)
    torch.testing.assert_close(actual, build_loss(Recipe(), PREVALENCE)(logits, targets))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("size", [1.0, 100.0, 1e4])
def test_large_logits_give_finite_losses_and_gradients(
    name: str, gamma: float, size: float
) -> None:
    recipe = Recipe(loss=name, focal_gamma=gamma, gamma_negative=gamma, gamma_positive=gamma)
    logits = (torch.tensor([-1.0, 0.0, 1.0]) * size).repeat(14, 1).T.requires_grad_()
    for targets in (torch.zeros(3, 14), torch.ones(3, 14)):
        loss = build_loss(recipe, PREVALENCE)(logits, targets)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_logits_are_taken_in_full_precision(name: str) -> None:
    logits, targets = example()
    loss = build_loss(Recipe(loss=name), PREVALENCE)(logits.bfloat16(), targets.to(torch.uint8))
    assert loss.dtype == torch.float32
    assert loss.ndim == 0


def test_wrong_and_sure_costs_most_in_every_loss() -> None:
    for name in NAMES:
        loss = build_loss(Recipe(loss=name), PREVALENCE)
        for target in (0.0, 1.0):
            targets = torch.full((1, 14), target)
            logits = [torch.full((1, 14), z) for z in (-4.0, 0.0, 4.0)]
            costs = [float(loss(z, targets)) for z in logits]
            assert costs == sorted(costs, reverse=target == 1.0)


def test_weights_are_safe_without_positives_or_negatives() -> None:
    weights = positive_weights(np.array([0.0, 1e-9, 0.2, 0.5, 1.0]))
    torch.testing.assert_close(weights, torch.tensor([100.0, 100.0, 4.0, 1.0, 0.01]))
    torch.testing.assert_close(positive_weights(torch.tensor([0.2])), torch.tensor([4.0]))
    loss = build_loss(Recipe(loss="weighted_bce"), np.zeros(14))
    assert torch.isfinite(loss(*example()))


@pytest.mark.parametrize("name", NAMES)
def test_smoothing_mixes_the_two_answers(name: str) -> None:
    logits, targets = example()
    smoothed = build_loss(Recipe(loss=name, label_smoothing=0.2), PREVALENCE)(logits, targets)
    plain = build_loss(Recipe(loss=name), PREVALENCE)
    mixed = 0.9 * plain(logits, targets) + 0.1 * plain(logits, 1 - targets)
    torch.testing.assert_close(smoothed, mixed)


def test_every_choice_is_a_loss_of_its_own() -> None:
    values = {float(build_loss(Recipe(loss=name), PREVALENCE)(*example())) for name in NAMES}
    assert len(values) == len(NAMES)
