from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.errors import InputError
from cxrsearch.learn import student as students
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.networks.models import build_model, weights_problem
from cxrsearch.learn.pixels import Shelf
from cxrsearch.learn.probe import learner as module
from cxrsearch.learn.probe.fitting import fit_layer
from cxrsearch.learn.probe.learner import Probe
from cxrsearch.learn.recipe import Recipe, as_trained, effective, identity
from cxrsearch.learn.saved.arrays import load_arrays
from cxrsearch.learn.saved.checkpoint import load_tensors
from cxrsearch.learn.train import train
from cxrsearch.model.folder import network_of
from search.objective import Step

pytestmark = pytest.mark.usefixtures("tiny_model")

ONE = ComputeOptions("cpu", threads=1, precision="float32")


@pytest.fixture
def weights(tiny_model: None, tmp_path: Path) -> Path:
    """A file of the tiny network with statistics and numbers of its own."""
    torch.manual_seed(5)
    state = build_model(Recipe(), n_classes=5).net.state_dict()
    state["norm.running_mean"].normal_()
    torch.save(state, tmp_path / "w.pth")
    return tmp_path / "w.pth"


@pytest.fixture
def probe(recipe: Recipe, weights: Path) -> Recipe:
    return replace(recipe, init=f"frozen-features:{weights}", weight_decay=0.1)


def run(data: TrainData, recipe: Recipe, folder: Path, **options: Any) -> tuple[list[Step], Any]:
    """Steps and result of a whole training."""
    options = {"seed": 3, "compute": ONE, "resamples": 20, **options}
    steps, running = [], train(recipe, data, folder=folder, **options)
    while True:
        try:
            steps.append(next(running))
        except StopIteration as stop:
            return steps, stop.value


def best(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / "best.safetensors")[0]


def test_a_probe_is_one_epoch_and_an_ordinary_model(
    study: Any, probe: Recipe, weights: Path, tmp_path: Path
) -> None:
    steps, result = run(study.data, probe, tmp_path / "t")
    assert [(step.number, step.last) for step in steps] == [(1, True)]
    assert result.attrs["epochs_run"] == 1
    layer = 8 * 14 + 14
    assert result.attrs["parameters"] == layer
    state, start = best(tmp_path / "t"), torch.load(weights, weights_only=True)
    for name, value in start.items():
        if not name.startswith("classifier"):
            assert torch.equal(state[f"net.{name}"], value), name
    model = network_of(probe, tmp_path / "t" / "best.safetensors", 14).eval()
    saved = load_arrays(tmp_path / "t" / "val.npz", ("scores",))["scores"]
    with torch.inference_mode():
        pixels = module.Pixels(study.data, study.data.val, as_trained(probe), torch.device("cpu"))
        batch = next(pixels.batches(np.arange(len(pixels)), [slice(0, len(pixels))]))[0]
        found = torch.sigmoid(model(batch[:, None].float() / 255)).numpy()
    np.testing.assert_allclose(saved, found, rtol=1e-4, atol=1e-5)


def learner_of(data: TrainData, recipe: Recipe, **compute: Any) -> Probe:
    return Probe(as_trained(recipe), data, seed=3, compute=replace(ONE, **compute))


def test_its_layer_is_the_regression_on_the_features_of_the_training_part(
    study: Any, probe: Recipe
) -> None:
    learner = learner_of(study.data, probe)
    learner.epoch(1)
    features = learner._computed().numpy()[np.isin(learner._pool, study.data.train)]
    order = np.argsort(study.data.train)
    marks = study.data.targets(probe.uncertain)[order].astype(float)
    found = fit_layer(features, marks, 0.1)
    layer = module.last_linear(learner.model)
    np.testing.assert_allclose(layer.weight.detach().numpy(), found.weights, rtol=1e-3, atol=1e-5)


def test_unknown_marks_weigh_nothing(study: Any, probe: Recipe) -> None:
    labels = study.data.labels.astype(np.float32).copy()
    labels[study.data.train[::3], 0] = np.nan
    some = replace(study.data, labels=labels)
    learner, whole = learner_of(some, probe), learner_of(study.data, probe)
    assert np.isfinite(learner.epoch(1))
    whole.epoch(1)
    mine, other = (module.last_linear(each.model).weight for each in (learner, whole))
    assert not torch.equal(mine[0], other[0])
    torch.testing.assert_close(mine[1:], other[1:], rtol=1e-3, atol=1e-4)


def test_only_the_labels_to_learn_are_fitted(study: Any, probe: Recipe) -> None:
    learner = learner_of(replace(study.data, learnt=(2, 5)), probe)
    learner.epoch(1)
    layer = module.last_linear(learner.model)
    assert torch.nonzero(layer.weight.abs().sum(dim=1)).flatten().tolist() == [2, 5]


def test_the_number_of_images_at_once_does_not_matter(study: Any, probe: Recipe) -> None:
    few, many = learner_of(study.data, probe, micro=2), learner_of(study.data, probe)
    few.epoch(1), many.epoch(1)
    assert few.micro == 2
    mine, other = (module.last_linear(each.model).weight for each in (few, many))
    torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)


