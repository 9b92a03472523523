from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cxrsearch.learn.augment.mixing import Mixing
from cxrsearch.learn.calibrate import Calibration
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.criterion import build_loss, with_weights
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.mixes import MIXES
from cxrsearch.learn.optim import EMA
from cxrsearch.learn.pseudo import Pseudo
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.student import Student, ramp
from cxrsearch.learn.train import train

CPU = ComputeOptions("cpu")
LOSSES = ("bce", "weighted_bce", "focal", "asymmetric")

pytestmark = pytest.mark.usefixtures("tiny_model")


@pytest.fixture
def data(make_study: Callable[..., Any]) -> TrainData:
    """A study whose test images are taken for unlabelled ones."""
    found: TrainData = make_study().data
    rows = np.arange(28, 36)
    scores = np.random.default_rng(0).random((8, 14)).astype(np.float32)
    line = Calibration(np.ones(14), np.zeros(14), np.full(14, 0.6), np.full(14, 0.4))
    pseudo = Pseudo(found.names[rows], scores, line, found.split, found.label_names)
    return replace(found, pseudo=pseudo, pseudo_rows=rows)


def _run(recipe: Recipe, data: TrainData, folder: Path, stop: int = 99) -> Any:
    """The result, or None where training is cut off after ``stop`` epochs."""
    steps = train(recipe, data, seed=3, folder=folder, compute=CPU, resamples=10)
    for _ in range(stop):
        try:
            next(steps)
        except StopIteration as end:
            return end.value
    steps.close()
    return None


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_one_change_nothing_and_unknown_labels_weigh_nothing(loss: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((6, 14), generator=generator)
    targets = (torch.rand((6, 14), generator=generator) < 0.4).float()
    call = build_loss(Recipe(loss=loss, label_smoothing=0.1), np.full(14, 0.2))
    plain = call(logits, targets)
    assert call(logits, with_weights(targets, torch.ones(6))) == pytest.approx(float(plain))
    half = targets.clone()
    half[3:] = torch.nan
    weighed = call(logits, with_weights(half, torch.ones(6)))
    assert float(weighed) == pytest.approx(float(call(logits[:3], targets[:3])) / 2)
    double = call(logits, with_weights(half, torch.full((6,), 2.0)))
    assert float(double) == pytest.approx(2 * float(weighed))


def test_the_losses_of_labelled_images_are_what_they_were_bit_for_bit() -> None:
    logits, targets = torch.randn(7, 14), (torch.rand(7, 14) < 0.3).float()
    plain = F.binary_cross_entropy_with_logits(logits, targets)
    assert build_loss(Recipe(), np.full(14, 0.3))(logits, targets) == plain


def test_disagreeing_with_a_teacher_costs_the_squared_distance() -> None:
    logits, agreed = torch.zeros(2, 14), torch.full((2, 14), 0.75)
    known = with_weights(torch.full((2, 14), torch.nan), torch.ones(2))
    rows = torch.cat([known, agreed[:, None], torch.full((2, 1, 14), 8.0)], dim=1)
    loss = build_loss(Recipe(), np.full(14, 0.2))(logits, rows)
    assert float(loss) == pytest.approx(8 * 0.25**2)


@pytest.mark.parametrize("kind", ["hard", "soft", "calibrated"])
def test_an_epoch_draws_all_images_and_their_pseudo_labels(data: TrainData, kind: str) -> None:
    recipe = Recipe(epochs=2, batch_size=5, input_size=32, pseudo=kind, pseudo_weight=0.5)
    student = Student(recipe, data, seed=1, compute=CPU)
    drawn = student.draw(1)
    assert len(drawn) == student.images_per_epoch == len(set(drawn.tolist()))
    rows = student.rows(data)
    assert set(rows[:16].tolist()) == set(data.train.tolist())
    assert set(rows[16:].tolist()) <= set(range(28, 36))
    assert not np.array_equal(drawn, student.draw(2))
    weights = student.targets[:, 1]
    assert (weights[:16] == 1).all()
    assert set(weights[16:].unique().tolist()) == {0.0, 0.5}
    labels = student.targets[:16, 0].numpy()
    np.testing.assert_array_equal(labels, data.labels[data.train])
    assert student.sampler.exposure(student.sampler.draw(1))["Hernia"] == 0


@pytest.mark.parametrize("kind", ["hard", "mean_teacher"])
@pytest.mark.parametrize("loss", ["bce", "focal"])
def test_a_student_of_one_disease_learns_that_one_alone(
    data: TrainData, kind: str, loss: str
) -> None:
    recipe = Recipe(epochs=1, batch_size=8, input_size=32, pseudo=kind, loss=loss)
    one = replace(data, columns=(3,), learnt=(3,))
    student = Student(recipe, one, seed=1, compute=CPU)
    np.testing.assert_array_equal(student.targets[:16, 0, 0].numpy(), data.labels[data.train][:, 3])
    rows = torch.arange(8)
    pixels = torch.from_numpy(data.images[student.rows(one)[:8]].copy())
    images, targets = student.batch(pixels, rows, torch.Generator().manual_seed(0))
    assert targets.shape == (8, 2 if kind == "hard" else 4, 1)
    student.objective(student.model, images, targets).backward()
    slopes = student.model.net.classifier.weight.grad.abs().sum(dim=1)
    assert slopes[3] > 0
    assert slopes.sum() == slopes[3]


def test_a_share_of_the_images_is_drawn_of_both_kinds(data: TrainData) -> None:
    recipe = Recipe(train_seed=0.5, input_size=32, pseudo="mean_teacher", batch_size=4)
    student = Student(recipe, data, seed=1, compute=CPU)
    drawn = student.draw(1)
    assert ((drawn < 16).sum(), (drawn >= 16).sum()) == (8, 4)


def test_a_student_cut_off_and_gone_on_with_equals_one_that_was_not(
    data: TrainData, recipe: Recipe, tmp_path: Path
) -> None:
    recipe = replace(recipe, pseudo="mean_teacher", ema=0.0)
    whole = _run(recipe, data, tmp_path / "whole")
    assert _run(recipe, data, tmp_path / "cut", stop=2) is None
    again = _run(recipe, data, tmp_path / "cut")
    np.testing.assert_array_equal(again.scores, whole.scores)
    assert whole.attrs["images_seen"] == 3 * (13 + 6)  # four fifths of 16, and of 8


def test_pseudo_labels_of_another_teacher_start_the_training_over(
    data: TrainData, recipe: Recipe, tmp_path: Path
) -> None:
    recipe = replace(recipe, pseudo="hard")
    _run(recipe, data, tmp_path, stop=2)
    assert data.pseudo is not None
    other = replace(data, pseudo=replace(data.pseudo, scores=1 - data.pseudo.scores))
    notes = _run(recipe, other, tmp_path).attrs["notes"]
    assert any("started over" in note for note in notes)


def test_a_recipe_without_pseudo_labels_trains_as_if_there_were_none(
    data: TrainData, recipe: Recipe, tmp_path: Path
) -> None:
    with_them = _run(recipe, data, tmp_path / "with")
    without = _run(recipe, replace(data, pseudo=None, pseudo_rows=None), tmp_path / "without")
    np.testing.assert_array_equal(with_them.scores, without.scores)


def test_pseudo_labels_teach(data: TrainData, tmp_path: Path) -> None:
    """A training part in which nobody is sick learns from pseudo-labels alone."""
    assert data.pseudo is not None
    sick = np.arange(28, 36) % 3 == 0
    scores = np.where(sick, 0.9, 0.1)[:, None].repeat(14, axis=1).astype(np.float32)
    labels = data.labels.copy()
    labels[data.train] = 0
    blind = replace(data, labels=labels, pseudo=replace(data.pseudo, scores=scores))
    recipe = Recipe(
        epochs=10, batch_size=4, input_size=32, lr=0.02, schedule="constant", warmup=0.0,
        pseudo="hard", pseudo_share=0.375, pseudo_weight=5.0,
    )  # fmt: skip
    assert _run(recipe, blind, tmp_path / "hard").value > 0.9


@pytest.mark.parametrize("mix", MIXES)
def test_a_mixture_is_to_agree_with_the_mixture_of_what_the_teacher_says(
    data: TrainData, mix: str
) -> None:
    recipe = Recipe(epochs=2, batch_size=8, input_size=32, pseudo="mean_teacher", mix=mix)
    student = Student(recipe, data, seed=1, compute=CPU)
    pixels = torch.from_numpy(data.images[student.rows(data)[12:20], :32, :32].copy())
    rows = torch.arange(12, 20)  # some labelled, some not
    parts, said = student.labelled(pixels, rows, torch.Generator().manual_seed(2))
    images, targets = student.batch(pixels, rows, torch.Generator().manual_seed(2))
    mixed, wanted = Mixing(recipe)(parts, said, torch.Generator().manual_seed(2))
    assert torch.equal(images, mixed)
    assert torch.equal(targets, wanted)
    assert targets.shape == said.shape == (8, 4, 14)
    assert torch.allclose(targets[:, 3], said[:, 3])  # disagreeing costs what it did
    low, high = said[:, 2].min(dim=0).values, said[:, 2].max(dim=0).values
    assert (targets[:, 2] >= low - 1e-6).all()
    assert (targets[:, 2] <= high + 1e-6).all()
    student.objective(student.model, images, targets).backward()


def test_the_teacher_is_the_average_and_follows_it(data: TrainData) -> None:
    recipe = Recipe(epochs=2, batch_size=5, input_size=32, pseudo="mean_teacher", lr=0.1)
    student = Student(recipe, data, seed=1, compute=CPU)
    teacher, average = student._teacher, student.average
    assert isinstance(average, EMA)
    assert teacher is not None
    student.epoch(1)
    with average.applied(student.model):
        wanted = {k: v.clone() for k, v in student.model.state_dict().items()}
    for name, value in teacher.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=0)
    own = student.model.state_dict()
    assert not all(torch.equal(own[name], value) for name, value in wanted.items())
    assert not any(p.requires_grad for p in teacher.parameters())


def test_disagreement_counts_more_and_more(
    data: TrainData, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(
        epochs=10, batch_size=6, input_size=32, pseudo="mean_teacher", pseudo_weight=4.0
    )
    student = Student(recipe, data, seed=1, compute=CPU)
    seen: list[float] = []
    keep = Learner.objective

    def objective(self: Learner, network: Any, images: Tensor, targets: Tensor) -> Tensor:
        assert targets.shape[1:] == (4, 14)
        seen.append(float(targets[0, 3, 0]))
        return keep(self, network, images, targets)

    monkeypatch.setattr(Learner, "objective", objective)
    for number in range(1, 6):
        student.epoch(number)
    assert seen == sorted(seen)
    assert seen[0] == pytest.approx(4 * ramp(0), rel=1e-6)
    assert seen[-1] == 4.0
