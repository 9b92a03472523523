"""Whether a generator that copies is found out, and one that doesn't left alone."""

from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.systems.gan.memorised import ComparedImages, check_copies, nearest, small


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32), np.uint8)


def seen(pictures: np.ndarray) -> ComparedImages:
    """Pixels, and random projections of them as features."""
    axes = np.random.default_rng(9).normal(size=(32 * 32, 12))
    return ComparedImages(small(pictures), pictures.reshape(len(pictures), -1) / 255 @ axes)


TRAINING, HELD_OUT = images(60, 0), images(40, 1)


def test_a_copier_is_found_out() -> None:
    copies = np.clip(TRAINING[5:25].astype(int) + 2, 0, 255).astype(np.uint8)
    found = check_copies(seen(copies), seen(HELD_OUT), seen(TRAINING))
    assert (found.suspects, found.copies) == (1.0, True)
    assert found.nearest.tolist() == list(range(5, 25))
    assert found.pixels[1] < found.pixels[2]


def test_one_copy_in_ten_is_found_out() -> None:
    mixed = np.concatenate([images(18, 5), TRAINING[:2]])
    found = check_copies(seen(mixed), seen(HELD_OUT), seen(TRAINING))
    assert 0.1 <= found.suspects <= 0.15
    assert found.copies


def test_new_images_are_no_copies() -> None:
    found = check_copies(seen(images(100, 2)), seen(HELD_OUT), seen(TRAINING))
    assert not found.copies
    assert found.pixels[1] == pytest.approx(found.pixels[3], rel=0.05)


def test_a_smooth_image_is_no_copy_though_it_is_near_to_all_in_pixels() -> None:
    flat = np.full((20, 32, 32), 128, np.uint8)
    found = check_copies(seen(flat), seen(HELD_OUT), seen(TRAINING))
    assert found.pixels[1] < found.pixels[2]
    assert found.suspects == 0


def test_small_pictures_are_means_over_blocks() -> None:
    picture = np.kron(np.arange(1024).reshape(32, 32) % 256, np.ones((2, 2))).astype(np.uint8)
    np.testing.assert_allclose(small(picture[None])[0], np.arange(1024) % 256)
    assert small(images(3, 0)[:, :20, :20]).shape == (3, 400)


def test_the_nearest_is_exact_where_images_are_the_same() -> None:
    rows = np.random.default_rng(0).normal(1e4, 1, size=(7, 50))
    distances, which = nearest(rows[[4, 2]], rows)
    assert distances.tolist() == [0.0, 0.0]
    assert which.tolist() == [4, 2]
