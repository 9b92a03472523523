from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn import student as students
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.epochs import EpochsDone
from cxrsearch.learn.networks import models
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved import checkpoint
from cxrsearch.model import folder as folders
from cxrsearch.model.card import taught
from cxrsearch.model.final import train_final
from cxrsearch.model.folder import LoadedModel, ModelMeta, check_out, load_model, save_model

CPU, ONE = ComputeOptions("cpu"), ComputeOptions("cpu", threads=1)

pytestmark = pytest.mark.usefixtures("tiny_model")


@pytest.fixture
def meta(study) -> ModelMeta:
    return ModelMeta(
        frame=40,
        data_fingerprint=study.dataset.fingerprint,
        split_fingerprint=study.splits.fingerprint,
        labels=DISEASES,
        description={"format": "nih", "blank": {"": "negative"}},
        study="results/x",
        trial=4,
        validation={"value": 0.7, "interval": [0.6, 0.8], "selected_from": 12},
    )


@pytest.fixture
def folder(study, recipe, meta, tmp_path) -> Path:
    path = tmp_path / "model"
    save_model(path, models.build_model(recipe, n_classes=14), recipe, meta, study.splits_path)
    return path


def test_a_loaded_model_predicts_what_the_saved_one_did(study, recipe, meta, tmp_path) -> None:
    torch.manual_seed(5)
    model = models.build_model(recipe, n_classes=14)
    model(torch.rand(4, 1, 32, 32))  # moves the statistics of batch normalisation
    save_model(tmp_path / "m", model, recipe, meta, study.splits_path)
    loaded = load_model(tmp_path / "m", CPU)
    assert loaded.recipe == recipe
    assert loaded.splits() == study.splits
    images = np.asarray(study.data.images)
    batch = torch.nn.functional.interpolate(
        torch.from_numpy(images[:, None].copy()).float(), (32, 32), mode="bilinear", antialias=True
    )
    with torch.no_grad():
        expected = torch.sigmoid(model.eval()(batch.round() / 255)).numpy()
    scores = loaded.predict(images)
    assert scores.shape == (len(images), 14)
    assert scores.dtype == np.float32
    assert np.allclose(scores, expected, atol=1e-6)
    assert np.allclose(loaded.predict(images, np.array([3, 1])), expected[[3, 1]], atol=1e-6)
    assert loaded.predict(images, np.zeros(0)).shape == (0, 14)


def type_of(model: LoadedModel, images: np.ndarray, monkeypatch, device: str = "cpu") -> Any:
    """What convolutions autocast to while ``model`` predicts, as on ``device``."""
    asked: list[Any] = []
    autocast = torch.autocast

    def noted(kind: str, dtype: Any = None, enabled: bool = True) -> Any:
        asked.append(dtype if enabled else None)
        return autocast("cpu", dtype, enabled=enabled)

    monkeypatch.setattr(torch, "autocast", noted)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)
    monkeypatch.setattr(folders, "pick_device", torch.device)
    replace(model, compute=replace(model.compute, device=device)).predict(images)
    monkeypatch.undo()
    return asked[0]  # the last layer asks for none


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(
    ("said", "asked", "expected"),
    [
        ("float32", "auto", None),
        ("bf16", "auto", torch.bfloat16),
        ("float32", "bf16", torch.bfloat16),
        ("bf16", "float32", None),
    ],
)
def test_a_model_predicts_in_the_precision_of_its_card_on_every_device(
    study, recipe, meta, tmp_path, tiny_builder, device, said, asked, expected
) -> None:
    path = tmp_path / "model"
    save_model(
        path, models.build_model(recipe, n_classes=14), recipe, replace(meta, precision=said)
    )
    loaded = load_model(path, replace(CPU, precision=asked))
    with pytest.MonkeyPatch.context() as patch:
        assert type_of(loaded, np.asarray(study.data.images[:2]), patch, device) == expected


