"""The same picture, or patient, in two parts is found."""

from __future__ import annotations

import numpy as np

from cxrsearch.data.splits import Splits
from cxrsearch.model.suspicion.parts import (
    changed_check,
    files_check,
    namesakes_check,
    patients_check,
    pictures_check,
)
from cxrsearch.phantom.dataset import phantom_dataset

PART_OF = {f"{i}.png": ("train", "val", "test")[i % 3] for i in range(60)}


def test_files_that_are_all_others_are_fine() -> None:
    found = files_check({name: f"{i:016x}" for i, name in enumerate(PART_OF)}, PART_OF)
    assert (found.level, found.evidence["groups"]) == ("note", 0)


def test_the_same_file_in_train_and_test_makes_the_figures_false() -> None:
    contents = {name: f"{i:016x}" for i, name in enumerate(PART_OF)}
    contents["2.png"] = contents["0.png"]
    found = files_check(contents, PART_OF)
    assert (found.name, found.level) == ("same picture", "false")
    assert "0.png (train); 2.png (test)" in found.sentence
    assert "1 of 20 test images" in found.sentence


def test_the_same_file_in_train_and_validation_is_doubtful() -> None:
    contents = {name: f"{i:016x}" for i, name in enumerate(PART_OF)}
    contents["1.png"] = contents["0.png"]
    found = files_check(contents, PART_OF)
    assert (found.level, found.evidence["test_also_trained_on"]) == ("doubtful", 0)


def test_the_same_file_twice_in_one_part_is_none() -> None:
    contents = dict.fromkeys(("0.png", "3.png"), "00")
    assert files_check(contents, PART_OF).level == "note"


def test_a_picture_saved_again_in_another_part_is_found() -> None:
    data = phantom_dataset(images=60, unlabelled=0, seed=2)
    images = np.stack([data.source.decode(name, 64) for name in data.names])
    names = list(PART_OF)
    assert pictures_check(images, names, PART_OF).level == "note"
    images[2] = np.clip(images[0].astype(float) * 0.95 + 4, 0, 255).astype(np.uint8)
    found = pictures_check(images, names, PART_OF)
    assert (found.level, found.evidence["test_also_trained_on"]) == ("doubtful", 1)
    assert "0.png (train); 2.png (test)" in found.sentence


def test_a_patient_in_train_and_test_makes_the_figures_false() -> None:
    names = list(PART_OF)
    alone = [f"p{i}" for i in range(60)]
    assert patients_check(names, alone, PART_OF).level == "note"
    shared = [*alone]
    shared[2] = "p0"
    found = patients_check(names, shared, PART_OF)
    assert (found.name, found.level) == ("same patient", "false")
    assert "'p0' (test and train)" in found.sentence


def test_unknown_patients_cannot_be_told_apart() -> None:
    names = list(PART_OF)
    found = patients_check(names, names, PART_OF)
    assert found.level == "note"
    assert "cannot be told" in found.sentence


def test_files_saved_anew_matter_where_they_are_judged() -> None:
    then = {"a.png": "01", "b.png": "02", "c.png": "03"}
    splits = Splits(("a.png",), ("b.png",), ("c.png",), (), seed=1, contents=then)
    assert changed_check(splits, then).level == "note"
    assert changed_check(splits, {"b.png": "02"}).level == "note"  # unreadable is not changed
    trained = changed_check(splits, {**then, "a.png": "04"})
    assert (trained.level, trained.evidence["changed"]) == ("note", 1)
    judged = changed_check(splits, {**then, "c.png": "04"})
    assert (judged.level, judged.evidence["changed_in_test"]) == ("doubtful", 1)
    unknown = changed_check(Splits(("a.png",), (), ("c.png",), (), seed=1), then)
    assert "cannot be told" in unknown.sentence


def test_names_of_trained_images_are_told_whatever_their_format() -> None:
    assert namesakes_check(["x/a.png"], ["a.png"]).level == "note"
    found = namesakes_check(["x/a.jpg", "x/b.png"], ["x/a.png"])
    assert (found.level, found.evidence["alike"]) == ("doubtful", 1)
