from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cxrsearch.learn.criterion import build_loss, positive_weights
from cxrsearch.learn.losses import auc_margin
from cxrsearch.learn.recipe import Recipe, gene_limits

NAMES = gene_limits()["loss"]["choices"]
MEANS = [name for name in NAMES if name != "auc_margin"]
"""Those that are a mean over images and labels; the other is of all images together."""
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
    elif name == "auc_margin":
        costs = []
        for label in range(p.shape[1]):
            up, down = p[t[:, label] == 1, label], p[t[:, label] == 0, label]
            cost = sum(float((h - h.mean()).square().mean()) for h in (up, down) if len(h))
            if len(up) and len(down):
                cost += max(0.0, recipe.margin - float(up.mean()) + float(down.mean())) ** 2
            costs.append(cost)
        return float(np.mean(costs))
    else:
        p_m = (p - 0.05).clamp(min=0)
        positive = (1 - p) ** recipe.gamma_positive * p.log()
        negative = p_m**recipe.gamma_negative * (1 - p_m).log()
        loss = -(t * positive + (1 - t) * negative)
    return float(loss.mean())


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_written_out_formula(name: str) -> None:
    recipe = Recipe(loss=name, focal_gamma=1.5, gamma_negative=3.0, gamma_positive=0.5, margin=0.7)
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


@pytest.mark.parametrize("name", MEANS)
def test_smoothing_mixes_the_two_answers(name: str) -> None:
    logits, targets = example()
    smoothed = build_loss(Recipe(loss=name, label_smoothing=0.2), PREVALENCE)(logits, targets)
    plain = build_loss(Recipe(loss=name), PREVALENCE)
    mixed = 0.9 * plain(logits, targets) + 0.1 * plain(logits, 1 - targets)
    torch.testing.assert_close(smoothed, mixed)


def margin_loss(logits: Tensor, targets: Tensor, each: Tensor | None = None) -> Tensor:
    return auc_margin(logits, targets, each, torch.ones(logits.shape[1]), margin=0.8)


def test_the_margin_loss_is_the_min_max_problem_of_the_paper_at_its_best() -> None:
    logits = torch.randn((12, 1), generator=torch.Generator().manual_seed(3))
    targets = (torch.arange(12)[:, None] % 3 == 0).float()
    h = torch.sigmoid(logits[:, 0].double())
    up, down = h[targets[:, 0] == 1], h[targets[:, 0] == 0]
    a = torch.zeros((), dtype=torch.float64, requires_grad=True)
    b = torch.zeros((), dtype=torch.float64, requires_grad=True)
    alpha = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def problem() -> Tensor:
        return (
            (up - a).square().mean() + (down - b).square().mean()
            + 2 * alpha * (0.8 + down.mean() - up.mean()) - alpha.square()
        )  # fmt: skip

    for _ in range(300):  # descend in a and b, ascend in alpha, as it is trained there
        grads = torch.autograd.grad(problem(), (a, b, alpha))
        with torch.no_grad():
            a -= 0.1 * grads[0]
            b -= 0.1 * grads[1]
            alpha += 0.1 * grads[2]
            alpha.clamp_(min=0)
    found = margin_loss(logits, targets)
    torch.testing.assert_close(found.double(), problem().detach(), rtol=1e-5, atol=1e-6)


def test_the_margin_loss_passes_by_what_is_not_known_and_labels_without_both() -> None:
    logits, targets = example()
    logits.requires_grad_()
    each = torch.ones_like(targets)
    each[0] = 0.0
    (gradient,) = torch.autograd.grad(margin_loss(logits, targets, each), logits)
    assert not gradient[0].any()
    torch.testing.assert_close(
        margin_loss(logits, targets, each), margin_loss(logits[1:], targets[1:])
    )
    none = torch.zeros(6, 14)
    alone = margin_loss(logits, none)  # no positive anywhere: the spread of the negatives is left
    torch.testing.assert_close(alone, torch.sigmoid(logits).var(dim=0, correction=0).mean())
    assert not margin_loss(logits, targets, torch.zeros_like(each)).any()


def test_the_margin_loss_is_least_where_the_two_are_apart() -> None:
    targets = torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    apart = (targets * 2 - 1) * 6
    assert float(margin_loss(apart, targets)) < 0.01 < float(margin_loss(-apart, targets))
    shifted = margin_loss(torch.full((4, 1), 2.0), targets)
    torch.testing.assert_close(shifted, margin_loss(torch.zeros(4, 1), targets))


def test_every_choice_is_a_loss_of_its_own() -> None:
    values = {float(build_loss(Recipe(loss=name), PREVALENCE)(*example())) for name in NAMES}
    assert len(values) == len(NAMES)