def test_a_card_that_says_no_precision_predicts_as_it_did(study, folder) -> None:
    card = json.loads((folder / "model.json").read_text())
    assert card["precision"] == "float32"
    for name in ("precision", "digest"):  # as an earlier version wrote it
        card.pop(name, None)
    (folder / "model.json").write_text(json.dumps(card))
    loaded, images = load_model(folder, CPU), np.asarray(study.data.images[:2])
    for device, expected in (("cpu", None), ("cuda", torch.bfloat16)):
        with pytest.MonkeyPatch.context() as patch:
            assert type_of(loaded, images, patch, device) == expected
    card["precision"] = "half"
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="precision is 'half', neither float32 nor bf16 nor fp16"):
        load_model(folder, CPU)


def test_the_card_says_what_a_reader_needs(folder, study) -> None:
    card = json.loads((folder / "model.json").read_text())
    assert card["intended_use"] == "research use only, not for clinical decisions"
    assert card["labels"] == list(DISEASES)
    assert card["pixels"]["frame"] == 40
    assert card["pixels"]["input_size"] == [32, 32]
    assert card["data"]["fingerprint"] == study.dataset.fingerprint
    assert card["data"]["description"] == {"format": "nih", "blank": {"": "negative"}}
    assert card["validation"]["selected_from"] == 12
    assert set(card["versions"]) == {"cxrsearch", "torch", "torchvision"}
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md", "model.json", "model.safetensors", "splits.json"
    ]  # fmt: skip


def test_the_card_counts_what_was_taught_of_each_label(study, recipe) -> None:
    data, doubts = study.data, np.zeros(study.data.labels.shape, bool)
    doubts[data.train[:3], 2] = True
    marks = data.labels.astype(np.float32)
    marks[data.train[:5], 2] = np.nan
    some = replace(data, labels=marks, uncertain=doubts, learnt=(2, 3))
    found = taught(some, replace(recipe, uncertain="positive"))
    assert list(found) == ["Effusion", "Infiltration"]
    rest = data.labels[data.train[5:], 2]
    assert found["Effusion"] == {
        "positive": rest.sum(), "negative": (rest == 0).sum(), "uncertain": 3, "unknown": 2,
        "uncertain_as": "positive",
    }  # fmt: skip
    assert found["Infiltration"]["unknown"] == 0
    assert "uncertain_as" not in found["Infiltration"]
    assert taught(some, recipe)["Effusion"]["uncertain_as"] == "ignore"


def test_a_taken_folder_is_refused_and_an_empty_one_used(folder, recipe, meta, tmp_path) -> None:
    model = models.build_model(recipe, n_classes=14)
    with pytest.raises(InputError, match="not empty"):
        save_model(folder, model, recipe, meta)
    with pytest.raises(InputError, match="is a file"):
        save_model(folder / "model.json", model, recipe, meta)
    for place in (Path(), tmp_path / ".."):
        with pytest.raises(InputError, match="name a new folder in it"):
            save_model(place, model, recipe, meta)
    (tmp_path / "empty").mkdir()
    save_model(tmp_path / "empty", model, recipe, meta)
    assert load_model(tmp_path / "empty", CPU).splits() is None


def test_a_folder_behind_a_link_is_written_where_it_lies(recipe, meta, tmp_path) -> None:
    place = tmp_path / "here"
    model = models.build_model(recipe, n_classes=14)
    (place / "disk" / "there").mkdir(parents=True)
    for name in ("there", "not-yet"):
        (place / name).symlink_to(place / "disk" / name)
        save_model(place / name, model, recipe, meta)
        assert (place / name).is_symlink()
        assert load_model(place / "disk" / name, CPU).labels == DISEASES
    assert {found.name for found in place.iterdir()} == {"disk", "there", "not-yet"}
    (place / "circle").symlink_to(place / "circle")
    (place / "to-nowhere").symlink_to(place / "disk" / "there" / "README.md" / "x")
    for name, told in (("circle", "cannot be followed"), ("to-nowhere", "cannot be written to")):
        with pytest.raises(InputError, match=f"--out .*: .*{told}.*; name another"):
            check_out(place / name)


