from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cxrsearch.data.look import look
from cxrsearch.data.read import read_dataset
from cxrsearch.data.sources.given import parts_by_folders
from cxrsearch.errors import InputError

Nih = Callable[[Path, Sequence[str], Sequence[str]], Path]
ROWS = [
    f"0000000{n // 2}_00{n % 2}.png,{'Mass' if n % 3 else 'No Finding'},{n // 2}" for n in range(8)
]
NAMES = [row.partition(",")[0] for row in ROWS]


def lists(folder: Path, train_val: list[str], test: list[str]) -> None:
    (folder / "train_val_list.txt").write_text("\n".join(train_val))
    (folder / "test_list.txt").write_text("\n".join(test) + "\n")


def test_nih_own_lists_are_taken_and_said(tmp_path: Path, nih: Nih) -> None:
    folder = nih(tmp_path / "nih", ROWS, [f"images/{name}" for name in NAMES])
    lists(folder, NAMES[:4], NAMES[4:6])
    data = read_dataset(folder)
    assert data.parts is not None
    assert data.parts.tolist() == ["", "", "", "", "test", "test", "", ""]
    assert any("train_val_list.txt and test_list.txt: 2 images" in note for note in data.notes)
    assert any("2 images are on none" in note for note in data.notes)
    assert data.description["split"] == "lists"
    assert look(folder).split == {"train": 6, "test": 2}


def test_lists_of_other_images_are_not_taken(tmp_path: Path, nih: Nih) -> None:
    folder = nih(tmp_path / "nih", ROWS, NAMES)
    lists(folder, ["x.png"], ["y.png"])
    data = read_dataset(folder)
    assert data.parts is None
    assert any("none of the images is on the test list" in note for note in data.notes)


def test_an_image_on_two_lists_and_a_patient_in_two_parts_are_named(
    tmp_path: Path, nih: Nih
) -> None:
    folder = nih(tmp_path / "nih", ROWS, NAMES)
    lists(folder, NAMES[:5], NAMES[4:])
    with pytest.raises(InputError, match=r"is in train_val_list\.txt too"):
        read_dataset(folder)
    lists(folder, [], NAMES[5:])
    (folder / "train_val_list.txt").write_text("x")
    with pytest.raises(InputError, match=r"1 patient in two parts, such as '2'"):
        look(folder)
    (folder / "dataset.yaml").write_text("format: nih\nsplit: lists\n")
    with pytest.raises(InputError, match=r"dataset\.yaml, line 2: split: the data's own split"):
        look(folder)
    (folder / "dataset.yaml").write_text("split: drawn\n")
    assert look(folder).split is None


def test_folders_called_like_parts_are_taken_at_any_level() -> None:
    found = parts_by_folders(["a/Train/x/1.png", "a/test/x/1.png", "b/valid/y.png"])
    assert found is not None
    assert found.tolist() == ["train", "test", "val"]
    assert parts_by_folders(["train/1.png", "train/2.png"]) is None
    assert parts_by_folders(["train/1.png", "test/2.png", "3.png"]) is None
    assert parts_by_folders([]) is None


def test_folders_without_parts_are_refused_where_they_are_asked_for(
    tmp_path: Path, nih: Nih
) -> None:
    folder = nih(tmp_path / "nih", ROWS, NAMES)
    (folder / "dataset.yaml").write_text("split: folders\n")
    with pytest.raises(InputError, match="split: folders, but not every image"):
        read_dataset(folder)
    (folder / "dataset.yaml").write_text("split: lists\n")
    with pytest.raises(InputError, match=r"no test_list\.txt"):
        read_dataset(folder)
