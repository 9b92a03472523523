"""Files that a user names: nothing that is not ours is written over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.show.page import write_page
from cxrsearch.writing import PAGE, check_file

START = """<!DOCTYPE html>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'">
"""

Run = Callable[..., tuple[int, str, str]]


def test_ours_is_written_again_and_an_empty_file_may_be_filled(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.touch()
    for _ in range(2):
        check_file(page, "eda.html", PAGE)
        write_page(page, START)
    check_file(tmp_path / "new" / "page.html", "eda.html", PAGE)
    assert not (tmp_path / "new").exists()


def test_a_page_does_not_take_the_place_of_a_label_table(xrays: Path, run: Run) -> None:
    table = xrays / "Data_Entry_2017.csv"
    before = table.read_bytes()
    code, out, err = run("eda", xrays, "--out", table)
    assert (code, out, "would be lost" in err) == (2, "", True)
    with pytest.raises(InputError, match="would be lost"):
        write_page(table, "<!doctype html>")
    assert table.read_bytes() == before


def test_predictions_take_the_place_of_nothing_but_predictions(
    xrays: Path, finished_study: Path, run: Run, tmp_path: Path
) -> None:
    model, pictures = tmp_path / "model", xrays / "unlabelled"
    assert run("train", finished_study, "--out", model)[0] == 0
    names = sorted(path.stem for path in pictures.iterdir())
    sample, labels = tmp_path / "sample.csv", tmp_path / "labels.csv"
    sample.write_text("\n".join(["id,Mass", *(f"{name},0.5" for name in names)]) + "\n")
    labels.write_text("\n".join(["id,Mass", *(f"{name},0" for name in names)]) + "\n")
    wide = tmp_path / "wide.csv"  # labels in the very columns of predictions
    wide.write_text(",".join(["image", *DISEASES]) + "\na.png" + ",0" * 14 + "\n")
    for out, more in (
        (wide, ()), (xrays / "Data_Entry_2017.csv", ()), (model / "model.safetensors", ()),
        (labels, ("--sample", sample)), (sample, ("--sample", sample)),
    ):  # fmt: skip
        before = out.read_bytes()
        code, _, err = run("predict", model, pictures, "--out", out, *more)
        assert (code, "would be lost" in err) == (2, True)
        assert out.read_bytes() == before
    for more in ((), ("--tidy",), ("--sample", sample)):
        out = tmp_path / f"out{len(more)}.csv"
        for _ in range(2):
            assert run("predict", model, pictures, "--out", out, *more)[0] == 0
    assert run("predict", model, pictures, "--out", xrays / "images")[0] == 2


def test_an_export_takes_the_place_of_nothing_but_an_export(
    finished_study: Path, xrays: Path, run: Run, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    shutil.copytree(finished_study, study)
    for _ in range(2):
        assert run("export", study)[0] == 0
        assert run("export", study, "--out", tmp_path / "trials.csv")[0] == 0
    picture = next((xrays / "images").iterdir())
    weights = next(study.glob("trials/*/best.safetensors"))
    website = tmp_path / "index.html"
    website.write_text("<!doctype html><html><head><title>My clinic</title></head></html>")
    for out in (study / "study.yaml", website, xrays / "Data_Entry_2017.csv", picture, weights):
        before = out.read_bytes()
        for command in ("export", "dashboard", "compare"):
            code, _, err = run(command, study, "--out", out)
            assert (code, "would be lost" in err) == (2, True)
        assert out.read_bytes() == before
    for _ in range(2):
        for command in ("dashboard", "compare"):
            assert run(command, study, "--out", tmp_path / f"{command}.html")[0] == 0
    for command in ("export", "dashboard", "compare"):
        code, _, err = run(command, study, "--out", study)
        assert (code, "a folder; name a file" in err) == (2, True)


def test_weights_of_an_ensemble_do_not_take_the_place_of_other_json(
    tmp_path: Path, run: Run
) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((40, 14)) < 0.3).astype(np.uint8)
    logits = labels + rng.normal(size=(40, 14))
    half = tmp_path / "half.npz"
    np.savez(half, labels=labels, patient=np.arange(40), one=logits, two=logits**2)
    words = ("ensemble", half, "--method", "uniform", "--folds", 2, "--out")
    for _ in range(2):
        assert run(*words, tmp_path / "weights.json")[0] == 0
    for text in ('{"a": 1}', '{\n  "format": "cxrsearch ensemble folder"\n}'):
        (tmp_path / "other.json").write_text(text)
        code, _, err = run(*words, tmp_path / "other.json")
        assert (code, "would be lost" in err) == (2, True)
        assert (tmp_path / "other.json").read_text() == text
