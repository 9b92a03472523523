"""The GAN's training: what a step does, and that a run can be cut off anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cxrsearch.data.generated import png
from cxrsearch.learn.augment.frames import prepare, to_float
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.compute.precision import HALF_TYPES
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe
from cxrsearch.systems.gan import run as gan_run
from cxrsearch.systems.gan import training as gan
from cxrsearch.systems.gan.augment import BRIGHTNESS, CONTRAST, CUTOUT, DRAWS, SHIFT, diff_augment
from cxrsearch.systems.gan.features import FeatureNetwork
from cxrsearch.systems.gan.judge import Judge
from cxrsearch.systems.gan.networks import LATENT, Discriminator, Generator
from cxrsearch.systems.gan.run import GanRun, grid, look_epochs
from cxrsearch.systems.gan.training import GanTraining, generate, latents_of
from search.objective import TrialError
from search.reading import read_json

RECIPE = Recipe(input_size=32, epochs=3, batch_size=8, lr=1e-3, optimizer="adam",
                schedule="cosine", warmup=0.1, ema=0.9)  # fmt: skip
CPU = torch.device("cpu")
ONE = ComputeOptions("cpu", threads=1)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan, "CHANNELS", 2)
    monkeypatch.setattr(gan_run, "CHANNELS", 2)
    monkeypatch.setattr(gan_run, "JUDGED", 8)


@pytest.fixture
def data(make_study: Callable[..., Any]) -> Any:
    return make_study().data


def training(data: Any, micro: int = 8, precision: str = "float32") -> GanTraining:
    compute = replace(ONE, micro=micro, precision=precision)
    return GanTraining(RECIPE, data, seed=3, compute=compute)


def xray_like(count: int, size: int = 32) -> np.ndarray:
    """Images whose pixels go along with each other, which have few principal components."""
    rng = np.random.default_rng(0)
    waves = np.sin(np.linspace(0, 3, size)[:, None] * np.arange(1, 4))
    parts = rng.normal(size=(count, 3, 3))
    return 0.5 + 0.1 * np.einsum("hi,nij,wj->nhw", waves, parts, waves)


def begun(size: int) -> Generator:
    torch.manual_seed(0)
    generator = Generator(size, 2)
    generator.learn_axes(xray_like(200).reshape(200, -1))
    return generator


@pytest.mark.parametrize("size", [32, 64, 128])
def test_networks_fit_together_at_every_size(size: int) -> None:
    images = begun(size)(torch.randn(2, LATENT))
    assert images.shape == (2, 1, size, size)
    assert Discriminator(size, 2)(images).shape == (2,)


def test_the_generator_begins_with_the_spread_of_its_training_images() -> None:
    images = begun(32)(torch.randn(500, LATENT, generator=torch.Generator().manual_seed(1)))
    real = xray_like(500)
    np.testing.assert_allclose(images.detach().mean(dim=0)[0], real.mean(axis=0), atol=0.1)
    spread = float(images.detach().std(dim=0).mean())
    assert spread == pytest.approx(real.std(axis=0).mean(), rel=0.2)


@pytest.mark.parametrize("size", [32, 64])
def test_the_code_of_an_image_leads_back_to_it(size: int) -> None:
    generator = begun(size)
    images = torch.from_numpy(xray_like(20, size))[:, None].float()
    codes = generator.encode(images)
    assert codes.shape == (20, LATENT)
    assert 0.5 < codes[:, :5].std() < 2
    assert (codes[:, 9:] == 0).all()  # of components that there aren't
    assert (generator(codes) - images).abs().mean() < 0.05


def test_two_images_are_enough_to_begin_with() -> None:
    generator = Generator(32, 2)
    generator.learn_axes(xray_like(2).reshape(2, -1))
    assert torch.isfinite(generator(torch.randn(3, LATENT))).all()


def test_training_begins_with_the_components_of_the_images_trained_on(
    data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = training(data)._pair.generator
    images = to_float(prepare(data.images, data.train, RECIPE.crop, RECIPE.input_size))
    np.testing.assert_allclose(generator.mean, images.mean(dim=0).flatten(), atol=1e-5)
    codes = generator.encode(images)[:, : len(images) - 1]
    assert float(codes.square().mean()) == pytest.approx(1 - 1 / len(images), rel=0.01)
    monkeypatch.setattr(gan, "AXES_FROM", 5)
    few = training(data)._pair.generator
    assert int((few.axes.square().sum(dim=1) > 1e-6).sum()) == 4


def test_an_image_of_another_kind_has_a_code_that_ends() -> None:
    generator = begun(32)
    assert generator.encode(torch.full((1, 1, 32, 32), 100.0)).abs().max() == 8


def test_the_discriminator_sees_codes_too_and_learns_twice_as_fast(data: Any) -> None:
    learner = training(data)
    rates = [group["lr"] for group in learner.optimizer.param_groups]
    assert rates[1] == pytest.approx(gan.RATIO * rates[0])
    seen: list[torch.Tensor] = []
    learner._pair.generator.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    pixels = torch.arange(8 * 32 * 32).view(8, 32, 32).remainder(251).to(torch.uint8)
    images, targets = learner.batch(pixels, torch.arange(8), torch.Generator().manual_seed(2))
    learner.objective(learner.model, images, targets)
    codes = learner._pair.generator.encode(images)
    same = (seen[0] == codes).all(dim=1)
    assert same.tolist() == (gan._parted(targets)[0][:, LATENT] == 1).tolist()
    assert 0 < same.sum() < 8


def test_grey_beyond_black_and_white_is_cut_off() -> None:
    generator = Generator(32, 2)
    for mean, level in ((1.5, 255), (-0.5, 0)):
        generator.mean.fill_(mean)
        assert (generate(generator, latents_of(3, 0, "x"), CPU) == level).all()


@pytest.mark.parametrize(("name", "kind"), HALF_TYPES.items())
def test_in_half_precision_only_convolutions_are(data: Any, name: str, kind: torch.dtype) -> None:
    learner = training(data, precision=name)
    kinds: dict[str, torch.dtype] = {}
    generator = learner._pair.generator
    for name in ("start", "layers.0"):
        generator.get_submodule(name).register_forward_hook(
            lambda _, given, out, name=name: kinds.__setitem__(name, out.dtype)
        )
    with learner.precision():
        assert generator(torch.randn(2, LATENT)).dtype == torch.float32
    assert kinds == {"start": torch.float32, "layers.0": kind}
    before = learner.weights()
    assert np.isfinite(learner.epoch(1))
    after = learner.weights()
    for part in ("generator", "discriminator"):
        assert any(not torch.equal(after[n], before[n]) for n in after if n.startswith(part))


@pytest.mark.usefixtures("tiny_model")
def test_training_images_are_at_no_distance_from_themselves(data: Any) -> None:
    judge = judge_of(data)
    others = judge.distance(255 - judge.training).value
    assert abs(judge.distance(judge.training).value) < 0.2 * others


def test_the_generator_is_held_to_the_images_whose_codes_it_was_given(
    data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = training(data)
    pixels = torch.arange(8 * 32 * 32).view(8, 32, 32).remainder(251).to(torch.uint8)
    images, targets = learner.batch(pixels, torch.arange(8), torch.Generator().manual_seed(2))
    numbers = gan._parted(targets)[1]
    coded = numbers[:, LATENT] == 1
    assert 0 < coded.sum() < 8
    torch.testing.assert_close(
        numbers[coded, :LATENT], learner._pair.generator.encode(images)[coded]
    )
    assert numbers[coded, :LATENT].std() > 0.1
    loss = {}
    for hold in (0.0, 50.0):
        monkeypatch.setattr(gan, "HOLD", hold)
        loss[hold] = float(learner._generator_loss(images, targets).detach())
    made = learner._pair.generator(numbers[:, :LATENT])
    errors = (F.avg_pool2d(made, 2) - F.avg_pool2d(images, 2))[coded].square().mean(dim=(1, 2, 3))
    assert loss[50.0] - loss[0.0] == pytest.approx(
        float(50 * errors.detach().sum()) / 8 / gan.CODED, rel=1e-3
    )


def test_augmentation_moves_cuts_and_lets_gradients_through() -> None:
    images = torch.full((64, 1, 16, 16), 0.5, requires_grad=True)
    draws = torch.rand(64, DRAWS, generator=torch.Generator().manual_seed(0))
    draws[:, :2] = 0.5  # no change of tone
    changed = diff_augment(images, draws)
    dark = (changed == 0).float().mean(dim=(1, 2, 3))
    assert dark.max() <= CUTOUT**2 + 1 - (1 - SHIFT) ** 2 + 1e-6
    assert dark.min() >= (CUTOUT / 2) ** 2
    assert len(set(dark.tolist())) > 20  # each image its own
    changed.sum().backward()
    assert images.grad is not None
    assert images.grad.sum() == pytest.approx(float((changed != 0).sum()))


def test_augmentation_changes_the_tone_within_its_range() -> None:
    images = torch.rand(4, 1, 16, 16)
    draws = torch.full((4, DRAWS), 0.5)
    draws[:, 4:] = torch.tensor([0.0, 0.0])  # a corner is cut out
    draws[0, 0], draws[1, 0], draws[2, 1], draws[3, 1] = 0.0, 1.0, 0.0, 1.0
    kept, before = diff_augment(images, draws)[..., 8:, 8:], images[..., 8:, 8:]
    torch.testing.assert_close(kept[0], before[0] - BRIGHTNESS)
    torch.testing.assert_close(kept[1], before[1] + BRIGHTNESS)
    for place, factor in ((2, 1 - CONTRAST), (3, 1 + CONTRAST)):
        mean = images[place].mean()
        torch.testing.assert_close(kept[place], mean + factor * (before[place] - mean))


def test_micro_batches_give_the_gradients_of_the_whole_batch(data: Any) -> None:
    found: list[dict[str, Any]] = []
    for micro in (8, 3):
        learner = training(data, micro)
        pixels = torch.arange(8 * 32 * 32).view(8, 32, 32).remainder(251).to(torch.uint8)
        batch = learner.batch(pixels, torch.arange(8), torch.Generator().manual_seed(2))
        for loss in (partial(learner.objective, learner.model), learner._generator_loss):
            value = learner.gradients(loss, *batch)
            gradients = {name: p.grad for name, p in learner.model.named_parameters()
                         if p.grad is not None}  # fmt: skip
            found.append({"loss": value, **gradients})
    assert len(found[0]) < len(found[1])  # the generator has no part in the first
    for whole, cut in ((found[0], found[2]), (found[1], found[3])):
        assert whole.keys() == cut.keys()
        for name, value in whole.items():
            torch.testing.assert_close(value, cut[name], rtol=1e-3, atol=1e-5, msg=name)


def test_a_step_trains_both_networks_and_penalises_when_it_is_due(
    data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = training(data)
    due: list[int] = []
    penalty = learner._penalty

    def counted(images: torch.Tensor) -> torch.Tensor:
        due.append(learner.schedule.last_epoch)
        return penalty(images)

    monkeypatch.setattr(learner, "_penalty", counted)
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    losses = [learner.epoch(number) for number in range(1, 6)]
    assert np.isfinite(losses).all()
    assert np.isfinite(learner.generator_loss)
    assert due == [0, 8]
    changed = {name.split(".")[0] for name, value in learner.model.state_dict().items()
               if not torch.equal(value, before[name])}  # fmt: skip
    assert changed == {"generator", "discriminator"}
    assert all(p.requires_grad for p in learner.model.parameters())


def test_the_penalty_is_the_squared_slope_of_real_and_generated_images(data: Any) -> None:
    learner = training(data)
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    slopes = []
    for image in images:
        leaf = image[None].clone().requires_grad_()
        learner._pair.discriminator(leaf).sum().backward()
        slopes.append(float(leaf.grad.square().sum()))  # type: ignore[union-attr]
    wanted = gan.GAMMA / 2 * (np.mean(slopes[:2]) + np.mean(slopes[2:]))
    assert float(learner._penalty(images).detach()) == pytest.approx(wanted, rel=1e-4)


def judge_of(data: Any) -> Judge:
    torch.manual_seed(0)
    recipe = Recipe(input_size=32)
    features = FeatureNetwork(build_model(recipe, n_classes=14), recipe, CPU, "random")
    return Judge(features, np.asarray(data.images[data.train]),
                 np.asarray(data.images[data.val]), seed=1)  # fmt: skip


@pytest.mark.usefixtures("tiny_model")
def test_a_run_that_was_cut_off_equals_one_that_was_not(data: Any, tmp_path: Path) -> None:
    judge = judge_of(data)

    def run(folder: str) -> GanRun:
        return GanRun(RECIPE, data, judge, seed=5, folder=tmp_path / folder, compute=ONE)

    whole = run("whole")
    steps = list(whole.train())
    assert [step["epoch"] for step in steps] == [0, 1, 2, 3]
    for cut in (1, 2):
        going = run("cut").train()
        assert [next(going)["epoch"] for _ in range(cut + 1)] == list(range(cut + 1))
        going.close()
    again = run("cut")
    rest = list(again.train())
    assert [_timeless(step) for step in rest] == [_timeless(step) for step in steps]
    latents = latents_of(6, 0, "x")
    np.testing.assert_array_equal(
        generate(again.generator(), latents, CPU), generate(whole.generator(), latents, CPU)
    )
    assert (tmp_path / "cut" / "samples" / "00002.png").read_bytes() == (
        tmp_path / "whole" / "samples" / "00002.png"
    ).read_bytes()
    curve = read_json(tmp_path / "cut" / "curve.json")
    assert [_timeless(step) for step in curve] == [_timeless(step) for step in steps]


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "seconds"}


@pytest.mark.usefixtures("tiny_model")
def test_the_generator_that_stays_is_the_one_with_the_smallest_distance(
    data: Any, tmp_path: Path
) -> None:
    run = GanRun(RECIPE, data, judge_of(data), seed=5, folder=tmp_path, compute=ONE)
    steps = list(run.train())
    best = min(steps, key=lambda step: float(step["kid"]))
    assert (run.book["best_epoch"], run.book["best_kid"]) == (best["epoch"], best["kid"])
    images = generate(run.generator(), latents_of(8, 5, "looks"), CPU)
    assert (tmp_path / "samples" / f"{best['epoch']:05d}.png").read_bytes() == png(grid(images))


@pytest.mark.usefixtures("tiny_model")
def test_losses_that_are_not_finite_end_the_run(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GanTraining, "epoch", lambda self, number: float("nan"))
    run = GanRun(RECIPE, data, judge_of(data), seed=5, folder=tmp_path, compute=ONE)
    with pytest.raises(TrialError, match="losses of epoch 1"):
        list(run.train())


@pytest.mark.usefixtures("tiny_model")
def test_memory_that_runs_out_costs_an_epoch_and_no_step(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, failed = GanTraining.step, []

    def once(self: GanTraining, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.schedule.last_epoch == 3 and not failed:  # in the middle of epoch 2
            failed.append(self.micro)
            raise torch.OutOfMemoryError("out of memory")
        return step(self, images, targets)

    monkeypatch.setattr(GanTraining, "step", once)
    run = GanRun(RECIPE, data, judge_of(data), seed=5, folder=tmp_path, compute=ONE)
    assert [record["epoch"] for record in run.train()] == [0, 1, 2, 3]
    assert failed == [8]
    assert any("4 from then on" in note for note in run.session.notes)


def test_looks_are_few_and_include_both_ends() -> None:
    assert look_epochs(3) == [0, 1, 2, 3]
    assert look_epochs(120) == list(range(0, 121, 10))
    assert look_epochs(500)[-1] == 500
    assert len(look_epochs(997)) == 13


def test_the_first_latents_do_not_depend_on_how_many_are_asked_for() -> None:
    np.testing.assert_array_equal(latents_of(9, 1, "images")[:4], latents_of(4, 1, "images"))


def test_a_grid_puts_images_side_by_side() -> None:
    images = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    picture = grid(images, columns=2, rows=2)
    assert picture.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 0, 0], [2, 2, 0, 0]]