def test_memory_that_runs_out_halves_what_goes_at_once(
    study: Any, probe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = Probe._computed

    def scarce(self: Probe) -> torch.Tensor:
        if self.micro > 4:
            raise torch.OutOfMemoryError("out of memory")
        return computed(self)

    monkeypatch.setattr(Probe, "_computed", scarce)
    _, result = run(study.data, probe, tmp_path / "t")
    assert result.attrs["micro_batch"] <= 4
    assert any("out of memory" in note for note in result.attrs["notes"])


def test_a_probe_cut_off_equals_one_that_was_not(study: Any, probe: Recipe, tmp_path: Path) -> None:
    steps, whole = run(study.data, probe, tmp_path / "whole")
    first = train(probe, study.data, folder=tmp_path / "cut", seed=3, compute=ONE, resamples=20)
    next(first)
    first.close()
    assert (tmp_path / "cut" / "checkpoint.safetensors").exists()
    again, result = run(study.data, probe, tmp_path / "cut")
    assert result.value == whole.value
    assert len(again) == len(steps) == 1
    one, other = best(tmp_path / "whole"), best(tmp_path / "cut")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that features are computed."""
    found: list[int] = []
    computed = Probe._computed

    def counted(self: Probe) -> torch.Tensor:
        found.append(len(self._pool))
        return computed(self)

    monkeypatch.setattr(Probe, "_computed", counted)
    return found


def test_features_are_computed_once_for_all_trials_of_the_same_network(
    study: Any, probe: Recipe, tmp_path: Path, passes: list[int]
) -> None:
    (tmp_path / "own").mkdir()
    data = replace(study.data, shelf=Shelf(tmp_path / "own" / "prepared"))
    values = {
        decay: run(data, replace(probe, weight_decay=decay), tmp_path / str(decay))[1].value
        for decay in (0.01, 1.0)
    }
    assert passes == [len(data.train) + len(data.val)]
    alone = run(study.data, replace(probe, weight_decay=1.0), tmp_path / "alone")[1]
    assert alone.value == values[1.0]
    run(data, replace(probe, input_size=24), tmp_path / "size")
    assert len(passes) == 3
    kept = sorted((tmp_path / "own" / "features").glob("*.safetensors"))
    assert len(kept) == 2
    kept[0].write_bytes(b"damaged")
    kept[1].write_bytes(b"damaged")
    run(data, replace(probe, weight_decay=2.0), tmp_path / "again")
    assert len(passes) == 4


def test_the_winner_is_fitted_on_training_and_validation_from_the_same_features(
    study: Any, probe: Recipe, tmp_path: Path, passes: list[int]
) -> None:
    (tmp_path / "own").mkdir()
    data = replace(study.data, shelf=Shelf(tmp_path / "own" / "prepared"))
    learner_of(data, probe).epoch(1)
    every = data.with_validation_for_training()
    session = students.classifier_session(
        probe, every, seed=3, folder=tmp_path / "final", compute=ONE
    )
    assert np.isfinite(session.work(lambda: session.learner.epoch(1)))
    assert isinstance(session.learner, Probe)
    assert len(passes) == 1


def test_genes_that_cannot_act_are_idle(weights: Path) -> None:
    init = f"frozen-features:{weights}"
    plain = Recipe(init=init, weight_decay=0.3, input_size=96)
    busy = replace(
        plain, lr=0.1, epochs=40, rotation=10.0, dropout=0.5, ema=0.99, batch_size=8, freeze=3,
        loss="focal", train_seed=0.5, patience=3,
    )  # fmt: skip
    assert identity(busy) == identity(plain)
    assert effective(busy).epochs == 1
    for acting in ({"weight_decay": 0.1}, {"input_size": 64}, {"loss": "weighted_bce"}):
        assert identity(replace(plain, **acting)) != identity(plain)
    assert as_trained(Recipe(epochs=4)) == Recipe(epochs=4)


def test_what_cannot_be_frozen_is_said_before_any_trial(tmp_path: Path) -> None:
    assert "random weights say little" in str(weights_problem(Recipe(init="frozen-features:none")))
    gone = weights_problem(Recipe(init=f"frozen-features:{tmp_path / 'gone.pth'}"))
    assert "no weights file" in str(gone)


def test_random_layers_between_features_and_logits_are_refused(
    tmp_path: Path, recipe: Recipe
) -> None:
    state = build_model(Recipe(model="vgg16", vgg_head="pooled"), n_classes=2).net.state_dict()
    torch.save(state, tmp_path / "v.pth")
    init = f"frozen-features:{tmp_path / 'v.pth'}"
    assert "classifier.0.weight" in str(weights_problem(Recipe(model="vgg16", init=init)))
    pooled = Recipe(model="vgg16", vgg_head="pooled", init=init)
    assert weights_problem(pooled) is None


def test_features_that_are_not_finite_are_bad_input(study: Any, probe: Recipe) -> None:
    learner = learner_of(study.data, probe)
    with torch.no_grad():
        learner.model.get_parameter("net.conv.weight").fill_(float("inf"))
    with pytest.raises(InputError, match="not finite"):
        learner.epoch(1)
