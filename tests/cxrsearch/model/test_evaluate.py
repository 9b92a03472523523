from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.data.dataset import fingerprint
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.networks import models
from cxrsearch.model.ensemble_folder import load_predictor
from cxrsearch.model.evaluate import evaluate_model
from cxrsearch.model.folder import ModelMeta, load_model, save_model
from search.files import write_json
from search.reading import read_json

CPU = ComputeOptions("cpu")

pytestmark = pytest.mark.usefixtures("tiny_model")


@pytest.fixture
def cache(study, tmp_path):
    return open_cache(study.dataset, 40, root=tmp_path / "cache", workers=1)


@pytest.fixture
def folder(study, recipe, tmp_path) -> Path:
    meta = ModelMeta(
        40,
        study.dataset.fingerprint,
        study.splits.fingerprint,
        DISEASES,
        study="results/x",
        trial=2,
    )
    save_model(
        tmp_path / "m", models.build_model(recipe, n_classes=14), recipe, meta, study.splits_path
    )
    return tmp_path / "m"


def other_data(dataset, keep: slice):
    names = tuple(f"9{name}" for name in dataset.names)
    sick = dataset.source.sick.values()
    source = replace(dataset.source, sick=dict(zip(names, sick, strict=True)))
    return replace(dataset, names=names[keep], labels=dataset.labels[keep], source=source,
                   patients=dataset.patients[keep], label="elsewhere")  # fmt: skip


def test_on_its_own_data_the_test_part_alone_is_scored(study, folder, cache) -> None:
    result = evaluate_model(load_predictor(folder, CPU), study.dataset, cache, resamples=50)
    json.dumps(result, allow_nan=False)
    assert result["part"] == "test"
    assert result["n_images"] == len(study.splits.test) == 8
    assert result["n_patients"] == 4
    rows = np.arange(28, 36)
    scores = load_model(folder, CPU).predict(cache.images, rows)
    expected = auroc(study.dataset.labels[rows], scores)
    assert result["mean"] == pytest.approx(mean_auroc(expected))
    assert result["auroc"]["Hernia"] is None
    assert any("Hernia" in note for note in result["notes"])
    assert result["interval"][0] <= result["mean"] <= result["interval"][1]
    assert (result["study"], result["trial"]) == ("results/x", 2)
    assert sum(result["positives"].values()) == study.dataset.labels[rows].sum()


def test_other_data_are_scored_whole_and_called_external(study, folder, tmp_path) -> None:
    data = other_data(study.dataset, slice(0, 10))
    cache = open_cache(data, 40, root=tmp_path / "cache", workers=1)
    result = evaluate_model(load_predictor(folder, CPU), data, cache, resamples=20)
    assert result["part"] == "external"
    assert result["n_images"] == 10
    assert "external" in result["notes"][0]


def test_images_it_was_trained_on_are_refused_in_other_data(study, folder, cache) -> None:
    part = replace(study.dataset, names=study.dataset.names[14:], labels=study.dataset.labels[14:],
                   patients=study.dataset.patients[14:])  # fmt: skip
    with pytest.raises(InputError, match=r"14 of its images .* were trained on"):
        evaluate_model(load_predictor(folder, CPU), part, cache)


def test_copies_of_images_it_was_trained_on_are_refused_too(study, folder, cache) -> None:
    names = tuple(name.replace(".png", "_aug01.png") for name in study.dataset.names)
    copies = replace(study.dataset, names=names)
    with pytest.raises(InputError, match=r"28 of its images .* as they are or as copies"):
        evaluate_model(load_predictor(folder, CPU), copies, cache)


@pytest.fixture
def knowing(study, recipe, cache, tmp_path) -> Path:
    """A model that knows the contents of the images that it was trained on."""
    splits = study.splits.knowing(cache.contents)
    splits.save(tmp_path / "known.json")
    meta = ModelMeta(40, study.dataset.fingerprint, splits.fingerprint, DISEASES)
    save_model(
        tmp_path / "k", models.build_model(recipe, n_classes=14), recipe, meta,
        tmp_path / "known.json",
    )  # fmt: skip
    return tmp_path / "k"


def test_other_images_of_the_same_names_are_other_images(study, knowing, tmp_path) -> None:
    part = slice(14, None)
    names = study.dataset.names[part]
    sick = {name: not study.dataset.source.sick[name] for name in names}
    data = replace(
        study.dataset, names=names, labels=study.dataset.labels[part],
        patients=study.dataset.patients[part], source=replace(study.dataset.source, sick=sick),
    )  # fmt: skip
    cache = open_cache(data, 40, root=tmp_path / "cache", workers=1)
    result = evaluate_model(load_predictor(knowing, CPU), data, cache, resamples=5)
    assert (result["part"], result["n_images"]) == ("external", len(names))
    (found,) = [check for check in result["checks"] if check["name"] == "other files"]
    assert (found["level"], found["evidence"]["alike"]) == ("doubtful", 14)
    assert not any("of an earlier version" in note for note in result["notes"])


