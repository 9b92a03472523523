"""Mixtures: whatever is registered keeps shares, targets, unknown marks and random numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import beta

from cxrsearch.learn.augment.mixing import Mixing, mixed_targets
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.criterion import build_loss, with_weights
from cxrsearch.learn.mixes import MIX_DRAWS, MIXES, beta_quantiles
from cxrsearch.learn.recipe import Recipe, effective, identity
from cxrsearch.learn.registry import taken
from cxrsearch.learn.train import train

CPU = ComputeOptions("cpu")


def weights_of(name: str, n: int = 200, size: tuple[int, int] = (24, 32)) -> torch.Tensor:
    draws = torch.rand((MIX_DRAWS, n), generator=torch.Generator().manual_seed(1))
    found: torch.Tensor = MIXES[name](draws, size, **taken(MIXES[name], Recipe(mix_alpha=1.0)))
    return found


def batch(n: int = 6, k: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    images = torch.rand((n, 1, 24, 32), generator=generator)
    return images, (torch.rand((n, k), generator=generator) < 0.4).float()


def mixed(recipe: Recipe, images: torch.Tensor, targets: torch.Tensor) -> Any:
    return Mixing(recipe)(images, targets, torch.Generator().manual_seed(3))


def part_of_each(recipe: Recipe, targets: torch.Tensor) -> torch.Tensor:
    """(n, n), how much of each image is in each mixture, by mixing white images with black ones."""
    n = len(targets)
    whites = torch.eye(n)[:, :, None, None, None].expand(n, n, 1, 24, 32)
    return torch.stack(
        [mixed(recipe, white, targets)[0].mean(dim=(1, 2, 3)) for white in whites], 1
    )


@pytest.mark.parametrize("name", MIXES)
def test_each_pixel_is_wholly_made_of_the_parts(name: str) -> None:
    weights = weights_of(name)
    assert weights.shape[1] == 200
    assert weights.min() >= 0
    assert torch.allclose(weights.sum(dim=0), torch.ones(()))
    shares = weights.mean(dim=(2, 3, 4))
    assert shares[0].min() < 0.4
    assert shares.max() > 0.5


@pytest.mark.parametrize("name", ["cutmix", "mosaic"])
def test_cut_parts_are_rectangles_in_their_own_place(name: str) -> None:
    images, targets = batch()
    made, _ = mixed(Recipe(mix=name, mix_alpha=1.0), images, targets)
    places = len(weights_of(name))
    at = torch.stack([images.roll(-place, 0) == made for place in range(places)])
    assert at.any(dim=0).all()  # every pixel is some part's own, at the same place
    for part in at[1:, :, 0].flatten(0, 1):  # what is laid in
        rows, columns = part.any(dim=1), part.any(dim=0)
        assert torch.equal(part, rows[:, None] & columns[None, :])


def test_mixup_is_the_mean_of_two_images_by_their_share() -> None:
    images, targets = batch()
    made, wanted = mixed(Recipe(mix="mixup"), images, targets)
    share = (made - images.roll(-1, 0)).flatten(1).sum(1) / (
        (images - images.roll(-1, 0)).flatten(1).sum(1)
    )
    expected = share[:, None] * targets + (1 - share[:, None]) * targets.roll(-1, 0)
    assert torch.allclose(wanted, expected, atol=1e-4)


@pytest.mark.parametrize("name", MIXES)
def test_what_all_parts_have_a_mixture_has(name: str) -> None:
    images, targets = batch(40)
    for value in (0.0, 1.0):
        same = torch.full_like(targets, value)
        assert torch.equal(mixed(Recipe(mix=name), images, same)[1], same)
    _, between = mixed(Recipe(mix=name, mix_alpha=1.0), images, targets)
    assert between.min() >= 0
    assert between.max() <= 1
    assert ((between > 0) & (between < 1)).any()
    assert between.mean() == pytest.approx(float(targets.mean()), abs=0.1)


@pytest.mark.parametrize("name", MIXES)
def test_targets_go_by_area(name: str) -> None:
    images, targets = batch(8)
    shown = torch.eye(8)[:, :, None, None] * torch.ones((1, 1, 24, 32))  # which image is seen
    shown = torch.cat(
        [mixed(Recipe(mix=name), shown[:, i : i + 1], targets)[0] for i in range(8)], 1
    )
    area = shown.mean(dim=(2, 3))
    wanted = mixed(Recipe(mix=name), images, targets)[1]
    assert torch.allclose(wanted, area @ targets, atol=1e-5)


@pytest.mark.parametrize("name", MIXES)
@pytest.mark.parametrize("loss", ["bce", "weighted_bce", "focal", "asymmetric"])
def test_a_mixtures_loss_is_that_of_what_is_known_of_its_parts_by_share(
    name: str, loss: str
) -> None:
    images, targets = batch(8)
    targets[1, 0] = targets[2] = targets[3, 1] = torch.nan
    each = torch.tensor([1.0, 1.0, 1.0, 0.25, 2.0, 1.0, 1.0, 0.5])
    known = with_weights(targets, each)
    recipe = Recipe(mix=name, mix_alpha=1.0, loss=loss)
    wanted = mixed(recipe, images, known)[1]
    assert wanted.shape == known.shape
    share = part_of_each(recipe, known)
    logits = torch.randn((8, 3), generator=torch.Generator().manual_seed(5))
    cost = build_loss(recipe, np.full(3, 0.3))
    by_part = [
        float(share[i, j]) * float(cost(logits[i : i + 1], known[j : j + 1]))
        for i in range(8) for j in range(8)
    ]  # fmt: skip
    assert float(cost(logits, wanted)) == pytest.approx(sum(by_part) / 8, rel=1e-4)
    assert float(wanted[:, 1].mean()) == pytest.approx(float((share @ known[:, 1]).mean()))


def test_a_mark_that_no_part_knows_weighs_nothing() -> None:
    targets = with_weights(torch.tensor([[1.0, torch.nan]] * 3), torch.ones(3))
    shares = torch.tensor([[0.3, 1.0, 0.0], [0.7, 0.0, 1.0]])
    found = mixed_targets(targets, shares)
    assert torch.equal(found, torch.tensor([[[1.0, 0.0], [1.0, 0.0]]] * 3))


@pytest.mark.parametrize("name", MIXES)
def test_without_a_mix_nothing_is_touched_and_none_draws_from_the_epochs_stream(name: str) -> None:
    images, targets = batch()
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    same = Mixing(Recipe())(images, targets, generator)
    assert same[0] is images
    assert same[1] is targets
    first = Mixing(Recipe(mix=name))(images, targets, generator)
    assert torch.equal(generator.get_state(), before)
    second = Mixing(Recipe(mix=name))(images, targets, generator)
    again = Mixing(Recipe(mix=name))(images, targets, torch.Generator().manual_seed(1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("name", MIXES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_batches_are_mixed_with_what_there_is(name: str, n: int) -> None:
    images, targets = batch(n)
    made, wanted = mixed(Recipe(mix=name), images, targets)
    assert made.shape == images.shape
    if n == 1:
        assert torch.allclose(made, images)
        assert torch.allclose(wanted, targets)


@pytest.mark.parametrize("alpha", [0.05, 0.4, 1.0, 10.0])
def test_shares_are_of_the_beta_distribution(alpha: float) -> None:
    uniform = torch.rand(5000, generator=torch.Generator().manual_seed(0))
    found = beta_quantiles(uniform, alpha)
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found[uniform.argsort()].diff() >= 0).all()
    for share in (0.001, 0.1, 0.5, 0.7, 0.999):  # as float32 many of a small alpha are 1
        below = float((found < share).float().mean())
        assert below == pytest.approx(beta(alpha, alpha).cdf(share), abs=0.02)
    last = torch.nextafter(torch.ones(1), torch.zeros(1))
    assert torch.isfinite(beta_quantiles(last, alpha)).all()


def test_alpha_acts_with_those_that_take_it() -> None:
    one, other = Recipe(mix="mosaic", mix_alpha=0.2), Recipe(mix="mosaic", mix_alpha=2.0)
    assert identity(one) == identity(other)
    assert effective(Recipe(mix_alpha=2.0)) == Recipe()
    assert identity(replace(one, mix="cutmix")) != identity(replace(other, mix="cutmix"))


@pytest.mark.usefixtures("tiny_model")
@pytest.mark.parametrize("name", MIXES)
def test_a_training_with_mixtures_is_gone_on_with_bit_for_bit(
    study: Any, tmp_path: Path, name: str
) -> None:
    recipe = Recipe(
        mix=name, erasing=0.5, trivial=0.5, rotation=5.0, start_size=0.5, epochs=3, batch_size=6,
        input_size=64, optimizer="sgd", schedule="constant", warmup=0.0, lr=2**-5,
    )  # fmt: skip

    def run(folder: Path, stop: int = 9, compute: ComputeOptions = CPU) -> Any:
        steps = train(recipe, study.data, seed=3, folder=folder, compute=compute, resamples=10)
        for _ in range(stop):
            try:
                next(steps)
            except StopIteration as end:
                return end.value
        return steps.close()

    whole = run(tmp_path / "whole")
    run(tmp_path / "cut", 1)
    cut = run(tmp_path / "cut")
    np.testing.assert_array_equal(whole.scores, cut.scores)
    graph = run(tmp_path / "graph", compute=replace(CPU, steps="graph"))
    assert not any("one by one" in note for note in graph.attrs["notes"])
    np.testing.assert_allclose(graph.scores, whole.scores, rtol=1e-5)
    plain = Learner(replace(recipe, mix="none"), study.data, seed=3, compute=CPU)
    drawn = torch.arange(6)
    pixels = torch.from_numpy(study.data.images[study.data.train[:6]].copy())
    images, targets = plain.batch(pixels, drawn, torch.Generator().manual_seed(1))
    mixing = Learner(recipe, study.data, seed=3, compute=CPU)
    made = mixing.batch(pixels, drawn, torch.Generator().manual_seed(1))
    both = Mixing(recipe)(images, targets, torch.Generator().manual_seed(1))
    assert torch.equal(made[0], both[0])  # what is mixed is what there was without
    assert torch.equal(made[1], both[1])
