"""What a model keeps of its validation part, and the thresholds that are chosen by it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.calibrate import platt
from cxrsearch.learn.networks import models
from cxrsearch.model.ensemble_folder import load_predictor
from cxrsearch.model.folder import ModelMeta, save_model
from cxrsearch.model.operating import (
    OPERATING,
    choose_points,
    points_of,
    read_points,
    write_points,
)
from cxrsearch.model.rules import parse_rule
from cxrsearch.model.validation import (
    ITS_OWN,
    VALIDATION_FILE,
    ValidationScores,
    read_validation,
    trial_validation,
    validation_of,
)
from search.errors import SearchError
from search.files import write_json
from search.reading import read_json

LABELS = ("Mass", "Nodule")


def scored(n: int = 60) -> ValidationScores:
    rng = np.random.default_rng(4)
    marks = (rng.random((n, 2)) < 0.4).astype(np.float32)
    marks[:5, 1] = np.nan
    scores = np.clip(0.25 * np.nan_to_num(marks) + 0.6 * rng.random((n, 2)), 0, 1)
    names = np.array([f"{i}.png" for i in range(n)])
    people = np.array([f"p{i // 2}" for i in range(n)])
    return ValidationScores(names, marks, scores.astype(np.float32), people, LABELS, ITS_OWN)


def points(rule: str = "youden", validation: ValidationScores | None = None):
    return choose_points(parse_rule(rule), LABELS, validation or scored())


@pytest.fixture
def folder(study, recipe, tmp_path, tiny_model) -> Path:
    """A model folder that keeps what its network said of the study's validation part."""
    meta = ModelMeta(40, study.dataset.fingerprint, study.splits.fingerprint, DISEASES)
    data, rng = study.data, np.random.default_rng(0)
    scores = rng.random((len(data.val), 14)).astype(np.float32)
    said = ValidationScores(
        data.names[data.val], data.labels[data.val], scores, data.patients[data.val], DISEASES,
        ITS_OWN,
    )  # fmt: skip
    network = models.build_model(recipe, n_classes=14)
    save_model(tmp_path / "m", network, recipe, meta, study.splits_path, validation=said)
    return tmp_path / "m"


@pytest.mark.parametrize(("rule", "at_least"), [("sensitivity=0.9", 0.9), ("specificity=0.8", 0.8)])
def test_thresholds_reach_what_is_wanted_on_validation(rule, at_least) -> None:
    found = points(rule)
    which = rule.split("=")[0]
    assert found.chosen_on == "validation"
    for point in found.labels.values():
        assert getattr(point, which) >= at_least
    assert found.labels["Nodule"].positives + found.labels["Nodule"].negatives == 55


def test_recalibration_is_platts_on_what_is_known() -> None:
    validation = scored()
    found = points(validation=validation)
    there = ~np.isnan(validation.marks[:, 1])
    slope, offset = platt(validation.marks[there, 1] == 1, validation.scores[there, 1])
    point = found.labels["Nodule"]
    assert (point.slope, point.offset) == (slope, offset)
    z = np.log(0.3 / 0.7)
    expected = 1 / (1 + np.exp(-(slope * z + offset)))
    given = found.recalibrated(np.full((1, 2), 0.3), LABELS)[0, 1]
    assert given == pytest.approx(expected)


def test_points_are_read_as_they_were_written(tmp_path) -> None:
    found = points("sensitivity=0.9")
    write_points(tmp_path, found)
    assert read_points(tmp_path) == found
    assert read_points(tmp_path / "none") is None


def test_a_label_without_positives_has_no_threshold_and_says_why() -> None:
    validation = scored()
    validation.marks[:, 0] = 0
    point = points(validation=validation).labels["Mass"]
    assert point.threshold is None
    assert point.sensitivity is None
    assert point.slope is None
    assert "no positive image" in str(point.reason)


def test_a_given_threshold_needs_no_validation() -> None:
    found = choose_points(parse_rule("threshold=0.3"), LABELS, None)
    assert found.thresholds(LABELS).tolist() == [0.3, 0.3]
    assert found.chosen_on is None
    assert "no validation scores" in str(found.labels["Mass"].reason)
    with pytest.raises(InputError, match="no validation scores to choose by"):
        choose_points(parse_rule("youden"), LABELS, None)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"version": 2},
        {"rule": "best"},
        {"labels": {"Mass": {"threshold": "high"}}},
        {"labels": []},
        {"images": -1},
        {"of": 3},
    ],
)
def test_damaged_points_are_refused_with_a_way_out(tmp_path, change) -> None:
    write_json(tmp_path / OPERATING, points().to_dict() | change)
    with pytest.raises(InputError):
        read_points(tmp_path)


