"""Starting weights: whether a study is told what they have seen of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.splits import Splits
from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import Recipe
from cxrsearch.model.card import ModelMeta, make_card
from cxrsearch.study.named_recipes import Named
from cxrsearch.study.one_recipe import prepare_recipe
from cxrsearch.study.prepare import prepare
from cxrsearch.study.settings import Settings
from cxrsearch.study.starting.origins import also_seen, origin_notes
from cxrsearch.study.unlabelled import NOBODY_KNOWN

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def write() -> Callable[[Path], Path]:
    """Make the folder of a pre-training; gives its weights."""

    def make(folder: Path) -> Path:
        folder.mkdir()
        record = {
            "method": "autoencoder", "losses": [1.0], "images": 9, "split": "here", "held_out": {},
        }  # fmt: skip
        (folder / "pretraining.json").write_text(json.dumps(record))
        (folder / "weights.safetensors").touch()
        return folder / "weights.safetensors"

    return make


def model(folder: Path, init: str = "none", **training: Any) -> str:
    """Make a model folder of the split ``here``; gives its weights."""
    folder.mkdir()
    meta = ModelMeta(32, "data", "here", DISEASES, training=training)
    (folder / "model.json").write_text(json.dumps(make_card(Recipe(init=init), meta)))
    return str(folder / "model.safetensors")


def test_a_study_is_told_where_its_starting_weights_come_from(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    path = str(write(tmp_path / "p"))
    assert origin_notes(["none", "imagenet"], "here") == []
    (same,) = origin_notes([path], "here")
    assert "none of a patient of this study's validation or test part" in same
    (other,) = origin_notes([path], "there")
    assert "another split" in other
    later = tmp_path / "later"
    shutil.copytree(tmp_path / "p", later)
    record = json.loads((later / "pretraining.json").read_text())
    (later / "pretraining.json").write_text(json.dumps(record | {"split": "there", "init": path}))
    (begun,) = origin_notes([str(later / "weights.safetensors")], "there")
    assert "another split (here" in begun
    unknown = json.dumps(record | {"init": "gone.pt"})
    (later / "pretraining.json").write_text(unknown)
    (begun,) = origin_notes([str(later / "weights.safetensors")], "here")
    assert "gone.pt, unknown" in begun
    (tmp_path / "p" / "pretraining.json").write_text("{}")
    with pytest.raises(InputError, match=r"not a pretraining\.json"):
        origin_notes([path], "here")


def test_weights_of_a_model_tell_their_split_by_its_card(tmp_path: Path) -> None:
    path = model(tmp_path / "m", rows="train", images=1200)
    (same,) = origin_notes([path], "here")
    assert "a model trained on 1,200 images, none of a patient of this study's" in same
    (other,) = origin_notes([path], "there")
    assert "under another split (here, here there)" in other
    assert "pre-train" not in other
    (begun,) = origin_notes([model(tmp_path / "n", path, rows="train")], "there")
    assert "(begun with weights of another training), under another split (here" in begun


def test_weights_that_saw_the_validation_part_are_told_of(tmp_path: Path) -> None:
    path = model(tmp_path / "m", rows="train + validation", images=1200)
    (note,) = origin_notes([path], "here")
    assert "validation part among them" in note
    (later,) = origin_notes([model(tmp_path / "n", path, rows="train")], "here")
    assert "validation part among them" in later


def test_of_weights_without_a_record_it_is_said_that_nobody_knows(tmp_path: Path) -> None:
    bare = str(tmp_path / "downloaded.pth")
    named = model(tmp_path / "m")
    (tmp_path / "m" / "model.json").write_text('{"format": "somebody else\'s"}')
    for path in (bare, named, str(tmp_path / "trials" / "3" / "best.safetensors")):
        (note,) = origin_notes([path], "here")
        assert f"init {path}: nothing beside it says" in note
        assert "may be too good" in note
    (begun,) = origin_notes([model(tmp_path / "n", bare, rows="train")], "here")
    assert f"before that init {bare}, unknown" in begun


def test_nothing_is_promised_of_images_whose_patients_nobody_knows(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    path = write(tmp_path / "p")
    record = json.loads((path.parent / "pretraining.json").read_text())
    record["notes"] = [NOBODY_KNOWN]
    (path.parent / "pretraining.json").write_text(json.dumps(record))
    for init in (str(path), model(tmp_path / "model", init=str(path))):
        (note,) = origin_notes([init], "here")
        assert "some may be of patients of the validation or test part" in note
        assert "none of a patient" not in note


@pytest.mark.parametrize("before", ["~nobody-of-that-name/w.safetensors", f"{'a' * 5000}/w"])
def test_weights_in_a_place_that_cannot_be_looked_at_are_unknown(
    tmp_path: Path, before: str
) -> None:
    path = model(tmp_path / "model", init=before)
    assert f"before that init {before}, unknown" in origin_notes([path], "here")[0]
    assert before in also_seen(Recipe(init=path))["unknown"]


def test_a_search_says_where_its_starting_weights_come_from(
    finished_study: Path, xrays: Path, run: Run, tmp_path: Path
) -> None:
    kept = next(finished_study.glob("trials/*/best.safetensors"))
    assert run("train", finished_study, "--out", tmp_path / "model")[0] == 0
    inits = [str(kept), str(tmp_path / "model" / "model.safetensors")]
    fixed = {"model": "densenet121", "input_size": 32, "epochs": 1, "batch_size": 16}
    genes = {"init": {"choices": inits}}
    space = tmp_path / "begun.yaml"
    space.write_text(yaml.safe_dump({"name": "begun", "genes": genes, "fixed": fixed}))
    settings = Settings(data=str(xrays), space=str(space), trials=1, runner="serial", seed=1)
    said = "\n".join(prepare(settings).notes)
    assert f"trial {kept.parent.name} of {finished_study}" in said
    splits = Splits.load(finished_study / "splits.json")
    images = sorted(splits.train)
    contents = [splits.contents[name] for name in images]
    seen = {"images": images, "contents": contents, "unknown": []}
    assert also_seen(Recipe(init=inits[0])) == seen
    assert "this study's validation part among them" in said
    other = replace(settings, seed=2)
    assert "\n".join(prepare(other).notes).count("under another split (") == 2
    named = Named("mine", Recipe(**fixed, init=inits[1]), ())
    ready = prepare_recipe(named, replace(other, space=None), tmp_path / "again")
    assert any("under another split (" in note for note in ready.parts.notes)


def test_a_model_remembers_what_its_starting_weights_have_seen(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    first = write(tmp_path / "p")
    record = json.loads((tmp_path / "p" / "pretraining.json").read_text())
    assert also_seen(Recipe(init="imagenet")) == {}
    assert also_seen(Recipe(init=str(first))) == {"images": [], "unknown": [str(first)]}
    record |= {"image_names": ["a.png", "more/b.png"], "init": "gone.pt"}
    (tmp_path / "p" / "pretraining.json").write_text(json.dumps(record))
    seen = also_seen(Recipe(init=str(first)))
    assert seen == {"images": ["a.png", "more/b.png"], "unknown": ["gone.pt"]}
    splits = Splits(("c.png",), ("d.png",), ("e.png",), ("d.png",), seed=0)
    folder = tmp_path / "m"
    folder.mkdir()
    splits.save(folder / "splits.json")
    for rows, validation in (("train", []), ("train + validation", ["d.png"])):
        meta = ModelMeta(
            32, "data", splits.fingerprint, DISEASES, training={"rows": rows}, also_seen=seen
        )  # fmt: skip
        card = make_card(Recipe(init=str(first)), meta)
        (folder / "model.json").write_text(json.dumps(card))
        assert also_seen(Recipe(init=str(folder / "model.safetensors"))) == {
            "images": ["a.png", "c.png", *validation, "more/b.png"], "unknown": ["gone.pt"],
        }  # fmt: skip
    old = json.loads((folder / "model.json").read_text())
    del old["also_seen"]
    old["recipe"] |= {"init": "none", "pseudo": "hard"}
    (folder / "model.json").write_text(json.dumps(old))
    weights = str(folder / "model.safetensors")
    assert also_seen(Recipe(init=weights)) == {"images": ["c.png", "d.png"], "unknown": [weights]}


def test_a_head_of_other_labels_is_named(tmp_path: Path) -> None:
    path = model(tmp_path / "m", rows="train")
    assert "begins anew" not in origin_notes([path], "here", DISEASES[::-1])[0]
    (other,) = origin_notes([path], "here", ("COVID-19", "Mass"))
    assert "its labels are others (Atelectasis, Cardiomegaly" in other
    assert "the head begins anew" in other
