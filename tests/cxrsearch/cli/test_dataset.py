from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cxrsearch.phantom.dataset import phantom_dataset, write_phantom

Run = Callable[..., tuple[int, str, str]]
KEYS = {"format", "images", "found", "patients", "labels", "split", "ignored", "notes"}


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    write_phantom(tmp_path / "drawn", phantom_dataset(images=60, unlabelled=3, seed=0), side=32)
    return tmp_path / "drawn"


def test_json_has_the_keys_of_the_contract(drawn: Path, run: Run) -> None:
    code, out, err = run("dataset", str(drawn), "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert set(found) == KEYS
    assert found["images"] == found["found"] == 60
    assert found["split"] is None
    assert set(found["labels"]["Mass"]) == {"positive", "negative", "uncertain", "blank"}
    assert sum(found["labels"]["Mass"].values()) == 60
    assert set(found["ignored"]) == {"columns", "files"}
    assert any("3 images are not in the table" in line for line in found["ignored"]["files"])


def test_it_writes_what_can_be_read_again(
    drawn: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("dataset", str(drawn))
    assert code == 0
    assert "written: dataset.yaml" in out
    assert "Pleural_Thickening" in out
    first = (tmp_path / "dataset.yaml").read_text()
    assert yaml.safe_load(first)["images"] == "drawn"
    again = json.loads(run("dataset", "dataset.yaml", "--json")[1])
    fresh = json.loads(run("dataset", str(drawn), "--json")[1])
    assert again == fresh
    assert (tmp_path / "dataset.yaml").read_text() == first


def test_no_file_is_overwritten_without_being_asked(
    drawn: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "dataset.yaml"
    mine.write_text("mine")
    code, out, _ = run("dataset", str(drawn))
    assert (code, mine.read_text()) == (0, "mine")
    assert "stays as it is" in out
    code, _, err = run("dataset", str(drawn), "--out", str(mine))
    assert (code, mine.read_text()) == (2, "mine")
    assert "--force" in err
    assert run("dataset", str(drawn), "--out", str(mine), "--force")[0] == 0
    assert mine.read_text() != "mine"
    code, _, err = run("dataset", str(drawn), "--out", str(tmp_path / "no" / "x.yaml"))
    assert code == 2
    assert "no folder" in err


def test_a_table_without_its_images_is_shown(drawn: Path, run: Run, tmp_path: Path) -> None:
    table = tmp_path / "elsewhere" / "Data_Entry_2017.csv"
    table.parent.mkdir()
    (drawn / "Data_Entry_2017.csv").rename(table)
    found = json.loads(run("dataset", str(table), "--json")[1])
    assert (found["images"], found["found"]) == (60, 0)
    found = json.loads(run("dataset", str(table), "--images", str(drawn), "--json")[1])
    assert (found["images"], found["found"]) == (60, 60)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["nowhere"], "no such folder"),
        (["set.zip"], "an archive; unpack it (unzip set.zip)"),
        (["set.tar.gz"], "an archive; unpack it (tar xf set.tar.gz)"),
        (["notes.txt"], "a folder of images is wanted, a label table"),
        (["s3://bucket/x"], "must be local"),
        (["t.csv", "--labels", "u.csv"], "leave out --labels"),
        (["t.csv", "--images", "nowhere"], "--images nowhere: no such folder"),
        ([".", "--images", "."], "leave out --images"),
        (["empty.yaml"], "is empty"),
    ],
)
def test_what_is_no_data_set_gets_a_sentence(
    given: list[str], words: str, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("set.zip", "set.tar.gz", "notes.txt", "empty.yaml"):
        (tmp_path / name).write_bytes(b"")
    for name in ("t.csv", "u.csv"):
        (tmp_path / name).write_text("image,Mass\na.png,1\n")
    code, _, err = run("dataset", *given)
    assert code == 2
    assert words in err


def test_faults_that_need_the_table_are_named_by_line(
    drawn: Path, run: Run, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("images: drawing\ntable: drawn/Data_Entry.csv\nlabels: [Mass, mass]\n")
    code, _, err = run("dataset", str(mine))
    assert code == 2
    assert "mine.yaml, line 2: table" in err
    assert "mine.yaml, line 3: labels" in err
