"""What is unknown counts nowhere in training: references over what is known alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.data.pixels.cache import Cache, open_cache
from cxrsearch.errors import InputError
from cxrsearch.learn import session
from cxrsearch.learn.calibrate import Calibration, calibrate
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.criterion import build_loss, known_weight, prevalence_of, with_weights
from cxrsearch.learn.data import TrainData, make_data
from cxrsearch.learn.losses import LOSSES
from cxrsearch.learn.pseudo import Pseudo, load_pseudo, save_pseudo
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import Labels, load_arrays
from cxrsearch.learn.saved.checkpoint import load_tensors
from cxrsearch.learn.student import Student
from cxrsearch.learn.train import Result, train

ONE = ComputeOptions("cpu", threads=1)
NAMES = ("Lung Opacity", "COVID-19", "Nodule/Mass")


def marked(seed: int = 0, n: int = 12, k: int = 3, hidden: float = 0.3) -> np.ndarray:
    """Marks of which some are soft and some unknown."""
    rng = np.random.default_rng(seed)
    marks = (rng.random((n, k)) < 0.4).astype(np.float32)
    marks[rng.random((n, k)) < 0.15] = 0.25
    marks[rng.random((n, k)) < hidden] = np.nan
    return marks


def cost_of_one(recipe: Recipe, z: float, t: float, positive_weight: float) -> float:
    """The loss of one logit, in plain numbers."""
    t = t * (1 - recipe.label_smoothing) + recipe.label_smoothing / 2
    p = 1 / (1 + math.exp(-z))
    if recipe.loss == "focal":
        g = recipe.focal_gamma
        return -t * (1 - p) ** g * math.log(p) - (1 - t) * p**g * math.log(1 - p)
    if recipe.loss == "asymmetric":
        shifted = max(p - 0.05, 1e-8)
        return -t * (1 - p) ** recipe.gamma_positive * math.log(p) - (1 - t) * (
            shifted**recipe.gamma_negative
        ) * math.log(1 - shifted)
    weight = positive_weight if recipe.loss == "weighted_bce" else 1.0
    return -weight * t * math.log(p) - (1 - t) * math.log(1 - p)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "auc_margin"])
def test_a_loss_is_the_mean_over_what_is_known(loss: str, smoothing: float) -> None:
    marks, recipe = marked(), Recipe(loss=loss, label_smoothing=smoothing)
    logits = torch.randn(12, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    share = [np.mean([m for m in column if not np.isnan(m)]) for column in marks.T]
    np.testing.assert_allclose(prevalence_of(marks), share, rtol=1e-6)
    targets = torch.from_numpy(marks)
    weight = torch.full((12,), known_weight(targets))
    value = build_loss(recipe, prevalence_of(marks))(logits, with_weights(targets, weight))
    value.backward()
    expected = [
        cost_of_one(recipe, logits[i, c].item(), float(marks[i, c]), (1 - share[c]) / share[c])
        for i in range(12)
        for c in range(3)
        if not np.isnan(marks[i, c])
    ]
    assert float(value) == pytest.approx(np.mean(expected), rel=1e-4)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[torch.isnan(targets)] == 0).all()
    assert (logits.grad[~torch.isnan(targets)] != 0).all()


def test_a_mark_weighs_the_same_whatever_else_is_known_of_its_image() -> None:
    targets = torch.tensor([[1.0, torch.nan, torch.nan], [1.0, 0.0, 0.0]])
    logits = torch.zeros(2, 3, requires_grad=True)
    found = with_weights(targets, torch.full((2,), known_weight(targets)))
    build_loss(Recipe(), np.full(3, 0.5))(logits, found).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] == logits.grad[1, 0]
    assert known_weight(targets) == 6 / 4
    assert known_weight(torch.full((2, 2), torch.nan)) == 1.0


def test_calibration_is_fitted_to_what_is_known() -> None:
    rng = np.random.default_rng(0)
    scores, marks = rng.random((300, 3)), marked(1, 300)
    marks[:, 2] = np.nan
    found = calibrate(marks, scores, 0.6)
    for column in range(2):
        told = ~np.isnan(marks[:, column])
        plain = (marks[told, column] > 0.5)[:, None].astype(np.uint8)
        alone = calibrate(plain, scores[told][:, [column]], 0.6)
        for one, other in zip(found, alone, strict=True):
            np.testing.assert_array_equal(one[column], other[0])
    assert all(np.isnan(part[2]) for part in found)


# Trainings of a small study.


@pytest.fixture
def cache(study: Any, tmp_path: Path) -> Cache:
    return open_cache(study.dataset, 40, root=tmp_path / "cache", workers=1)


@pytest.fixture
def data_of(study: Any, cache: Cache) -> Callable[..., TrainData]:
    """The study's data with other marks."""

    def make(marks: np.ndarray, names: tuple[str, ...] = NAMES, **more: Any) -> TrainData:
        dataset = study.dataset
        labels = Labels(np.array(dataset.names), marks, dataset.patients, names, **more)
        return make_data(cache, labels, study.splits)

    return make