def test_a_save_leaves_alone_what_another_save_is_writing(recipe, meta, tmp_path) -> None:
    place = tmp_path / "here"
    others = [".m.b.abcdefgh.tmp", ".mine.abcdefgh.tmp", ".m.abcdefgh.tmp.tmp"]
    for name in (*others, ".m.abcd_123.tmp"):
        (place / name).mkdir(parents=True)
    for name in ("m", "m*", "[m]"):
        save_model(place / name, models.build_model(recipe, n_classes=14), recipe, meta)
    assert {found.name for found in place.iterdir()} == {*others, "m", "m*", "[m]"}


def test_the_longest_name_that_is_taken_can_be_written(recipe, meta, tmp_path) -> None:
    longest = "é" * (folders.MODEL_NAME_BYTES // 2) + "a"
    with pytest.raises(
        InputError, match=r"a name of 242 bytes, .*; name a folder with 241 at most"
    ):
        check_out(tmp_path / f"{longest}a")
    check_out(tmp_path / longest)
    save_model(tmp_path / longest, models.build_model(recipe, n_classes=14), recipe, meta)
    assert load_model(tmp_path / longest, CPU).labels == DISEASES


def test_a_model_does_not_take_the_place_of_a_trial(tmp_path: Path) -> None:
    check_out(tmp_path / "trials" / "7")
    (tmp_path / "study.yaml").write_text("")
    for place in ("trials/7", "trials/7/model"):
        with pytest.raises(InputError, match=r"among the trials of the study .*; name another"):
            check_out(tmp_path / place)
    check_out(tmp_path / "model")


def test_a_failed_save_leaves_nothing(recipe, meta, tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        save_model(
            tmp_path / "m",
            models.build_model(recipe, n_classes=14),
            recipe,
            meta,
            tmp_path / "none",
        )
    assert not [p for p in tmp_path.iterdir() if "m" in p.name.split(".")]


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        card = json.loads((folder / "model.json").read_text())
        change(card)
        del card["digest"]  # as the message says that whoever means it does
        (folder / "model.json").write_text(json.dumps(card))

    return damage


def resave(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        state, _ = checkpoint.load_tensors(folder / "model.safetensors")
        change(state)
        checkpoint.save_tensors(folder / "model.safetensors", state)

    return damage


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "no such file": lambda f: (f / "model.json").unlink(),
    "cannot be read": write("model.json", b"{"),
    "cannot be read ": write("model.json", b"\xff\xfe"),
    "not a model": write("model.json", b"[]"),
    "not a model ": write("model.json", b"{}"),
    "format version 3": edit(lambda c: c.update(version=3)),
    "pixels is missing": edit(lambda c: c.pop("pixels")),
    "pixels.frame": edit(lambda c: c["pixels"].update(frame="big")),
    "14 of NIH": edit(lambda c: c.update(version=1, diseases=c.pop("labels")[::-1])),
    "labels holds no names": edit(lambda c: c.update(labels=["Mass"] * 14)),
    "labels holds no names ": edit(lambda c: c.update(labels=[])),
    "labels holds no names  ": edit(lambda c: c.pop("labels")),
    "not of the network": edit(lambda c: c["labels"].append("COVID-19")),
    "no fingerprints": edit(lambda c: c["data"].clear()),
    "it was changed since it was written": lambda f: (f / "model.json").write_text(
        (f / "model.json").read_text().replace('"epochs": ', '"epochs": 1')
    ),
    "pixels.frame 1e+308": edit(lambda c: c["pixels"].update(frame=1e308)),
    "pixels.source_side": edit(lambda c: c["pixels"].update(source_side=-3)),
    "study.path is not text": edit(lambda c: c["study"].update(path=[1])),
    "study.trial -1": edit(lambda c: c["study"].update(trial=-1)),
    "study.objective": edit(lambda c: c["study"].update(objective=["Hernia", "Flu"])),
    "training.only": edit(lambda c: c["training"].update(only=["Hernia"])),
    "holds no digests": edit(lambda c: c.update(files={"model.safetensors": 3})),
    "do not agree in input_size": edit(lambda c: c["recipe"].update(input_size=64)),
    "model.safetensors: not the file": lambda f: checkpoint.save_tensors(
        f / "model.safetensors",
        {k: v * 2 for k, v in checkpoint.load_tensors(f / "model.safetensors")[0].items()},
    ),
    "whole number '1000": write("model.json", b'{"crop": 1' + b"0" * 39 + b"}"),
    "NaN is not a number": write("model.json", b'{"dropout": NaN}'),
    "nested": write("model.json", b"[" * 100_000),
    "recipe.freeze is 1e+308": edit(lambda c: c["recipe"].update(freeze=1e308)),
    "recipe.dropout is 0.99": edit(lambda c: c["recipe"].update(dropout=0.99)),
    "recipe.lr is 0.0": edit(lambda c: c["recipe"].update(lr=0.0)),
    "recipe.epochs is True": edit(lambda c: c["recipe"].update(epochs=True)),
    "recipe.horizontal_flip": edit(lambda c: c["recipe"].update(horizontal_flip=1)),
    "recipe.init": edit(lambda c: c["recipe"].update(init=None)),
    "recipe.crop": edit(lambda c: c["recipe"].update(crop=10**18)),
    "recipe.crop ": edit(lambda c: c["recipe"].update(crop="9" * 5000)),
    "recipe.model is ['vgg16']": edit(lambda c: c["recipe"].update(model=["vgg16"])),
    "numbers above 0": edit(lambda c: c["recipe"].update(ratios={"Mass": 0})),
    "unknown gene 'lrr'": edit(lambda c: c["recipe"].update(lrr=1)),
    "recipe.model is 'resnet'": edit(lambda c: c["recipe"].update(model="resnet")),
    "recipe.input_size": edit(lambda c: c["recipe"].update(input_size="wide")),
    "recipe.dropout": edit(lambda c: c["recipe"].update(dropout="a lot")),
    "recipe.ratios": edit(lambda c: c["recipe"].update(ratios=[1])),
    "no such file  ": lambda f: (f / "model.safetensors").unlink(),
    "cannot be read  ": write("model.safetensors", b"\x80\x02}q\x00."),
    "not of format": lambda f: save_file({"w": torch.ones(1)}, f / "model.safetensors"),
    "tensors are missing": resave(lambda s: s.pop("net.conv.weight")),
    "tensors are unknown": resave(lambda s: s.update(extra=torch.ones(1))),
    "another shape": resave(lambda s: s.update({"net.conv.bias": torch.ones(9)})),
    "another shape or type": resave(lambda s: s.update({"net.conv.bias": torch.ones(8).double()})),
    "not finite": resave(lambda s: s["net.conv.bias"].fill_(float("nan"))),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_every_damage_is_an_input_error_that_names_it(folder, message) -> None:
    DAMAGES[message](folder)
    with pytest.raises(InputError) as caught:
        load_model(folder, CPU)
    assert message.strip() in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_network_of_timm_asks_for_timm_where_it_is_missing(folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    edit(lambda card: card["recipe"].update(model="timm:resnet18"))(folder)
    with pytest.raises(InputError, match=r"timm:resnet18 needs timm.*'cxrsearch\[timm\]'"):
        load_model(folder, CPU)


def test_a_card_of_an_earlier_version_says_nothing_of_its_files(folder) -> None:
    edit(lambda card: card.pop("files"))(folder)
    assert load_model(folder, CPU).splits() is not None


def test_files_of_two_models_are_not_mixed(folder, recipe, meta, study, tmp_path) -> None:
    save_model(tmp_path / "other", models.build_model(recipe, n_classes=14), recipe, meta)
    for name in ("model.safetensors", "splits.json"):
        whole = (folder / name).read_bytes()
        if name == "splits.json":
            (folder / name).write_bytes(whole + b"\n")
        else:
            (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
        with pytest.raises(InputError, match=rf"{name}: not the file that the model was written"):
            load_model(folder, CPU)
        (folder / name).write_bytes(whole)
    assert load_model(folder, CPU).splits() is not None


def test_no_folder_and_changed_splits_are_input_errors(folder, study, tmp_path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        load_model(tmp_path / "none")
    replace(study.splits, seed=5, fingerprint="").save(folder / "splits.json")
    edit(lambda card: card.pop("files"))(folder)
    with pytest.raises(InputError, match=study.splits.fingerprint):
        load_model(folder, CPU).splits()


def test_pictures_of_another_size_or_type_are_refused(folder) -> None:
    model = load_model(folder, CPU)
    for images in (np.zeros((2, 32, 32), np.uint8), np.zeros((2, 40, 40), np.float32)):
        with pytest.raises(InputError, match="takes"):
            model.predict(images)


def test_prediction_halves_its_batch_where_memory_runs_out(folder, study, monkeypatch) -> None:
    model = load_model(folder, CPU)
    images = np.asarray(study.data.images)
    expected, scored = model.predict(images), LoadedModel._scored
    monkeypatch.setattr(
        LoadedModel,
        "_scored",
        lambda self, i, rows: None if len(rows) > 5 else scored(self, i, rows),
    )
    assert np.allclose(model.predict(images), expected, atol=1e-6)
    monkeypatch.setattr(LoadedModel, "_scored", lambda self, i, rows: None)
    with pytest.raises(InputError, match="out of memory"):
        model.predict(images)


def finish(study, recipe: Recipe, meta: ModelMeta, out: Path, **options: Any) -> list[EpochsDone]:
    options = {"epochs": 2, "seed": 1, "compute": ONE, **options}
    return list(
        train_final(recipe, study.data, out=out, meta=meta, splits=study.splits_path, **options)
    )


def test_the_final_training_uses_train_and_validation_and_can_be_resumed(
    study, recipe, meta, tmp_path
) -> None:
    progress = finish(study, recipe, meta, tmp_path / "whole")
    assert [p.epoch for p in progress] == [1, 2]
    whole = load_model(tmp_path / "whole", CPU)
    assert whole.card["training"]["images"] == 28
    assert whole.card["training"]["epochs"] == 2
    assert whole.card["validation"]["value"] == 0.7
    first = train_final(
        recipe,
        study.data,
        out=tmp_path / "cut",
        meta=meta,
        epochs=2,
        seed=1,
        compute=ONE,
    )
    next(first)
    first.close()
    assert not (tmp_path / "cut").exists()
    again = finish(study, recipe, meta, tmp_path / "cut")
    assert [p.loss for p in again] == [p.loss for p in progress]
    one, other = (
        whole.network.state_dict(),
        load_model(tmp_path / "cut", CPU).network.state_dict(),
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not list(tmp_path.glob(".*work"))


def test_the_final_training_saves_the_averaged_weights(study, recipe, meta, tmp_path) -> None:
    finish(study, recipe, meta, tmp_path / "averaged")
    finish(study, replace(recipe, ema=0.0), meta, tmp_path / "last")
    averaged = load_model(tmp_path / "averaged", CPU).network.state_dict()
    last = load_model(tmp_path / "last", CPU).network.state_dict()
    assert not torch.equal(averaged["net.conv.weight"], last["net.conv.weight"])


def test_a_shorter_final_training_starts_over(study, recipe, meta, tmp_path) -> None:
    first = train_final(
        recipe, study.data, out=tmp_path / "m", meta=meta, epochs=3, seed=1, compute=ONE
    )
    next(first), next(first)
    first.close()
    finish(study, recipe, meta, tmp_path / "m", epochs=1)
    finish(study, recipe, meta, tmp_path / "n", epochs=1)
    one = load_model(tmp_path / "m", CPU).network.state_dict()
    other = load_model(tmp_path / "n", CPU).network.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_final_training_that_cannot_be_done_says_so(
    study, recipe, meta, tmp_path, monkeypatch
) -> None:
    with pytest.raises(InputError, match="7 epochs"):
        finish(study, recipe, meta, tmp_path / "m", epochs=7)
    with pytest.raises(InputError, match="nan"):
        finish(study, replace(recipe, lr=1e30), meta, tmp_path / "m")

    def full(*args: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(students, "Learner", full)
    with pytest.raises(InputError, match="out of memory"):
        finish(study, recipe, meta, tmp_path / "o")
    assert not (tmp_path / "m").exists()


def test_a_place_that_cannot_be_written_to_is_refused_before_a_training(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InputError, match="notes cannot be written to; name another place"):
        check_out(tmp_path / "notes" / "model")
    check_out(tmp_path / "new" / "model")
