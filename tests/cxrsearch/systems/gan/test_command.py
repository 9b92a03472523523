"""`cxrsearch pretrain gan` as a user meets it: folders, refusals, going on, images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.generated import check_generated
from cxrsearch.data.read import read_dataset
from cxrsearch.errors import InputError
from cxrsearch.learn.augment.frames import prepare
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.networks import models
from cxrsearch.learn.networks.architectures import NetworkParts
from cxrsearch.learn.networks.head import DropoutLinear
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.networks.stem import GreyStem
from cxrsearch.learn.recipe import Recipe
from cxrsearch.model.folder import ModelMeta, load_model, save_model
from cxrsearch.systems.gan import command as app
from cxrsearch.systems.gan import run as gan_run
from cxrsearch.systems.gan import training as gan
from cxrsearch.systems.gan.cli import gan as command
from cxrsearch.systems.gan.command import pretrain_gan
from cxrsearch.systems.gan.features import load_features
from cxrsearch.systems.gan.settings import GanSettings
from cxrsearch.systems.pretrain.command import PretrainImages, read_pool
from cxrsearch.writing import alone
from search.reading import read_json

CPU = ComputeOptions("cpu")

Run = Callable[..., tuple[int, str, str]]


class _Net(nn.Module):
    """What is called densenet121 here: a layer, and the one that gives logits."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = GreyStem(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False))
        self.classifier = DropoutLinear(8, n_classes, 0.0)

    def features(self, grey: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.stem(grey).relu()
        return out

    def forward(self, grey: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.classifier(self.features(grey).mean(dim=(2, 3)))
        return out


def _build(n_classes: int) -> NetworkParts:
    net = _Net(n_classes)
    return NetworkParts(net, [[net.stem]], "stem", _Net.features)


@pytest.fixture(scope="module", autouse=True)
def _small() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setitem(models.NETWORKS, "densenet121", _build)
    for module in (gan, gan_run):
        patch.setattr(module, "CHANNELS", 2)
    for module in (gan_run, app):
        patch.setattr(module, "JUDGED", 8)
    patch.setattr(app, "FINAL", 12)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose network has learnt nothing."""
    torch.manual_seed(0)
    recipe, meta = Recipe(input_size=32), ModelMeta(32, "data", "split", DISEASES)
    folder = tmp_path_factory.mktemp("model") / "model"
    save_model(folder, build_model(recipe, n_classes=14), recipe, meta)
    return folder


@pytest.fixture(scope="module")
def settings(xrays: Path, model: Path) -> GanSettings:
    return GanSettings(data=str(xrays), size=32, epochs=1, batch_size=16, device="cpu",
                       features=str(model))  # fmt: skip


@pytest.fixture(scope="module")
def finished(settings: GanSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained GAN with 3 images. Read only: copy it to change it."""
    out = tmp_path_factory.mktemp("gan") / "finished"
    list(pretrain_gan(settings, out, 3))
    return out


def pool_of(settings: GanSettings) -> PretrainImages:
    unlabelled = Path(settings.unlabelled) if settings.unlabelled else None
    return read_pool(settings.of_data(), settings.plan(), unlabelled)


def _words(settings: GanSettings, out: Path, *more: object) -> list[object]:
    return ["pretrain", "gan", "--data", settings.data, "--out", out, "--size", settings.size,
            "--epochs", settings.epochs, "--batch-size", settings.batch_size, "--device", "cpu",
            "--features", settings.features, *more]  # fmt: skip


def test_a_finished_gan_has_all_its_files(finished: Path) -> None:
    judged = read_json(finished / "judged.json")
    assert judged["looks"] == 2
    assert 0 <= judged["copies"]["suspects"] <= 1
    known = read_json(finished / "references.json")["distances"]
    assert set(known) == {"noise", "mean image", "gaussian", "held-out"}
    assert known["noise"]["kid"] > known["held-out"]["kid"]
    assert not list(finished.glob("*checkpoint*"))
    names = sorted(path.name for path in (finished / "generated").iterdir())
    assert names == [*(f"gan-0-00000{n}.png" for n in (1, 2, 3)), "provenance.json"]
    with Image.open(finished / "generated" / names[0]) as image:
        assert (image.size, image.mode) == ((32, 32), "L")
        assert "shows no patient" in image.text["Comment"]


def test_the_command_goes_on_with_what_is_there_and_adds_images(
    finished: Path, settings: GanSettings, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "gan"
    shutil.copytree(finished, out)
    first = (out / "generated" / "gan-0-000002.png").read_bytes()
    (out / "generated" / "gan-0-000002.png").unlink()
    code, said, _ = run(*_words(settings, out, "--images", 5))
    assert code == 0
    assert "epoch" not in said
    assert "images: 3 of 3 written" in said
    assert (out / "generated" / "gan-0-000002.png").read_bytes() == first
    assert len(list((out / "generated").glob("*.png"))) == 5
    assert (out / "gan.html").exists()


def test_a_run_that_was_stopped_goes_on_to_the_same_images(
    finished: Path, settings: GanSettings, tmp_path: Path
) -> None:
    out = tmp_path / "gan"
    lines = pretrain_gan(settings, out, 3)
    for line in lines:
        if line.startswith("epoch 0"):
            break
    lines.close()
    assert not (out / "judged.json").exists()
    list(pretrain_gan(settings, out, 3))
    for name in ("gan-0-000001.png", "gan-0-000003.png"):
        again = (out / "generated" / name).read_bytes()
        assert again == (finished / "generated" / name).read_bytes()


def test_every_option_of_the_command_is_explained(run: Run) -> None:
    code, said, _ = run("pretrain", "gan", "--help")
    assert code == 0
    assert "Examples:" in said
    assert "gan" in run("pretrain", "--help")[1]
    silent = [option.name for option in command.params if not getattr(option, "help", None)]
    assert silent == []


def test_copies_are_said_to_be_looked_for_among_some_where_there_are_more() -> None:
    copies = {"suspects": 0.0, "copies": False, "among": 2000, "training_images": 90_000}
    record = {"epoch": 1, "looks": 2, "images": 500, "kid": 0.1, "interval": [0.0, 0.2]}
    said = app.describe_verdict({**record, "copies": copies})
    assert "among 2,000 of 90,000 training images" in said
    every = {**copies, "training_images": 2000}
    assert "among" not in app.describe_verdict({**record, "copies": every})


def test_stopping_by_hand_says_how_to_go_on(
    settings: GanSettings, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "pretrain_gan", stopped)
    code, _, said = run(*_words(settings, tmp_path / "gan"))
    assert (code, "the same command goes on" in said) == (130, True)


def test_other_settings_are_refused_all_at_once(
    finished: Path, settings: GanSettings, run: Run
) -> None:
    before = (finished / "gan.json").read_bytes()
    code, _, said = run(*_words(settings, finished, "--lr", 0.5, "--seed", 3))
    assert code == 2
    assert "--lr 0.5: begun with 0.004" in said
    assert "--seed 3: begun with 0" in said
    assert (finished / "gan.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 48}, "--size 48: one of 32, 64, 128, 256"),
        ({"epochs": 0}, "--epochs 0"),
        ({"batch_size": 1}, "--batch-size 1"),
        ({"lr": 2.0}, "--lr 2.0"),
        ({"test_share": 2.0}, "--test-share 2.0"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"unlabelled": "/nowhere"}, "--unlabelled"),
        ({"features": "/nowhere"}, "/nowhere"),
        ({"data": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_cannot_work_is_refused_before_a_folder_is_made(
    settings: GanSettings, changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        list(pretrain_gan(replace(settings, **changed), tmp_path / "gan", 0))
    assert any(message in problem for problem in error.value.problems)
    assert not (tmp_path / "gan").exists()


@pytest.mark.parametrize("images", [-1, 10**12])
def test_more_images_than_anyone_wants_are_refused_before_any_training(
    run: Run, tmp_path: Path, images: int
) -> None:
    code, _, err = run("pretrain", "gan", "--out", tmp_path / "gan", "--images", images)
    assert (code, "--images" in err, (tmp_path / "gan").exists()) == (2, True, False)


def test_a_folder_of_something_else_is_left_alone(settings: GanSettings, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty, and holds no GAN"):
        list(pretrain_gan(settings, tmp_path, 0))
    with alone(tmp_path / "gan"), pytest.raises(InputError, match="another process is at work"):
        list(pretrain_gan(settings, tmp_path / "gan", 0))
    shutil.rmtree(tmp_path / "gan")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_data_that_changed_are_refused(
    finished: Path, settings: GanSettings, tmp_path: Path
) -> None:
    out = tmp_path / "gan"
    shutil.copytree(finished, out)
    card = read_json(out / "gan.json")
    card["data"]["trained_on"] = "0" * 16
    (out / "gan.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="begun on other images"):
        list(pretrain_gan(settings, out, 0))


def test_nobody_of_validation_or_test_is_trained_on(xrays: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(xrays, folder)
    plain = pool_of(GanSettings(data=str(folder), size=32))
    dataset = read_dataset(folder)
    patient = dict(zip(dataset.names, dataset.patients.tolist(), strict=True))
    # One more image without a label of a test, a validation and a training patient.
    for part, number in (("test", 901), ("val", 902), ("train", 903)):
        name = getattr(plain.splits, part)[0]
        new = f"{int(patient[name]):08d}_{number}.png"
        with Image.open(folder / "images" / name) as image:  # turned: the very file is left out
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "images" / new)
    found = pool_of(GanSettings(data=str(folder), size=32))
    assert found.splits.fingerprint == plain.splits.fingerprint
    assert found.unlabelled == plain.unlabelled + 1
    names = found.data.names[found.data.train].tolist()
    assert sum("_903" in name for name in names) == 1
    assert not {name for name in names if "_901" in name or "_902" in name}
    assert not set(names) & {*plain.splits.val, *plain.splits.test}
    assert any("2 unlabelled images" in note for note in found.notes)


def test_generated_images_join_the_unlabelled_ones_under_their_split_only(
    finished: Path, settings: GanSettings, tmp_path: Path
) -> None:
    generated = finished / "generated"
    joined = replace(settings, unlabelled=str(generated))
    assert pool_of(joined).unlabelled == 3
    with pytest.raises(InputError, match="generated from the training part of split"):
        pool_of(replace(joined, seed=1))
    with pytest.raises(InputError, match="generated from"):
        check_generated(generated.parent, "any")  # at any depth
    check_generated(tmp_path, "any")  # without provenance there is nothing to hold


def test_features_are_those_before_the_last_layer_at_any_size_of_image(model: Path) -> None:
    found = load_features(model, CPU)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)
    values = found.of(images)
    assert values.shape == (3, 8)
    np.testing.assert_allclose(found.of(images[1:2]), values[1:2], rtol=1e-4, atol=1e-5)
    loaded = load_model(model, CPU)
    layer = loaded.network.net.classifier
    logits = torch.from_numpy(values) @ layer.weight.T + layer.bias
    small = prepare(images, np.arange(3), 1024, 32).numpy()
    np.testing.assert_allclose(torch.sigmoid(logits), loaded.predict(small), rtol=1e-4)


def test_a_gan_of_other_networks_is_refused_and_stays(
    finished: Path, settings: GanSettings, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "old"
    shutil.copytree(finished, out)
    card = read_json(out / "gan.json")
    (out / "gan.json").write_text(json.dumps({**card, "format": "cxrsearch gan"}))
    before = sorted(path.name for path in out.rglob("*"))
    code, _, said = run(*_words(settings, out, "--images", 5))
    assert code == 2
    assert "a GAN of another version of cxrsearch" in said
    assert sorted(path.name for path in out.rglob("*")) == before