def test_points_changed_by_hand_are_refused(tmp_path) -> None:
    write_points(tmp_path, points())
    path = tmp_path / OPERATING
    path.write_text(path.read_text().replace("youden", "threshold=0.1"))
    with pytest.raises(SearchError, match=OPERATING):
        read_points(tmp_path)


def test_a_model_keeps_validation_scores_and_first_points(folder, study) -> None:
    model = load_predictor(folder)
    said = read_validation(folder, model.card)
    assert said is not None
    assert said.names.tolist() == list(study.splits.val)
    assert model.card["validation_scores"]["of"] == ITS_OWN
    assert model.card["validation_scores"]["images"] == 12
    assert VALIDATION_FILE in model.card["files"]
    assert OPERATING not in model.card["files"]  # `evaluate --at` changes it
    kept, _ = points_of(model)
    assert kept is not None
    assert str(kept.rule) == "youden"
    assert kept.made_from == said.digest
    chosen, _ = points_of(model, at="specificity=0.9")
    assert chosen == choose_points(parse_rule("specificity=0.9"), DISEASES, said)


def test_other_scores_than_the_cards_are_refused(folder) -> None:
    card = read_json(folder / "model.json")
    scored().save(folder)
    with pytest.raises(InputError, match=r"validation\.npz: not the file"):
        read_validation(folder, card)
    with pytest.raises(InputError, match=r"validation\.npz: not the file"):
        load_predictor(folder)


def test_a_pickle_in_the_place_of_scores_is_refused(folder) -> None:
    np.savez(folder / VALIDATION_FILE, names=np.array([{}], object))
    with pytest.raises(InputError, match="cannot be read"):
        read_validation(folder, {})


def test_scores_that_are_no_probabilities_are_refused(folder) -> None:
    wrong = replace(scored(), scores=scored().scores + 1)
    wrong.save(folder)
    with pytest.raises(InputError, match="not probabilities"):
        read_validation(folder, {})


def test_a_folder_of_before_takes_them_from_its_study(finished_study, folder, tmp_path) -> None:
    for name in (VALIDATION_FILE, OPERATING):
        (folder / name).unlink()
    model = load_predictor(folder)
    assert model.labels == DISEASES
    none, why = validation_of(model, None)
    assert none is None
    assert "make the model again" in why
    assert points_of(model)[0] is None
    old = replace(model, card={**model.card, "study": {"trial": 1}})
    assert "--study" in validation_of(old, None)[1]
    found, why = validation_of(old, finished_study)
    assert found is not None
    assert why == ""
    assert "trial 1" in found.of
    with np.load(finished_study / "trials" / "1" / "val.npz") as saved:
        assert np.array_equal(found.scores, saved["scores"])
        assert np.array_equal(found.marks, saved["labels"])


def test_scores_of_other_images_than_the_studys_are_refused(finished_study, tmp_path) -> None:
    copy = tmp_path / "study"
    (copy / "trials" / "0").mkdir(parents=True)
    shutil.copy(finished_study / "labels.npz", copy)
    assert trial_validation(copy, 0, "") is None
    np.savez(copy / "trials" / "0" / "val.npz", names=np.array(["x"]), scores=np.zeros((1, 14)))
    with pytest.raises(InputError, match="not of the images"):
        trial_validation(copy, 0, "")


def test_the_card_of_a_study_winner_says_whose_scores_they_are(
    finished_study, tmp_path, run
) -> None:
    code, _, error = run("train", finished_study, "--out", tmp_path / "model")
    assert code == 0, error
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert "not of the weights in this folder" in card["validation_scores"]["of"]
    kept = read_points(tmp_path / "model")
    assert kept is not None
    assert kept.images == card["validation_scores"]["images"] > 0


def test_an_ensemble_keeps_what_its_members_said_together(finished_study, tmp_path, run) -> None:
    code, _, error = run("train", finished_study, "--ensemble", "2", "--out", tmp_path / "team")
    assert code == 0, error
    model = load_predictor(tmp_path / "team")
    said = read_validation(model.folder, model.card)
    assert said is not None
    parts = [read_validation(part.folder, part.card) for part in model.parts]
    assert len(parts) == 2
    mean = np.mean([part.scores for part in parts if part is not None], axis=0)
    assert said.scores == pytest.approx(mean, abs=1e-5)
    assert parts[0] is not None
    assert parts[0].of == ITS_OWN