def test_images_it_was_trained_on_are_known_under_any_name(study, knowing, cache, tmp_path) -> None:
    names = tuple(f"new-{name}" for name in study.dataset.names)
    contents = {f"new-{name}": content for name, content in cache.contents.items()}
    renamed = replace(study.dataset, names=names)
    moved = replace(cache, names=names)
    moved.__dict__["contents"] = contents
    with pytest.raises(InputError, match=r"28 of its images .* were trained on"):
        evaluate_model(load_predictor(knowing, CPU), renamed, moved)


def test_its_own_data_saved_anew_are_judged_and_said_to_be_other_files(
    study, knowing, cache
) -> None:
    name = study.splits.test[1]
    changed = replace(cache)
    changed.__dict__["contents"] = {**cache.contents, name: "0123456789abcdef"}
    result = evaluate_model(load_predictor(knowing, CPU), study.dataset, changed, resamples=5)
    (found,) = [check for check in result["checks"] if check["name"] == "other files"]
    assert (result["part"], result["n_images"]) == ("test", len(study.splits.test))
    assert (found["level"], found["evidence"]["changed_in_test"]) == ("doubtful", 1)
    assert f"1 of 8 test images, such as {name!r}" in found["sentence"]


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_test_image_that_is_the_file_of_another_is_refused(study, knowing, cache, part) -> None:
    name, other = study.splits.test[1], getattr(study.splits, part)[0]
    changed = replace(cache)
    changed.__dict__["contents"] = {**cache.contents, name: cache.contents[other]}
    with pytest.raises(InputError, match=f"1 test images are files .*{name}.* file of '{other}'"):
        evaluate_model(load_predictor(knowing, CPU), study.dataset, changed)


def test_a_model_without_contents_says_that_names_decide(study, folder, tmp_path) -> None:
    data = other_data(study.dataset, slice(0, 10))
    cache = open_cache(data, 40, root=tmp_path / "cache", workers=1)
    notes = evaluate_model(load_predictor(folder, CPU), data, cache, resamples=5)["notes"]
    assert any("told by their names alone" in note for note in notes)


def seeing(study, recipe, folder: Path, *images: str, unknown: tuple[str, ...] = ()) -> Path:
    """A model of ``study`` that has seen ``images`` too."""
    meta = ModelMeta(
        40, study.dataset.fingerprint, study.splits.fingerprint, DISEASES,
        also_seen={"images": list(images), "unknown": list(unknown)},
    )  # fmt: skip
    save_model(folder, models.build_model(recipe, n_classes=14), recipe, meta, study.splits_path)
    return folder


def test_images_that_it_saw_without_their_labels_are_left_out_with_their_patients(
    study, recipe, tmp_path
) -> None:
    data = other_data(study.dataset, slice(0, 10))  # two images a patient
    cache = open_cache(data, 40, root=tmp_path / "cache", workers=1)
    model = seeing(study, recipe, tmp_path / "m", f"more/{data.names[2]}", "more/another.png")
    result = evaluate_model(load_predictor(model, CPU), data, cache, resamples=20)
    assert result["n_images"] == 8
    assert "8 of 10 labelled images are scored" in result["notes"][0]
    assert any("2 images are left out: 1 that the model has seen, if" in n for n in result["notes"])
    names = [f"more/{name}" for name in data.names]
    every = seeing(study, recipe, tmp_path / "n", *names)
    with pytest.raises(InputError, match="all 10 images are of patients whom the model has seen"):
        evaluate_model(load_predictor(every, CPU), data, cache)


def test_so_are_images_of_its_own_test_part(study, recipe, cache, tmp_path) -> None:
    model = seeing(study, recipe, tmp_path / "m", study.splits.test[0], unknown=("old.pth",))
    result = evaluate_model(load_predictor(model, CPU), study.dataset, cache, resamples=20)
    assert (result["part"], result["n_images"]) == ("test", 6)
    assert any("what old.pth was trained on" in note for note in result["notes"])


