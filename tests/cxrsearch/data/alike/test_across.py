"""Copies in different parts are named where nothing says whom the images show."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.data.alike import across
from cxrsearch.data.alike.across import across_note, alike_across, patients_are_images
from cxrsearch.data.request import DataRequest
from cxrsearch.phantom.dataset import phantom_dataset
from cxrsearch.study.data import load_data, make_parts

SIDE = 64


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """40 drawn X-rays of different patients, ``(40, 64, 64)`` uint8."""
    dataset = phantom_dataset(images=80, seed=5)
    _, first = np.unique(dataset.patients, return_index=True)
    names = [dataset.names[row] for row in sorted(first.tolist())[:40]]
    return np.stack([dataset.source.decode(name, SIDE) for name in names])


def test_copies_in_two_parts_are_named_and_those_in_one_are_not(drawn: np.ndarray) -> None:
    images = drawn.copy()
    images[30], images[1], images[39] = images[0], images[2], images[3] // 2 + 20
    names = [f"{i}.png" for i in range(40)]
    part_of = {name: "train" if i < 25 else "val" for i, name in enumerate(names)}
    parts = [part_of[name] for name in names]
    assert alike_across(images, parts) == [[0, 30], [3, 39]]
    note = across_note(names, images, part_of)
    assert note is not None
    assert note.startswith(
        "4 images look alike across parts, 2 pictures in all: 0.png (train) = 30.png (val); 3.png "
    )
    assert "say whom they show" in note
    assert across_note(names, drawn, part_of) is None
    del part_of["30.png"], part_of["39.png"]
    assert across_note(names, images, part_of) is None


def test_very_many_images_are_not_compared_before_a_search(
    drawn: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(across, "MOST_COMPARED", 20)
    note = across_note([str(i) for i in range(40)], drawn, {str(i): "train" for i in range(40)})
    assert note is not None
    assert "40 images are too many" in note


def test_patients_are_not_known_where_each_image_is_its_own() -> None:
    assert patients_are_images(["a", "b"], np.array(["a", "b"]))
    assert not patients_are_images(["a", "b"], np.array(["a", "a"]))
    assert not patients_are_images(["1.png", "2.png"], np.array(["1", "2"]))


def test_a_search_is_told_before_it_starts(xrays: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(xrays, folder)
    table = folder / "Data_Entry_2017.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()]
    names = [line[0] for line in lines[1:]]
    files = {path.name: path for path in folder.rglob("*.png")}
    for place, name in enumerate(names):  # no names out of which patients could be told
        files[name].rename(folder / f"x{place}.png")
    rows = [f"x{place}.png,{line[1]}" for place, line in enumerate(lines[1:])]
    table.write_text("\n".join(["Image Index,Finding Labels", *rows]))
    request = DataRequest(data=str(folder), cache=str(tmp_path / "cache"))
    parts = make_parts(request, load_data(request), 64, None)
    assert not any("look alike" in note for note in parts.notes)
    one, other = parts.splits.train[0], parts.splits.val[0]
    shutil.copyfile(folder / one, folder / other)
    again = make_parts(request, load_data(request), 64, None)
    assert again.splits.fingerprint == parts.splits.fingerprint
    (note,) = [note for note in again.notes if "look alike" in note]
    assert one in note
    assert other in note
