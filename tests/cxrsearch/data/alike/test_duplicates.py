from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsearch.data.alike.duplicates import (
    HASH_KEYS,
    Pairs,
    candidates,
    features,
    find_duplicates,
    groups,
    hashes,
)
from cxrsearch.data.alike.thumbnails import thumbnails
from cxrsearch.data.pixels.resize import resize
from cxrsearch.phantom.dataset import phantom_dataset

SIDE = 64


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """60 drawn X-rays of different patients, ``(60, 64, 64)`` uint8."""
    dataset = phantom_dataset(images=110, seed=5)
    _, first = np.unique(dataset.patients, return_index=True)
    names = [dataset.names[row] for row in sorted(first.tolist())[:60]]
    assert len(names) == 60
    return np.stack([dataset.source.decode(name, SIDE) for name in names])


def linked(images: np.ndarray) -> set[tuple[int, int]]:
    found = find_duplicates(images, thumbnails(images))
    return set(zip(found.first.tolist(), found.second.tolist(), strict=True))


def test_ordinary_images_of_different_patients_are_no_duplicates(drawn: np.ndarray) -> None:
    assert linked(drawn) == set()


@pytest.mark.parametrize(
    "edit",
    [
        lambda image: image,
        lambda image: np.clip(image * 1.1 + 8.0, 0, 255).astype(np.uint8),
        lambda image: (image * 0.85).astype(np.uint8),
        lambda image: resize(resize(image, 48, 48), SIDE, SIDE),
        lambda image: (image // 8 * 8 + 4).astype(np.uint8),
    ],
    ids=["copied", "brightened", "darkened", "resized", "coarser grey"],
)
def test_a_copy_is_found_beside_the_others(drawn: np.ndarray, edit: object) -> None:
    assert callable(edit)
    copies = np.stack([edit(image) for image in drawn[:10]])
    found = linked(np.concatenate([drawn, copies]))
    assert found == {(row, len(drawn) + row) for row in range(10)}


def test_a_thousand_copies_are_a_thousand_pairs_and_one_group(drawn: np.ndarray) -> None:
    images = np.concatenate([drawn, np.repeat(drawn[7:8], 1000, axis=0)])
    found = find_duplicates(images, thumbnails(images))
    assert len(found.first) == 1000
    assert groups(found, len(images)) == [[7, *range(60, 1060)]]


def test_what_is_not_usable_is_in_no_pair(drawn: np.ndarray) -> None:
    images = np.concatenate([drawn, drawn[:2]])
    usable = np.ones(62, bool)
    usable[60] = False
    found = find_duplicates(images, thumbnails(images), usable)
    assert list(zip(found.first, found.second, strict=True)) == [(1, 61)]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_very_small_sets(drawn: np.ndarray, count: int) -> None:
    images = np.concatenate([drawn[:count], drawn[:count]])
    assert linked(images) == {(row, count + row) for row in range(count)}


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_candidates_are_all_pairs_that_share_a_key(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 30, (count, HASH_KEYS)).astype(np.uint16)
    keys[rng.integers(count)] = keys[0]
    found = {pair for one, other in candidates(keys) for pair in zip(one, other, strict=True)}
    assert all(first < second for first, second in found)
    assert all((keys[first] == keys[second]).any() for first, second in found)
    # Of rows with equal keys only the first stands for all of them.
    _, heads = np.unique(keys, axis=0, return_index=True)
    for first in heads:
        for second in heads:
            if first < second and (keys[first] == keys[second]).any():
                assert (first, second) in found


def test_the_bits_of_a_hash_are_balanced(drawn: np.ndarray) -> None:
    keys = hashes(features(thumbnails(drawn)))
    bits = np.unpackbits(keys.view(np.uint8), axis=1)
    assert bits.shape == (60, 256)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.01


def test_groups_join_what_is_linked_in_a_chain() -> None:
    pairs = Pairs(np.array([0, 4, 2]), np.array([4, 7, 3]), np.ones(3))
    assert groups(pairs, 9) == [[0, 4, 7], [2, 3]]
