from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.errors import InputError
from cxrsearch.learn import session
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.networks.models import build_model, weights_problem
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved import checkpoint
from cxrsearch.learn.saved.arrays import load_arrays
from cxrsearch.model.pretrain_record import read_record
from cxrsearch.systems.pretrain import autoencoder, contrastive
from cxrsearch.systems.pretrain import run as pretrain_run
from cxrsearch.systems.pretrain.autoencoder import Autoencoder, AutoencoderTraining
from cxrsearch.systems.pretrain.contrastive import ContrastiveTraining, vicreg
from cxrsearch.systems.pretrain.run import PRETRAIN_METHODS, PretrainPlan, pretrain

ONE = ComputeOptions("cpu", threads=1)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder and an embedding of few channels, so that epochs take milliseconds."""
    monkeypatch.setattr(autoencoder, "WIDEST", 16)
    monkeypatch.setattr(contrastive, "EMBEDDING_SIZE", 32)


ABOUT = {"split": "here", "trained_on": "these", "unlabelled": 0}


def plan(method: str, **genes: Any) -> PretrainPlan:
    return PretrainPlan(
        method, **{"input_size": 32, "epochs": 3, "batch_size": 16, "lr": 0.01, **genes}
    )


def run(made: PretrainPlan, data: TrainData, folder: Path, **options: Any) -> list[Any]:
    options = {"seed": 4, "compute": ONE, "about": ABOUT, **options}
    return list(pretrain(made, data, folder=folder, **options))


@pytest.mark.usefixtures("tiny_model")
@pytest.mark.parametrize("method", ["autoencoder", "contrastive"])
def test_weights_come_out_under_the_networks_own_names(
    study: Any, tmp_path: Path, method: str
) -> None:
    progress = run(plan(method), study.data, tmp_path / "p")
    record = read_record(tmp_path / "p")
    assert [p.loss for p in progress] == record["losses"]
    assert record["image_steps"] == 3 * len(study.data.train)
    assert any(note.startswith("only 3 optimiser steps") for note in record["notes"])
    state = checkpoint.load_tensors(tmp_path / "p" / "weights.safetensors")[0]
    started = build_model(Recipe(init=str(tmp_path / "p" / "weights.safetensors")), n_classes=14)
    own = started.net.state_dict()
    assert set(own) - set(state) == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(own[name], value) for name, value in state.items())
    assert any("head" in note for note in started.notes)
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == [
        "pretraining.json", "samples.npz", "weights.safetensors",
    ]  # fmt: skip


@pytest.mark.usefixtures("tiny_model")
@pytest.mark.parametrize("method", ["autoencoder", "contrastive"])
def test_a_pretraining_cut_off_equals_an_uninterrupted_one(
    study: Any, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CHECKPOINT_SHARE", float("inf"))
    run(plan(method), study.data, tmp_path / "whole")
    first = pretrain(
        plan(method), study.data, folder=tmp_path / "cut", seed=4, compute=ONE,
        about=ABOUT,
    )  # fmt: skip
    next(first), next(first)
    first.close()
    assert (tmp_path / "cut" / "checkpoint.safetensors").exists()
    run(plan(method), study.data, tmp_path / "cut")
    one, other = (
        checkpoint.load_tensors(tmp_path / n / "weights.safetensors")[0] for n in ("whole", "cut")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert read_record(tmp_path / "cut")["losses"] == read_record(tmp_path / "whole")["losses"]


@pytest.mark.usefixtures("tiny_model")
def test_a_checkpoint_of_another_method_or_of_other_images_is_not_gone_on_with(
    study: Any, tmp_path: Path
) -> None:
    def cut(about: dict[str, Any], made: PretrainPlan) -> list[str]:
        running = pretrain(
            made, study.data, folder=tmp_path / "p", seed=4, compute=ONE, about=about
        )
        next(running)
        running.close()
        state = checkpoint.load(tmp_path / "p" / "checkpoint.safetensors")
        return [note for note in state["notes"] if "started over" in note]

    assert cut(ABOUT, plan("autoencoder")) == []
    assert len(cut({**ABOUT, "trained_on": "others"}, plan("autoencoder"))) == 1
    assert len(cut({**ABOUT, "trained_on": "others"}, plan("contrastive"))) == 1


@pytest.mark.usefixtures("tiny_model")
def test_memory_that_runs_out_halves_the_images_at_once(
    study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hungry(AutoencoderTraining):
        def step(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            if self.micro > 8:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().step(images, targets)

    monkeypatch.setitem(pretrain_run.PRETRAIN_METHODS, "autoencoder", Hungry)
    run(plan("autoencoder"), study.data, tmp_path / "p")
    assert any("8 from then on" in note for note in read_record(tmp_path / "p")["notes"])


@pytest.mark.usefixtures("tiny_model")
def test_a_diverged_pretraining_says_so(study: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nan"):
        run(plan("autoencoder", lr=9.0, weight_decay=10.0, epochs=40), study.data, tmp_path / "p")
    assert not (tmp_path / "p" / "weights.safetensors").exists()


@pytest.mark.usefixtures("tiny_model")
def test_the_autoencoder_learns_to_draw(study: Any, tmp_path: Path) -> None:
    progress = run(
        plan("autoencoder", epochs=15, lr=0.02, batch_size=4), study.data, tmp_path / "p"
    )
    assert progress[-1].loss < progress[0].loss / 2
    record = read_record(tmp_path / "p")
    assert 0.0 < record["held_out"]["explained"] <= 1
    samples = load_arrays(tmp_path / "p" / "samples.npz", ("originals", "drawings"))
    error = np.square(samples["originals"] / 255.0 - samples["drawings"] / 255.0).mean()
    assert error == pytest.approx(record["held_out"]["error"], rel=0.5)


def test_the_decoder_draws_at_any_size() -> None:
    model = Autoencoder(build_model(Recipe(input_size="48x80"), n_classes=14)).eval()
    assert model(torch.rand(1, 1, 48, 80)).shape == (1, 1, 48, 80)


def test_vicreg_is_what_the_paper_says() -> None:
    rng = torch.Generator().manual_seed(0)
    one, other = torch.randn(6, 4, generator=rng), torch.randn(6, 4, generator=rng)
    agree = spread = apart = 0.0
    for row, column in itertools.product(range(6), range(4)):
        agree += float((one[row, column] - other[row, column]) ** 2) / 24
    for z in (one.double().numpy(), other.double().numpy()):
        covariance = np.cov(z, rowvar=False)
        spread += np.maximum(0, 1 - np.sqrt(np.diag(covariance) + 1e-4)).mean() / 2
        apart += (covariance**2).sum() / 4 - (np.diag(covariance) ** 2).sum() / 4
    assert float(vicreg(one, other)) == pytest.approx(25 * agree + 25 * spread + apart, rel=1e-5)


def test_collapsed_embeddings_cost_more_than_spread_ones() -> None:
    spread = 1.5 * torch.randn(2000, 8, generator=torch.Generator().manual_seed(1))
    assert float(vicreg(spread, spread)) < 0.5
    assert float(vicreg(torch.ones(64, 8), torch.ones(64, 8))) == pytest.approx(25 * 0.99, rel=1e-3)


@pytest.mark.usefixtures("tiny_model")
def test_views_differ_and_are_the_same_again_by_seed(study: Any) -> None:
    made = plan("contrastive").recipe
    training = ContrastiveTraining(made, study.data, seed=1, compute=ONE)
    pixels, index = torch.full((4, 32, 32), 90, dtype=torch.uint8), torch.arange(4)
    pixels[:, 8:20, 8:20] = 200
    one, other = training.batch(pixels, index, torch.Generator().manual_seed(3))
    assert not torch.allclose(one, other, atol=0.02)
    again, _ = training.batch(pixels, index, torch.Generator().manual_seed(3))
    assert torch.equal(one, again)
    assert training.model(one).shape == (4, contrastive.EMBEDDING_SIZE)


@pytest.mark.usefixtures("tiny_model")
def test_the_head_is_not_trained(study: Any) -> None:
    training = AutoencoderTraining(plan("autoencoder").recipe, study.data, seed=1, compute=ONE)
    before = {k: v.clone() for k, v in training.model.state_dict().items()}
    training.epoch(1)
    after = training.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "encoder.net.conv.weight" in changed
    assert not any("classifier" in name for name in changed)


@pytest.mark.parametrize("model", ["densenet121", "vgg16"])
def test_real_networks_take_the_weights(model: str, study: Any, tmp_path: Path) -> None:
    made = plan("autoencoder", model=model).recipe
    training = AutoencoderTraining(made, study.data, seed=1, compute=replace(ONE, micro=4))
    checkpoint.save_tensors(tmp_path / "weights.safetensors", training.encoder_weights())
    assert weights_problem(Recipe(init=str(tmp_path / "weights.safetensors"), model=model)) is None


@pytest.mark.parametrize(
    ("method", "model"),
    [
        ("autoencoder", "resnet18"),
        ("contrastive", "resnet18"),
        ("autoencoder", "timm:vit_tiny_patch16_224"),
        ("contrastive", "timm:tf_efficientnet_lite0"),
    ],
)
def test_other_networks_learn_without_labels_and_give_all_but_their_head(
    method: str, model: str, study: Any
) -> None:
    made = plan(method, model=model).recipe
    training = PRETRAIN_METHODS[method](made, study.data, seed=1, compute=ONE)
    before = {k: v.clone() for k, v in training.encoder_weights().items()}
    assert math.isfinite(training.epoch(1))
    after, net = training.encoder_weights(), build_model(made, n_classes=2)
    head = {name for name in net.net.state_dict() if name.startswith(f"{net.head}.")}
    assert set(after) == set(net.net.state_dict()) - head
    assert not torch.equal(before[f"{net.stem}.weight"], after[f"{net.stem}.weight"])