def test_names_of_nih_tell_patients_whom_it_saw(study, recipe, tmp_path) -> None:
    data = other_data(study.dataset, slice(0, 10))
    names = tuple(f"{500 + i // 2:08d}_{i % 2:03d}.png" for i in range(10))
    source = replace(data.source, sick=dict(zip(names, data.source.sick.values(), strict=False)))
    patients = np.array([str(500 + i // 2) for i in range(10)])
    data = replace(data, names=names, patients=patients, source=source)
    cache = open_cache(data, 40, root=tmp_path / "cache", workers=1)
    model = seeing(study, recipe, tmp_path / "m", "unlabelled/00000502_007.png")
    result = evaluate_model(load_predictor(model, CPU), data, cache, resamples=20)
    assert (result["n_images"], result["n_patients"]) == (8, 4)


def test_a_card_that_does_not_say_what_was_seen_is_told_of(study, recipe, tmp_path) -> None:
    data = other_data(study.dataset, slice(0, 10))
    cache = open_cache(data, 40, root=tmp_path / "cache", workers=1)
    meta = ModelMeta(40, study.dataset.fingerprint, study.splits.fingerprint, DISEASES)
    student = replace(recipe, pseudo="hard")
    save_model(
        tmp_path / "m", models.build_model(recipe, n_classes=14), student, meta, study.splits_path
    )
    result = evaluate_model(load_predictor(tmp_path / "m", CPU), data, cache, resamples=20)
    assert result["n_images"] == 10
    assert any("of an older version, does not say" in note for note in result["notes"])
    card = tmp_path / "m" / "model.json"
    write_json(card, read_json(card) | {"also_seen": {"images": 3}})
    with pytest.raises(InputError, match="also_seen holds no lists of names"):
        load_model(tmp_path / "m", CPU)


def test_its_own_data_without_splits_is_refused(study, folder, cache) -> None:
    (folder / "splits.json").unlink()
    with pytest.raises(InputError, match=r"no splits\.json"):
        evaluate_model(load_predictor(folder, CPU), study.dataset, cache)


def test_a_split_without_a_test_part_is_refused(study, recipe, cache, tmp_path) -> None:
    splits = replace(study.splits, test=(), fingerprint="")
    splits.save(tmp_path / "splits.json")
    meta = ModelMeta(40, study.dataset.fingerprint, splits.fingerprint, DISEASES)
    save_model(
        tmp_path / "n", models.build_model(recipe, n_classes=14), recipe, meta,
        tmp_path / "splits.json",
    )  # fmt: skip
    with pytest.raises(InputError, match="no test part"):
        evaluate_model(load_predictor(tmp_path / "n", CPU), study.dataset, cache)


def test_pictures_of_another_frame_are_refused(study, folder, tmp_path) -> None:
    cache = open_cache(study.dataset, 32, root=tmp_path / "cache", workers=1)
    with pytest.raises(InputError, match="takes 40"):
        evaluate_model(load_predictor(folder, CPU), study.dataset, cache)


def test_unreadable_test_images_are_left_out_and_told(study, folder, cache) -> None:
    ok = cache.ok.copy()
    ok[30] = False
    result = evaluate_model(
        load_predictor(folder, CPU), study.dataset, replace(cache, ok=ok), resamples=9
    )
    assert result["n_images"] == 7
    assert any("1 images could not be read" in note for note in result["notes"])


def test_a_study_that_left_out_bad_images_knows_its_own_data(
    study, recipe, cache, tmp_path
) -> None:
    ok = cache.ok.copy()
    ok[3] = False
    keep = np.flatnonzero(ok)
    usable = fingerprint(
        [study.dataset.names[i] for i in keep],
        study.dataset.labels[keep],
        study.dataset.patients[keep],
    )
    meta = ModelMeta(40, usable, study.splits.fingerprint, DISEASES)
    save_model(
        tmp_path / "b", models.build_model(recipe, n_classes=14), recipe, meta, study.splits_path
    )
    broken = replace(cache, ok=ok)
    result = evaluate_model(load_predictor(tmp_path / "b", CPU), study.dataset, broken, resamples=9)
    assert result["part"] == "test"


def test_data_with_one_class_only_judge_nothing(study, folder, tmp_path) -> None:
    data = other_data(study.dataset, slice(1, 3))
    assert data.labels.sum() == 0
    cache = open_cache(data, 40, root=tmp_path / "cache", workers=1)
    with pytest.raises(InputError, match="no label has both"):
        evaluate_model(load_predictor(folder, CPU), data, cache, resamples=5)


def test_the_mean_is_over_the_objective_that_chose_the_model(
    study, recipe, cache, tmp_path
) -> None:
    meta = ModelMeta(40, study.dataset.fingerprint, study.splits.fingerprint, DISEASES)
    meta = replace(meta, objective=("Mass",))
    save_model(
        tmp_path / "o", models.build_model(recipe, n_classes=14), recipe, meta, study.splits_path
    )
    result = evaluate_model(load_predictor(tmp_path / "o", CPU), study.dataset, cache, resamples=9)
    assert result["objective"] == ["Mass"]
    assert result["mean"] == pytest.approx(result["auroc"]["Mass"])
    assert set(result["auroc"]) == set(DISEASES)
