from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.data.alike.thumbnails import detail, thumbnails
from cxrsearch.phantom.dataset import phantom_dataset
from cxrsearch.systems.eda.orientation import ORIENTATIONS, PATTERN_FROM, orientations, set_problems
from cxrsearch.systems.eda.quality import BLANK, blanks, check_images


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    """Thumbnails of 60 drawn X-rays, ``(60, 32, 32)``."""
    dataset = phantom_dataset(images=60, seed=5)
    images = np.stack([dataset.source.decode(name, 64) for name in dataset.names])
    return thumbnails(images)


def kinds(small: np.ndarray) -> list[str]:
    found = orientations(small, np.ones(len(small), bool))
    assert found is not None
    return [ORIENTATIONS[kind] for kind in found.kind]


def test_turned_and_inverted_images_are_told_from_upright_ones(small: np.ndarray) -> None:
    assert set(kinds(small)) == {"upright"}
    spoilt = small.copy()
    for row in range(3):
        spoilt[row] = np.rot90(small[row], row + 1)
    spoilt[3] = 255 - small[3]
    found = kinds(spoilt)
    assert found[:4] == ["turned by 90°", "turned by 180°", "turned by 270°", "inverted"]
    assert set(found[4:]) == {"upright"}


def test_brightness_and_contrast_do_not_matter(small: np.ndarray) -> None:
    np.testing.assert_allclose(detail(small, 8.0), detail(small * 0.3 + 90, 8.0), atol=1e-5)


def test_a_whole_set_that_is_inverted_or_on_its_side_is_told(small: np.ndarray) -> None:
    for spoilt, wanted in (
        (small, []),
        (255 - small, ["inverted"]),
        (np.rot90(small, 1, (1, 2)), ["side"]),
        (np.rot90(small, 3, (1, 2)), ["side"]),
        (255 - np.rot90(small, 1, (1, 2)), ["side", "inverted"]),
    ):
        found = orientations(spoilt, np.ones(len(spoilt), bool))
        assert found is not None
        assert set_problems(found.pattern) == wanted


def test_a_few_images_make_no_pattern(small: np.ndarray) -> None:
    assert orientations(small[: PATTERN_FROM - 1], np.ones(PATTERN_FROM - 1, bool)) is None
    usable = np.zeros(60, bool)
    assert orientations(small, usable) is None


def test_black_white_and_flat_images_are_blank_and_nothing_else(small: np.ndarray) -> None:
    spoilt = small.copy()
    spoilt[0] = 3
    spoilt[0, :2, :4] = 255  # a letter
    spoilt[1] = 251
    spoilt[2] = 120 + np.random.default_rng(0).normal(0, 2, (32, 32))
    found = blanks(spoilt)
    assert [BLANK[kind - 1] for kind in found[:3]] == list(BLANK)
    assert not found[3:].any()


def test_images_that_could_not_be_read_are_not_counted(small: np.ndarray) -> None:
    images = np.repeat(np.repeat(small, 2, 1), 2, 2).astype(np.uint8)
    images = np.concatenate([images, images[:2]])
    ok = np.ones(62, bool)
    images[0], ok[0] = 0, False  # black in the cache, for want of anything better
    found = check_images(images, thumbnails(images), ok)
    assert len(found.blank) == 61
    assert not found.blank.any()
    assert found.groups == [[0, 60]]  # rows among the readable: images 1 and 61


def test_thumbnails_are_the_mean_of_the_area() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96), np.uint8)
    wanted = images.reshape(3, 32, 3, 32, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(thumbnails(images), wanted, rtol=1e-4)
    odd = thumbnails(images[:, :50, :50])
    np.testing.assert_allclose(odd.mean((1, 2)), images[:, :50, :50].mean((1, 2)), rtol=1e-4)
