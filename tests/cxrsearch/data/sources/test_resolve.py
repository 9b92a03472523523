from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.look import look
from cxrsearch.data.read import read_dataset
from cxrsearch.data.sources.telling import telling
from cxrsearch.errors import InputError

Nih = Callable[[Path, Sequence[str], Sequence[str]], Path]
ROWS = ["a.png,Mass,1", "b.png,No Finding,2", "c.png,Hernia|Mass,2"]
FILES = ["a.png", "b.png", "c.png"]
COVID = Path(__file__).parents[5] / "shared" / "covid-folders"


def test_folder_table_and_description_are_the_same_data(tmp_path: Path, nih: Nih) -> None:
    folder = nih(tmp_path / "nih", ROWS, FILES)
    first = read_dataset(folder)
    table = tmp_path / "elsewhere.csv"
    shutil.move(folder / "Data_Entry_2017.csv", table)
    described = tmp_path / "dataset.yaml"
    described.write_text("images: nih\ntable: elsewhere.csv\n")
    for again in (
        read_dataset(folder, table),
        read_dataset(table, images=folder),
        read_dataset(described),
    ):
        assert again.fingerprint == first.fingerprint
        assert again.source.decode("a.png", 4).tolist() == first.source.decode("a.png", 4).tolist()


def test_a_folder_that_holds_a_description_is_read_as_it_says(tmp_path: Path, nih: Nih) -> None:
    folder = nih(tmp_path / "nih", ROWS, FILES)
    (folder / "dataset.yaml").write_text("labels: [Hernia, {name: Lump, from: Mass}]\n")
    data = read_dataset(folder)
    assert data.label_names == ("Hernia", "Lump")
    assert data.labels.tolist() == [[0, 1], [0, 0], [1, 1]]
    assert any("dataset.yaml says" in note for note in data.notes)
    other = tmp_path / "other.csv"
    other.write_text("image,Edema\na.png,1\nb.png,0\n")
    data = read_dataset(folder, other)
    assert data.label_names == ("Edema",)
    assert any("is not used" in note for note in data.notes)


def test_what_was_read_is_read_again_in_the_same_way_wherever_it_lies(
    tmp_path: Path, nih: Nih
) -> None:
    folder = nih(tmp_path / "nih", ROWS, FILES)
    (folder / "dataset.yaml").write_text("labels: [Hernia]\n")
    data = read_dataset(folder)
    moved = tmp_path / "moved"
    shutil.move(folder, moved)
    (moved / "dataset.yaml").write_text("labels: [Mass]\n")  # changed since
    again = read_dataset(moved, stored=data.description)
    assert again.fingerprint == data.fingerprint
    assert again.description == data.description
    (moved / "Data_Entry_2017.csv").rename(tmp_path / "t.csv")
    with pytest.raises(InputError, match="say where with --labels"):
        read_dataset(moved, stored=data.description)
    again = read_dataset(moved, tmp_path / "t.csv", stored=data.description)
    assert again.fingerprint == data.fingerprint


def test_what_was_read_before_labels_had_names_is_read_as_then(
    tmp_path: Path, picture: Callable[[Path], None]
) -> None:
    folder = tmp_path / "x"
    for name in FILES:
        picture(folder / "patient00001" / name)
    header = ["image", *DISEASES, "COVID-19", "Frontal/Lateral", "split"]
    marks = "01000000000000"
    rows = [
        ["patient00001/a.png", *marks, "1", "Frontal", "train"],
        ["patient00001/b.png", *marks, "0", "Lateral", "test"],
        ["patient00001/c.png", *marks, "0", "Frontal", "train"],
    ]
    (folder / "t.csv").write_text("".join(",".join(row) + "\n" for row in [header, *rows]))
    new, old = read_dataset(folder), read_dataset(folder, stored={})
    assert new.label_names == (*DISEASES, "COVID-19")
    assert (len(new.names), len(old.names)) == (2, 3)
    assert old.label_names == DISEASES
    assert old.labels.dtype == np.uint8
    assert old.parts is None
    assert len(set(old.patients.tolist())) == 3


def test_images_that_the_filter_leaves_out_are_not_unlabelled_ones(
    tmp_path: Path, picture: Callable[[Path], None]
) -> None:
    for name in (*FILES, "free.png"):
        picture(tmp_path / name)
    (tmp_path / "t.csv").write_text("image,Mass,view\na.png,1,PA\nb.png,0,PA\nc.png,1,Lateral\n")
    data = read_dataset(tmp_path)
    assert data.names == ("a.png", "b.png")
    assert data.unlabelled == ("free.png",)
    assert any("1 of 3 rows are left out" in note for note in data.notes)


def test_what_a_folder_is_taken_for_is_told_once(tmp_path: Path, nih: Nih) -> None:
    folder = nih(tmp_path / "nih", ROWS, FILES)
    lines: list[str] = []
    with telling(lines.append):
        data = read_dataset(folder)
        read_dataset(folder)
    text = "\n".join(lines)
    assert text.count("is read as nih") == 1
    assert "14 labels: Atelectasis" in text
    assert "cxrsearch dataset" in text
    before = len(lines)
    with telling(lines.append):
        read_dataset(folder, stored=data.description)
    assert len(lines) == before


@pytest.mark.real
@pytest.mark.skipif(not COVID.is_dir(), reason="needs the data set ../shared/covid-folders")
def test_real_class_folders() -> None:
    found = look(COVID)
    assert found.source.description.format == "class-folders"
    assert (found.images, found.found) == (713, 713)
    assert {label: counts["positive"] for label, counts in found.labels.items()} == {
        "Covid-19": 66,
        "Pneumonia": 347,
    }


SHARED = Path(__file__).parents[5] / "shared" / "label-tables"


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the tables in ../shared/label-tables")
@pytest.mark.parametrize(
    ("table", "name", "labels"),
    [
        ("chexpert_train.csv", "chexpert", 13),
        ("padchest.csv", "padchest", 83),
        ("vinbigdata_train.csv", "vindr", 14),
        ("rsna_stage_2_train_labels.csv", "rsna", 1),
        ("google2019_nih-chest-xray-labels.csv", "google", 4),
    ],
)
def test_real_tables_are_shown_without_their_images(table: str, name: str, labels: int) -> None:
    found = look(SHARED / table)
    assert found.source.description.format == name
    assert found.found == 0
    assert len(found.labels) == labels
    assert all(sum(counts.values()) == found.images for counts in found.labels.values())
