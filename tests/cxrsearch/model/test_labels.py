"""Models of labels of any names, on data whose labels are others."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.pixels.cache import Cache, open_cache
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.metrics import auroc
from cxrsearch.learn.networks import models
from cxrsearch.model.ensemble_folder import load_predictor
from cxrsearch.model.evaluate import evaluate_model
from cxrsearch.model.folder import LoadedModel, ModelMeta, load_model, save_model
from cxrsearch.model.labels import shared_labels
from cxrsearch.model.predict import Predictions, write_competition, write_tidy

CPU = ComputeOptions("cpu")
OURS = ("Effusion", "Nodule/Mass", "COVID-19")
THEIRS = ("covid 19", "Pleural Effusion", "Fracture")

pytestmark = pytest.mark.usefixtures("tiny_model")


@pytest.fixture
def model(study, recipe, tmp_path) -> LoadedModel:
    meta = ModelMeta(40, "data", "split", OURS)
    save_model(tmp_path / "m", models.build_model(recipe, n_classes=3), recipe, meta)
    return load_model(tmp_path / "m", CPU)


@pytest.fixture
def data(study) -> Dataset:
    labels = study.dataset.labels[:, :3].astype(np.float32)
    labels[::5, 0] = np.nan
    return replace(study.dataset, labels=labels, label_names=THEIRS, label="elsewhere")


@pytest.fixture
def cache(data, tmp_path) -> Cache:
    return open_cache(data, 40, root=tmp_path / "cache", workers=1)


def test_labels_are_matched_by_map_then_name_then_plain_name() -> None:
    found = shared_labels(OURS, THEIRS, ["Pleural Effusion=Effusion"])
    assert (found.ours, found.theirs) == ((0, 2), (1, 0))
    assert (found.only_model, found.only_data) == (("Nodule/Mass",), ("Fracture",))
    by_name = shared_labels(("Mass", "mass."), ("mass.", "Mass"))
    assert by_name.theirs == (1, 0)
    assert shared_labels(("Mass", "Edema"), ("MASS", "edema")).theirs == (0, 1)
    assert shared_labels(("A", "B"), ("A", "B"), ["A=B"]).ours == (1,)  # B of the data is no A


def test_names_that_could_be_two_are_no_match() -> None:
    found = shared_labels(("Mass", "Nodule"), ("m ass", "mas s", "Nodule"))
    assert found.only_model == ("Mass",)


def test_all_that_is_wrong_with_maps_is_said_at_once() -> None:
    maps = ["Efusion=COVID-19", "Fracture=Effusionn", "covid 19", "Fracture=COVID-19",
            "Fracture=Effusion"]  # fmt: skip
    with pytest.raises(InputError) as wrong:
        shared_labels(OURS, THEIRS, maps)
    text = "\n".join(wrong.value.problems)
    assert len(wrong.value.problems) == 4
    for word in ("the data have no label 'Efusion'", "did you mean 'Effusion'", "THEIR NAME=OURS",
                 "'Fracture' is named twice"):  # fmt: skip
        assert word in text
    with pytest.raises(InputError, match="no label in common") as none:
        shared_labels(("Mass",), ("Fracture",))
    assert "Mass" in str(none.value)
    assert "Fracture" in str(none.value)


def test_other_data_judge_the_labels_that_both_have(model, data, cache) -> None:
    result = evaluate_model(model, data, cache, maps=["Pleural Effusion=Effusion"], resamples=20)
    json.dumps(result, allow_nan=False)
    assert list(result["auroc"]) == list(result["intervals"]) == ["Effusion", "COVID-19"]
    scores = model.predict(cache.images)
    known = ~np.isnan(data.labels[:, 0])
    expected = auroc(data.labels[known, :1], scores[known, 2:])
    assert result["auroc"]["COVID-19"] == pytest.approx(expected[0])
    assert result["positives"]["COVID-19"] == (data.labels[:, 0] == 1).sum()
    assert result["negatives"]["COVID-19"] == (data.labels[:, 0] == 0).sum()
    assert result["mapped"] == {"Effusion": "Pleural Effusion", "COVID-19": "covid 19"}
    assert result["only_in_model"] == ["Nodule/Mass"]
    assert result["only_in_data"] == ["Fracture"]
    notes = "\n".join(result["notes"])
    assert "Nodule/Mass" in notes
    assert "Fracture" in notes
    alone = evaluate_model(model, data, cache, resamples=5)
    assert list(alone["auroc"]) == ["COVID-19"]


def test_where_no_label_of_the_objective_is_there_the_mean_is_over_the_others(
    recipe, data, cache, tmp_path
) -> None:
    meta = ModelMeta(40, "data", "split", OURS, objective=("Nodule/Mass",))
    save_model(tmp_path / "o", models.build_model(recipe, n_classes=3), recipe, meta)
    result = evaluate_model(load_predictor(tmp_path / "o", CPU), data, cache, resamples=5)
    assert result["objective"] == ["COVID-19"]
    assert any("none of the labels that it was chosen by" in note for note in result["notes"])


def test_data_without_any_of_the_model_s_labels_are_refused(model, data, cache) -> None:
    other = replace(data, label_names=("Fracture", "Scoliosis", "Device"))
    with pytest.raises(InputError, match="no label in common"):
        evaluate_model(model, other, cache, resamples=5)


def test_a_model_of_one_label_predicts_a_column(recipe, tmp_path) -> None:
    meta = ModelMeta(40, "d", "s", ("Pneumonia",))
    save_model(tmp_path / "one", models.build_model(recipe, n_classes=1), recipe, meta)
    one = load_model(tmp_path / "one", CPU)
    images = np.random.default_rng(0).integers(0, 255, (3, 40, 40), dtype=np.uint8)
    assert one.predict(images).shape == (3, 1)
    assert one.covered == (0,)


def test_tables_name_the_labels_and_no_cell_is_a_formula(tmp_path: Path) -> None:
    labels = ("Nodule/Mass", 'a "quoted" one', "=SUM(A1)")
    found = Predictions(("a.png",), np.array([[0.25, 0.5, 0.75]], np.float32), labels, ())
    write_competition(tmp_path / "wide.csv", found)
    write_tidy(tmp_path / "tidy.csv", found)
    wide, tidy = (
        list(csv.reader((tmp_path / name).open(newline="", encoding="utf-8")))
        for name in ("wide.csv", "tidy.csv")
    )
    assert wide == [["image", *labels[:2], "'=SUM(A1)"], ["a.png", "0.25", "0.5", "0.75"]]
    assert tidy[0] == ["image", "label", "probability"]
    assert [row[1:] for row in tidy[1:3]] == [["Nodule/Mass", "0.25"], [labels[1], "0.5"]]
