"""Every system on labels of odd names, of which some marks are blank and some uncertain."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrsearch.model.ensemble_folder import load_predictor
from cxrsearch.phantom.dataset import phantom_dataset, write_phantom
from cxrsearch.study.experiment import Settings, search
from search.reading import read_json

NAMES = ("Nodule/Mass", "Pleural Effusion", "COVID-19")
CAUSES = (("Nodule", "Mass"), ("Effusion",), ("Atelectasis", "Infiltration"))

Run = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.usefixtures("tiny_model")


def write_odd(folder: Path, names: tuple[str, ...]) -> Path:
    """Drawn X-rays with a table of ``names``, and its ``dataset.yaml``."""
    write_phantom(folder, phantom_dataset(images=160, unlabelled=30, seed=3), side=48)
    with (folder / "Data_Entry_2017.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rng = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "patient", *names])
        for row in rows:
            found = set(row["Finding Labels"].split("|"))
            drawn = rng.random(len(names))
            cells = [
                "-1" if u < 0.1 else "" if u < 0.3 else str(int(bool(found & set(causes))))
                for u, causes in zip(drawn, CAUSES[: len(names)], strict=True)
            ]
            table.writerow([row["Image Index"], row["Patient ID"], *cells])
    (folder / "Data_Entry_2017.csv").unlink()
    (folder / "dataset.yaml").write_text(
        f"images: .\ntable: labels.csv\nlabels: {json.dumps(list(names))}\n"
        "uncertain: soft\nblank: ignore\n"
    )
    return folder


@pytest.mark.parametrize("names", [NAMES, NAMES[:1]], ids=["three", "one"])
def test_models_of_odd_labels_are_made_by_every_system_and_judged(
    names: tuple[str, ...], tiny_space: Path, run: Run, tmp_path: Path
) -> None:
    settings = Settings(
        data=str(write_odd(tmp_path / "data", names)), space=str(tiny_space), trials=2,
        population=2, runner="serial", seed=1, val_share=0.35, test_share=0.3,
        keep_checkpoints="all",
    )  # fmt: skip
    study = search(settings, tmp_path / "study")
    made: dict[str, tuple[Any, ...]] = {
        "model": ("train", study),
        "team": ("ensemble", study, "--folds", 2),
        "own": ("ensemble", study, "--per-disease"),
        "heads": ("ensemble", study, "--per-disease", "--backbone", "shared"),
        "student": ("self-train", study, "--no-control", "--share", 0.2),
    }
    for name, words in made.items():
        out = tmp_path / name
        code, _, err = run(*words, "--out", out)
        assert code == 0, (name, err)
        assert load_predictor(out).labels == names
        code, text, err = run("evaluate", out, "--json")
        assert code == 0, (name, err)
        result = json.loads(text)
        assert set(result["auroc"]) == set(names)
        for label in names:
            known = result["positives"][label] + result["negatives"][label]
            assert 0 < known < result["n_images"]
        code, _, err = run("predict", out, tmp_path / "data" / "unlabelled", "--out",
                           tmp_path / f"{name}.csv")  # fmt: skip
        assert code == 0, (name, err)
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            assert next(csv.reader(file)) == ["image", *names]
    card = read_json(tmp_path / "model" / "model.json")
    assert card["data"]["description"]["blank"] == "ignore"
    assert card["training"]["labels"][names[0]]["uncertain_as"] == "soft"
    # A row that is all blank says nothing, so that its image is one without a label.
    assert (card["training"]["labels"][names[0]]["unknown"] > 0) == (len(names) > 1)
    page = (tmp_path / "student" / "self-training.html").read_text()
    assert names[0] in page
