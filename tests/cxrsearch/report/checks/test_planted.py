"""Faults planted in real commands: each is found and named, and none is a traceback."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from cxrsearch.phantom.dataset import phantom_dataset, write_phantom
from cxrsearch.study.winner import train_winner

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(
    _finished_study: Path,
    tiny_model_throughout: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The study's winner."""
    folder = tmp_path_factory.mktemp("winner")
    out = folder / "model"
    study = shutil.copytree(_finished_study, folder / "study")  # it will be looked at
    for _ in train_winner(study, out):
        pass
    return out


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn X-rays of other patients."""
    folder = tmp_path_factory.mktemp("elsewhere") / "data"
    write_phantom(folder, phantom_dataset(images=50, unlabelled=0, seed=77), side=48)
    for file in folder.rglob("*.png"):  # else the numbers would say that they are the same people
        file.rename(file.with_name(f"9{file.name[1:]}"))
    table = folder / "Data_Entry_2017.csv"
    head, *rows = csv.reader(table.read_text().splitlines())
    for row in rows:
        row[0] = f"9{row[0][1:]}"
        row[3] = row[0][:8]
    with table.open("w", newline="") as out:
        csv.writer(out).writerows([head, *rows])
    return folder


def changed(source: Path, to: Path, how: Callable[[np.ndarray], np.ndarray]) -> Path:
    """A copy of a data set with its pictures changed."""
    for file in source.rglob("*"):
        copy = to / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".png":
            Image.fromarray(how(np.asarray(Image.open(file).convert("L")))).save(copy)
        elif file.is_file():
            copy.write_bytes(file.read_bytes())
    return to


def levels(result: dict[str, Any]) -> dict[str, str]:
    return {c["name"]: c["level"] for c in result["checks"] if c["level"] != "note"}


def test_the_card_says_what_training_pictures_looked_like(model: Path) -> None:
    pixels = json.loads((model / "model.json").read_text())["pixels"]
    assert pixels["seen"]["images"] > 30
    assert pixels["seen"]["frame"] == pixels["frame"]


def test_other_x_rays_of_the_same_kind_pass(model: Path, elsewhere: Path, run: Run) -> None:
    code, out, _ = run("evaluate", model, "--data", elsewhere, "--json")
    found = json.loads(out)
    assert code == 0
    assert not {"inverted", "blank", "pixel range", "resolution"} & levels(found).keys()
    assert {"weights", "constant", "below chance", "same picture", "looks"} <= {
        check["name"] for check in found["checks"]
    }


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (lambda grey: 255 - grey, "inverted"),
        (lambda grey: (grey // 6).astype(np.uint8), "blank"),
    ],
    ids=["inverted", "dark"],
)
def test_spoilt_pictures_are_named_and_end_the_command(
    fault: Any, name: str, model: Path, elsewhere: Path, run: Run, tmp_path: Path
) -> None:
    data = changed(elsewhere, tmp_path / "data", fault)
    code, out, err = run("evaluate", model, "--data", data, "--json")
    assert code == 2
    assert levels(json.loads(out))[name] == "false"
    assert "not to be used" in err
    assert "Traceback" not in err


def test_pictures_that_are_black_are_refused_with_the_reason(
    model: Path, elsewhere: Path, run: Run, tmp_path: Path
) -> None:
    data = changed(elsewhere, tmp_path / "data", lambda grey: (grey // 16).astype(np.uint8))
    code, out, err = run("evaluate", model, "--data", data, "--json")
    assert (code, out) == (2, "")
    assert "blank" in err
    assert "Traceback" not in err


def test_own_images_that_were_changed_are_judged_with_what_is_odd_of_them(
    model: Path, xrays: Path, run: Run, tmp_path: Path
) -> None:
    data = changed(xrays, tmp_path / "data", lambda grey: 255 - grey)
    code, out, _ = run("evaluate", model, "--data", data, "--json")
    found = json.loads(out)
    assert (code, found["part"]) == (2, "test")
    assert levels(found)["other files"] == "doubtful"
    assert levels(found)["inverted"] == "false"


def test_findings_are_printed_for_people(
    model: Path, elsewhere: Path, run: Run, tmp_path: Path
) -> None:
    data = changed(elsewhere, tmp_path / "data", lambda grey: (grey // 2).astype(np.uint8))
    code, out, _ = run("evaluate", model, "--data", data)
    assert code == 0
    assert "doubtful: external: mean grey level" in " ".join(out.split())
    assert re.search(r"look number \d+ at these images", out)


def test_renamed_keys_of_a_models_weights_are_refused(
    model: Path, run: Run, tmp_path: Path
) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    for file in model.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    weights = load_file(copy / "model.safetensors")
    save_file({f"module_{k}": v for k, v in weights.items()}, copy / "model.safetensors")
    code, _, err = run("evaluate", copy)
    assert code == 2
    assert "Traceback" not in err


def test_a_second_model_that_looks_at_a_test_part_is_told(
    model: Path, finished_study: Path, run: Run, tmp_path: Path
) -> None:
    study = shutil.copytree(finished_study, tmp_path / "study")
    other = shutil.copytree(model, tmp_path / "other")
    first, _, _ = run("evaluate", model, "--study", study)
    second, out, _ = run("evaluate", other, "--study", study, "--json")
    assert (first, second) == (0, 0)
    assert levels(json.loads(out))["looks"] == "doubtful"