def trained(data: TrainData, recipe: Recipe, folder: Path) -> tuple[list[float], Result]:
    running = train(recipe, data, seed=3, folder=folder, compute=ONE, resamples=20)
    values = []
    while True:
        try:
            values.append(next(running).value)
        except StopIteration as stop:
            return values, stop.value


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / "best.safetensors")[0]


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def whole(study: Any, k: int) -> np.ndarray:
    """(n, k) marks that are all known, of both kinds in each part."""
    rng = np.random.default_rng(k)
    found = (rng.random((len(study.dataset.names), k)) < 0.5).astype(np.uint8)
    found[::2, 0], found[1::2, 0] = 0, 1
    return found


@pytest.mark.usefixtures("tiny_model")
def test_all_known_marks_train_the_same_to_the_last_bit_in_any_type(
    study: Any, data_of: Callable[..., TrainData], recipe: Recipe, tmp_path: Path
) -> None:
    marks = whole(study, 3)
    recipe = replace(recipe, loss="weighted_bce")
    values, result = trained(data_of(marks), recipe, tmp_path / "whole")
    again, other = trained(data_of(marks.astype(np.float32)), recipe, tmp_path / "float")
    assert values == again
    assert np.array_equal(result.scores, other.scores)
    assert result.attrs["intervals"] == other.attrs["intervals"]
    assert same(tmp_path / "whole", tmp_path / "float")


