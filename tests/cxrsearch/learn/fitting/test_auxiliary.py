from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.calibrate import Calibration
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.fitting.auxiliary import AuxiliaryHeads
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.pseudo import Pseudo
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import Labels, load_labels, save_labels
from cxrsearch.learn.saved.checkpoint import load_tensors
from cxrsearch.learn.student import Student
from cxrsearch.learn.train import train
from cxrsearch.study.label_genes import AtHand, read_space
from search.errors import SpaceError

pytestmark = pytest.mark.usefixtures("tiny_model")

ONE = ComputeOptions("cpu", threads=1)
CPU = torch.device("cpu")


def known_of(data: TrainData) -> TrainData:
    """``data`` with ages, sexes and views, some of them unknown."""
    rng = np.random.default_rng(5)
    n = len(data.names)
    values = np.column_stack(
        [rng.normal(50, 20, n), rng.random(n) < 0.5, rng.random(n) < 0.3, np.ones(n)]
    ).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    return replace(data, about=values, about_names=("age", "sex", "view AP", "view LL"))


def test_ages_are_standardised_and_what_does_not_differ_is_left_out(study: Any) -> None:
    data = known_of(study.data)
    heads = AuxiliaryHeads(data, CPU)
    assert heads.names == ("age", "sex", "view AP")
    known = heads.targets[:, 1] > 0
    ages = heads.targets[:, 0, 0][known[:, 0]]
    assert float(ages.mean()) == pytest.approx(0, abs=1e-5)
    assert float(ages.std()) == pytest.approx(1, rel=1e-5)
    assert float(heads.targets[:, 1].mean()) == pytest.approx(1, rel=1e-5)


def test_the_loss_is_the_mean_over_what_is_known(study: Any) -> None:
    heads = AuxiliaryHeads(known_of(study.data), CPU)
    outputs = torch.randn(len(heads.targets), 3, requires_grad=True)
    loss = heads.loss(outputs, heads.targets)
    costs = []
    for row, (targets, weights) in enumerate(heads.targets):
        for column in range(3):
            if weights[column]:
                z, t = outputs[row, column].detach(), targets[column]
                p = torch.sigmoid(z)
                crossed = -t * p.log() - (1 - t) * (1 - p).log()
                costs.append(float((z - t) ** 2 / 2 if column == 0 else crossed))
    assert float(loss.detach()) == pytest.approx(np.mean(costs), rel=1e-4)
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert ((gradient != 0) == (heads.targets[:, 1] > 0)).all()


def test_data_that_say_nothing_are_refused(study: Any, recipe: Recipe) -> None:
    with pytest.raises(InputError, match="neither age nor sex nor view"):
        Learner(replace(recipe, auxiliary=0.5), study.data, seed=0, compute=ONE)


def test_the_labels_start_from_the_same_weights_and_the_model_has_no_more_outputs(
    study: Any, recipe: Recipe
) -> None:
    data = known_of(study.data)
    plain = Learner(recipe, data, seed=0, compute=ONE)
    more = Learner(replace(recipe, auxiliary=0.5), data, seed=0, compute=ONE)
    assert more.model.state_dict()["net.classifier.weight"].shape == (17, 8)
    before = plain.weights()
    assert before.keys() == more.weights().keys()
    assert all(torch.equal(before[name], value) for name, value in more.weights().items())
    more.epoch(1)
    found = more.weights()
    network = build_model(recipe, n_classes=14)
    network.load_state_dict(found)
    assert found["net.classifier.bias"].shape == (14,)


def test_what_heads_learn_reaches_the_network_and_weight_0_of_everything_does_not(
    study: Any, recipe: Recipe
) -> None:
    recipe = replace(recipe, dropout=0.0)
    data = known_of(study.data)
    ends = {}
    for weight in (0.0, 0.5):
        learner = Learner(replace(recipe, auxiliary=weight), data, seed=0, compute=ONE)
        learner.epoch(1)
        ends[weight] = learner.weights()["net.conv.weight"]
    unknown = replace(data, about=np.full_like(data.about, np.nan))
    unknown.about[unknown.train[:2], 1] = [0.0, 1.0]  # two sexes are known, and none else
    learner = Learner(replace(recipe, auxiliary=1e-12), unknown, seed=0, compute=ONE)
    learner.epoch(1)
    assert not torch.allclose(ends[0.0], ends[0.5], atol=1e-5)
    torch.testing.assert_close(ends[0.0], learner.weights()["net.conv.weight"])


def test_a_training_with_them_is_scored_saved_and_judged_as_any_other(
    make_study: Callable[..., Any], recipe: Recipe, tmp_path: Path
) -> None:
    study = make_study(8)  # the whole validation part is scored by the weights that were kept
    running = train(
        replace(recipe, auxiliary=0.5), known_of(study.data), seed=3, compute=ONE,
        resamples=20, folder=tmp_path / "t",
    )  # fmt: skip
    while True:
        try:
            next(running)
        except StopIteration as stop:
            result = stop.value
            break
    assert result.scores.shape == (len(study.data.val), 14)
    kept = load_tensors(tmp_path / "t" / "best.safetensors")[0]
    assert kept["net.classifier.weight"].shape == (14, 8)


@pytest.mark.parametrize("kind", ["mean_teacher", "soft"])
def test_they_stand_beside_images_without_a_label(study: Any, recipe: Recipe, kind: str) -> None:
    data = known_of(study.data)
    rows = data.val
    rng = np.random.default_rng(0)
    scores = rng.random((len(rows), 14)).astype(np.float32)
    line = Calibration(*np.array([[1.0] * 14, [0.0] * 14, [0.5] * 14, [0.5] * 14]))
    pseudo = Pseudo(data.names[rows], scores, line, data.split, DISEASES)
    data = replace(data, pseudo=pseudo, pseudo_rows=rows)
    recipe = replace(recipe, pseudo=kind, pseudo_share=0.3, auxiliary=0.5)
    student = Student(recipe, data, seed=0, compute=ONE)
    assert student.targets.shape[1:] == (2, 17)
    assert not student.targets[len(data.train) :, 1, 14:].any()
    assert np.isfinite(student.epoch(1))


def test_what_is_known_is_kept_with_a_studys_labels(study: Any, tmp_path: Path) -> None:
    labels = Labels.of(study.dataset)
    assert labels.about is None
    save_labels(tmp_path / "none.npz", labels)
    assert load_labels(tmp_path / "none.npz").about is None
    values = np.array([[1.0, np.nan]] * len(labels.names), np.float32)
    some = replace(labels, about=values, about_names=("age", "sex"))
    save_labels(tmp_path / "some.npz", some)
    found = load_labels(tmp_path / "some.npz")
    assert found.about_names == ("age", "sex")
    np.testing.assert_array_equal(found.about, values)


def test_a_space_that_asks_for_them_needs_data_that_say_something(
    tiny_space: Path, tmp_path: Path
) -> None:
    asks = tiny_space.read_text() + "  auxiliary: 0.3\n"
    path = tmp_path / "asks.yaml"
    path.write_text(asks)
    assert read_space(path, AtHand(DISEASES, beside=("age",))).fixed["auxiliary"] == 0.3
    with pytest.raises(SpaceError, match="auxiliary: the data say neither age"):
        read_space(path, AtHand(DISEASES))
    gene = "genes:\n  auxiliary: {low: 0.0, high: 1.0, optional: true}"
    path.write_text(tiny_space.read_text().replace("genes:", gene))
    assert "auxiliary" in read_space(path, AtHand(DISEASES, beside=("age",))).genes
    assert "auxiliary" not in read_space(path, AtHand(DISEASES)).genes
