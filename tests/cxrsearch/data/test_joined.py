from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.data.cache import open_cache
from cxrsearch.data.joined import patients_of, unlabelled_side, with_unlabelled, without_patients
from cxrsearch.data.read import read_dataset
from cxrsearch.errors import InputError


def test_images_of_another_folder_join_the_labelled_ones(xrays: Path, tmp_path: Path) -> None:
    dataset = read_dataset(xrays)
    other = tmp_path / "more"
    (other / "deep").mkdir(parents=True)
    first, second = (xrays / "images" / name for name in dataset.names[:2])
    shutil.copy(first, other / "deep" / "new.png")
    shutil.copy(second, other / second.name)  # a copy of a labelled image, by its name
    joined = with_unlabelled(dataset, other)
    assert joined.unlabelled == ("more/deep/new.png",)
    assert joined.names == dataset.names
    assert any("called like labelled ones" in note for note in joined.notes)
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