@pytest.mark.usefixtures("tiny_model")
@pytest.mark.parametrize("loss", list(LOSSES))
def test_hidden_marks_train_as_marks_of_weight_0_do(
    loss: str,
    study: Any,
    data_of: Callable[..., TrainData],
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marks = whole(study, 3).astype(np.float32)
    hidden = np.random.default_rng(1).random(marks.shape) < 0.3
    known = np.where(hidden, np.float32(np.nan), marks)
    recipe = replace(recipe, loss=loss, epochs=2, train_seed=1.0)
    data = data_of(known)
    values, result = trained(data, recipe, tmp_path / "hidden")
    assert np.isfinite(values).all()
    assert np.isfinite(result.scores).all()

    class Weighed(Learner):
        """Targets whose hidden marks are there, and weigh nothing."""

        def __init__(self, recipe: Recipe, data: TrainData, **options: Any) -> None:
            super().__init__(recipe, data, **options)
            there, mask = marks[study_rows], ~hidden[study_rows]
            scale = mask.size / mask.sum()
            pair = [torch.from_numpy(there), torch.from_numpy(mask * np.float32(scale))]
            self.targets = torch.stack(pair, dim=1)

    row_of = {name: row for row, name in enumerate(study.dataset.names)}
    study_rows = [row_of[name] for name in data.names[data.train].tolist()]
    monkeypatch.setattr("cxrsearch.learn.student.Learner", Weighed)
    again, other = trained(data, recipe, tmp_path / "weighed")
    assert values == again
    assert np.array_equal(result.scores, other.scores)
    assert same(tmp_path / "hidden", tmp_path / "weighed")


@pytest.mark.usefixtures("tiny_model")
@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_any_number_of_labels_trains_scores_and_is_gone_on_with(
    k: int,
    hide: bool,
    study: Any,
    data_of: Callable[..., TrainData],
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "CHECKPOINT_SHARE", math.inf)
    marks = whole(study, k).astype(np.float32)
    if hide:
        marks[::3, 0] = np.nan
    data = data_of(marks, NAMES[:k])
    values, result = trained(data, recipe, tmp_path / "whole")
    assert result.scores.shape == (len(data.val), k)
    assert list(result.attrs["auroc"]) == list(NAMES[:k])
    assert list(result.attrs["exposure"]) == [*NAMES[:k], "No Finding"]
    stored = load_arrays(tmp_path / "whole" / "val.npz", ("labels", "scores"))
    np.testing.assert_array_equal(stored["labels"], data.labels[data.val])
    first = train(recipe, data, seed=3, folder=tmp_path / "cut", compute=ONE, resamples=20)
    next(first)
    first.close()
    again, resumed = trained(data, recipe, tmp_path / "cut")
    assert values == again
    assert np.array_equal(result.scores, resumed.scores)
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert load_tensors(tmp_path / "cut" / "best.safetensors")[1]["labels"] == list(NAMES[:k])


# Uncertain marks.


def doubtful(study: Any) -> tuple[np.ndarray, np.ndarray]:
    """Marks, and which of them nobody was sure of."""
    marks = whole(study, 3).astype(np.float32)
    doubts = np.random.default_rng(2).random(marks.shape) < 0.3
    doubts[:, 0] = False
    marks[doubts] = np.nan
    return marks, doubts


@pytest.mark.usefixtures("tiny_model")
@pytest.mark.parametrize("policy", ["ignore", "positive", "negative", "soft"])
def test_uncertain_marks_count_in_training_as_the_gene_says_and_nowhere_else(
    policy: str,
    study: Any,
    data_of: Callable[..., TrainData],
    recipe: Recipe,
    tmp_path: Path,
) -> None:
    marks, doubts = doubtful(study)
    worth = {"ignore": np.nan, "positive": 1.0, "negative": 0.0, "soft": 0.5}[policy]
    data = data_of(marks, uncertain=doubts)
    recipe = replace(recipe, epochs=2)
    values, result = trained(data, replace(recipe, uncertain=policy), tmp_path / "gene")
    # The same, where the description says so and the recipe nothing.
    described = data_of(marks, uncertain=doubts, uncertain_as=(policy,) * 3)
    again, other = trained(described, recipe, tmp_path / "described")
    # The same, where the training part's marks had been so to begin with.
    settled = np.where(doubts, np.float32(worth), marks)
    rows = np.isin(study.dataset.names, study.splits.train)
    plain, third = trained(
        data_of(np.where(rows[:, None], settled, marks)), recipe, tmp_path / "plain"
    )
    assert values == again == plain
    assert np.array_equal(result.scores, other.scores)
    assert np.array_equal(result.scores, third.scores)
    assert result.attrs["exposure"] == third.attrs["exposure"]
    assert same(tmp_path / "gene", tmp_path / "plain")
    said = [note for note in result.attrs["notes"] if note.startswith("uncertain marks")]
    words = {"ignore": "ignored", "positive": "count as 1", "negative": "count as 0",
             "soft": "count as one half"}  # fmt: skip
    assert said == [f"uncertain marks of the training part: {doubts[rows].sum()} {words[policy]}"]


def test_each_label_has_a_policy_of_its_own(study: Any, data_of: Callable[..., TrainData]) -> None:
    marks, doubts = doubtful(study)
    data = data_of(marks, uncertain=doubts, uncertain_as=("ignore", "positive", "negative"))
    targets = data.targets("described")
    rows = doubts[np.isin(study.dataset.names, study.splits.train)]
    assert (targets[rows[:, 1], 1] == 1).all()
    assert (targets[rows[:, 2], 2] == 0).all()
    assert targets.dtype == np.uint8  # all known now
    counts = {"positive": rows[:, 1].sum(), "negative": rows[:, 2].sum()}
    assert data.uncertain_counts("described") == counts
    assert np.isnan(data.targets("ignore")[rows]).all()
    assert np.isnan(data.labels[data.val][doubts[16:28]]).all()


@pytest.mark.usefixtures("tiny_model")
def test_genes_that_do_nothing_with_the_data_say_so(
    study: Any, data_of: Callable[..., TrainData], recipe: Recipe
) -> None:
    recipe = replace(recipe, uncertain="soft", ratios=(("Hernia", 2.0), ("COVID_19", 2.0)))
    notes = Learner(recipe, data_of(whole(study, 3)), seed=1, compute=ONE).notes
    assert any("uncertain: soft does nothing" in note for note in notes)
    assert any("do nothing: Hernia" in note and "COVID" not in note for note in notes)


@pytest.mark.usefixtures("tiny_model")
@pytest.mark.parametrize("pseudo", ["hard", "soft", "mean_teacher"])
def test_pseudo_labels_and_a_mean_teacher_stand_beside_unknown_marks(
    pseudo: str, study: Any, cache: Cache, recipe: Recipe, tmp_path: Path
) -> None:
    marks, dataset = whole(study, 3).astype(np.float32), study.dataset
    marks[::4] = np.nan
    labels = Labels(np.array(dataset.names), marks, dataset.patients, NAMES)
    free = np.array(study.splits.test)
    rng = np.random.default_rng(0)
    line = Calibration(np.ones(3), np.zeros(3), np.full(3, 0.6), np.full(3, 0.4))
    scores = rng.random((len(free), 3)).astype(np.float32)
    said = Pseudo(free, scores, line, study.splits.fingerprint, label_names=NAMES)
    save_pseudo(tmp_path / "pseudo.npz", said)
    read = load_pseudo(tmp_path / "pseudo.npz")
    assert (read.label_names, read.fingerprint) == (NAMES, said.fingerprint)
    data = make_data(cache, labels, study.splits, pseudo=read)
    recipe = replace(recipe, pseudo=pseudo, pseudo_share=0.5, pseudo_weight=2.0)
    learner = Student(recipe, data, seed=1, compute=ONE)
    known = ~np.isnan(marks[:16])
    weight = learner.targets[:, 1].numpy()
    scale = known.size / known.sum()
    np.testing.assert_allclose(weight[:16], known * scale, rtol=1e-6)
    assert set(np.unique(weight[16:])) <= {np.float32(0), np.float32(2 * scale)}
    assert torch.isfinite(learner.targets).all()
    values, result = trained(data, recipe, tmp_path / "t")
    assert np.isfinite(values).all()
    assert np.isfinite(result.scores).all()


def test_pseudo_labels_of_other_labels_are_refused(study: Any, cache: Cache) -> None:
    line = Calibration(*np.zeros((4, 2)))
    said = Pseudo(np.array(study.splits.test), np.zeros((4, 2), np.float32), line, "s", ("A", "B"))
    with pytest.raises(InputError, match="pseudo-labels: of A, B, but the data have Atelectasis"):
        make_data(cache, Labels.of(study.dataset), study.splits, pseudo=said)


def test_an_objective_of_labels_that_are_not_there_is_refused(study: Any, cache: Cache) -> None:
    with pytest.raises(InputError, match="no label 'Mas'; they have Atelectasis"):
        make_data(cache, Labels.of(study.dataset), study.splits, ("Mas", "Mass"))
