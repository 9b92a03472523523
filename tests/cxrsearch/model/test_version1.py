"""What the version before labels had names has written still opens, and says the same.

``version1`` holds a model folder of that version, of the tests' tiny network, and what it said of
five drawn X-rays.
"""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.data.dataset import file_content
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.splits import Splits
from cxrsearch.model.ensemble_folder import load_predictor
from search.files import write_json

VERSION_1 = Path(__file__).parent / "version1"

pytestmark = pytest.mark.usefixtures("tiny_model")


def rows(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open(newline="", encoding="utf-8") as file:
        head, *lines = csv.reader(file)
    return [*head, *(line[0] for line in lines)], np.array([line[1:] for line in lines], float)


def test_a_model_of_version_1_is_of_nih_s_diseases_and_predicts_the_same(
    xrays: Path, run, tmp_path: Path
) -> None:
    card = json.loads((VERSION_1 / "model" / "model.json").read_text())
    assert (card["version"], "labels" in card) == (1, False)
    model = load_predictor(VERSION_1 / "model")
    assert model.labels == DISEASES
    assert model.covered == tuple(range(14))
    (tmp_path / "images").mkdir()
    for path in sorted(xrays.rglob("*.png"))[:5]:
        shutil.copy(path, tmp_path / "images" / path.name)
    out = tmp_path / "out.csv"
    assert run("predict", VERSION_1 / "model", tmp_path / "images", "--out", out)[0] == 0
    names, values = rows(VERSION_1 / "predictions.csv")
    now = rows(out)
    assert now[0] == names
    assert np.allclose(now[1], values, atol=1e-6)  # other processors sum in another order


def know_drawn(model: Path, xrays: Path) -> None:
    """Have the splits of ``model`` know the images as this processor draws them.

    Another one rounds otherwise, by which a pixel in some hundred thousand is another.
    """
    splits = Splits.load(model / "splits.json")
    now = {path.name: file_content(path).hex() for path in xrays.rglob("*.png")}
    contents = {name: now[name] for name in splits.contents}
    same = sum(contents[name] == content for name, content in splits.contents.items())
    assert same >= 0.9 * len(contents)
    if contents == splits.contents:
        return
    replace(splits, contents=contents).save(model / "splits.json")
    card = json.loads((model / "model.json").read_text())
    for digest in ("digest", "files"):
        card.pop(digest, None)
    write_json(model / "model.json", card)


def test_a_model_of_version_1_is_judged_on_its_own_data(xrays: Path, run, tmp_path: Path) -> None:
    shutil.copytree(VERSION_1 / "model", tmp_path / "model")
    know_drawn(tmp_path / "model", xrays)
    code, out, err = run("evaluate", tmp_path / "model", "--data", xrays, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["part"] == "test"
    assert list(result["auroc"]) == list(DISEASES)


def test_an_ensemble_of_version_1_is_of_nih_s_diseases(
    finished_study: Path, run, tmp_path: Path
) -> None:
    words = ("--members", "all", "--retrain", "--folds", 2)
    assert run("ensemble", finished_study, "--out", tmp_path / "team", *words)[0] == 0
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 32), dtype=np.uint8)
    wanted = load_predictor(tmp_path / "team").predict(images)
    path = tmp_path / "team" / "ensemble.json"
    card = json.loads(path.read_text())
    del card["digest"], card["files"]
    card["version"] = card["ensemble"]["version"] = 1
    card["ensemble"]["diseases"] = card["ensemble"].pop("labels")
    write_json(path, card)
    before = load_predictor(tmp_path / "team")
    assert before.labels == DISEASES
    assert np.array_equal(before.predict(images), wanted)
