from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.data.read import read_dataset
from cxrsearch.data.unlabelled import (
    patients_of,
    unlabelled_side,
    with_unlabelled,
    without_patients,
)
from cxrsearch.errors import InputError


def test_images_of_another_folder_join_the_labelled_ones(xrays: Path, tmp_path: Path) -> None:
    dataset = read_dataset(xrays)
    other = tmp_path / "more"
    (other / "deep").mkdir(parents=True)
    first, second = (xrays / "images" / name for name in dataset.names[:2])
    shutil.copy(first, other / "deep" / "new.png")
    with (other / "deep" / "new.png").open("ab") as file:  # the same picture in another file
        file.write(b"\0")
    shutil.copy(second, other / second.name)
    joined = with_unlabelled(dataset, other)
    assert joined.unlabelled == ("more/deep/new.png",)
    assert joined.names == dataset.names
    assert any("the very file of a labelled one" in note for note in joined.notes)
    assert unlabelled_side(joined) == 48
    cache = open_cache(joined, 32, tmp_path / "cache", names=(*joined.names, *joined.unlabelled))
    np.testing.assert_array_equal(cache.images[-1], cache.images[0])
    assert joined.source.stamp("more/deep/new.png") != dataset.source.stamp(dataset.names[0])


def test_a_folder_without_images_is_refused(xrays: Path, tmp_path: Path) -> None:
    dataset = read_dataset(xrays)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    for name in ("empty", "text", "gone"):
        with pytest.raises(InputError, match="--unlabelled"):
            with_unlabelled(dataset, tmp_path / name)


def test_patients_are_known_by_nih_names_and_by_no_others(xrays: Path) -> None:
    dataset = read_dataset(xrays)
    shown = dataset.patients[0]
    names = (f"u/{int(shown):08d}_977.png", "u/99999999_000.png", "u/some.png")
    dataset = replace(dataset, unlabelled=names)
    assert patients_of(dataset) == [shown, "99999999", None]
    left, count = without_patients(dataset, dataset.names[:1])
    assert (left.unlabelled, count) == (names[1:], 1)
    renamed = replace(dataset, patients=np.array([f"p{p}" for p in dataset.patients]))
    assert patients_of(renamed) == [None] * 3


def test_augmented_copies_of_images_that_are_kept_away_are_kept_away_too(xrays: Path) -> None:
    dataset = read_dataset(xrays)
    names = [f"aug/{name.removesuffix('.png')}_aug01.png" for name in dataset.names]
    more = f"aug/{int(dataset.patients[0]):08d}_977_aug02.png"  # a copy of another of his images
    dataset = replace(dataset, unlabelled=(*names, more))
    left, _ = without_patients(dataset, dataset.names[:1])
    his = {n for n, p in zip(names, dataset.patients, strict=True) if p == dataset.patients[0]}
    assert set(left.unlabelled) == set(names) - his
    nameless = replace(dataset, patients=np.array([f"p{p}" for p in dataset.patients]))
    left, _ = without_patients(nameless, dataset.names[:1])
    assert names[0] not in left.unlabelled


def grey(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(level).integers(0, 255, (40, 40), dtype=np.uint8)
    Image.fromarray(picture).save(path)


@pytest.fixture
def wards(tmp_path: Path) -> Dataset:
    """Four labelled images, each of the base name ``view.png``."""
    rows = ["image,patient_id," + ",".join(DISEASES)]
    for number in range(4):
        grey(tmp_path / "data" / f"p{number}" / "view.png", number)
        rows.append(f"p{number}/view.png,{number},1" + ",0" * 13)
    (tmp_path / "data" / "labels.csv").write_text("\n".join(rows) + "\n")
    return read_dataset(tmp_path / "data")


def test_images_called_like_labelled_ones_are_used_unless_they_are_the_same_file(
    wards: Dataset, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    grey(more / "p9" / "view.png", 9)
    grey(more / "p8" / "view.png", 8)
    grey(more / "renamed.png", 2)
    grey(more / "p1" / "view.png", 1)
    padded = (more / "p9" / "view.png").stat().st_size
    (more / "same-size.png").write_bytes(b"\0" * padded)
    joined = with_unlabelled(wards, more)
    assert joined.unlabelled == ("more/p8/view.png", "more/p9/view.png", "more/same-size.png")
    notes = "\n".join(joined.notes)
    assert "2 images without a label are the very file of a labelled one, and left out" in notes
    assert "2 images below" in notes
    assert "but are other files" in notes


def test_own_images_without_a_label_are_no_copies_of_labelled_ones(
    wards: Dataset, tmp_path: Path
) -> None:
    grey(tmp_path / "data" / "p7" / "view.png", 7)
    grey(tmp_path / "data" / "again" / "other.png", 3)
    found = read_dataset(tmp_path / "data")
    assert found.unlabelled == ("p7/view.png",)
    assert any("1 image without a label is the very file" in note for note in found.notes)
