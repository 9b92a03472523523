"""Pictures unlike the training's are told: inverted, dark, enlarged, of another range."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.pixels.appearance import Appearance, appearance
from cxrsearch.model.suspicion.check import grave
from cxrsearch.model.suspicion.pictures import picture_checks, size_check
from cxrsearch.phantom.dataset import phantom_dataset

SIDE = 64


@cache
def drawn() -> np.ndarray:
    """120 drawn X-rays."""
    data = phantom_dataset(images=120, unlabelled=0, seed=5)
    return np.stack([data.source.decode(name, SIDE) for name in data.names])


@cache
def seen() -> Appearance:
    return appearance(drawn(), np.arange(0, 80))


def found(images: np.ndarray) -> dict[str, str]:
    checks = picture_checks(seen(), images, np.arange(len(images)), "external")
    return {check.name: check.level for check in grave(checks)}


def enlarged(images: np.ndarray) -> np.ndarray:
    half, full = (SIDE // 2, SIDE // 2), (SIDE, SIDE)
    small = [Image.fromarray(image).resize(half, Image.Resampling.LANCZOS) for image in images]
    return np.stack([np.asarray(one.resize(full, Image.Resampling.BICUBIC)) for one in small])


def test_other_pictures_of_the_same_kind_raise_no_alarm() -> None:
    assert found(drawn()[80:]) == {}


def test_no_random_split_raises_an_alarm() -> None:
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(120)
        own = appearance(drawn(), order[:80])
        assert grave(picture_checks(own, drawn(), order[80:], "test")) == []


def test_inverted_pictures_make_the_figures_false() -> None:
    assert found(255 - drawn()[80:])["inverted"] == "false"


def test_a_few_inverted_pictures_among_many_are_doubtful() -> None:
    images = drawn()[80:].copy()
    images[:6] = 255 - images[:6]
    assert found(images) == {"inverted": "doubtful"}


def test_twelve_bits_in_sixteen_make_the_figures_false() -> None:
    assert found((drawn()[80:] // 16).astype(np.uint8))["blank"] == "false"


def test_half_as_bright_pictures_are_out_of_range() -> None:
    assert found((drawn()[80:] // 2).astype(np.uint8)) == {"pixel range": "doubtful"}


def test_enlarged_pictures_are_told() -> None:
    assert found(enlarged(drawn()[80:])) == {"resolution": "doubtful"}


def test_a_summary_survives_json_and_anything_else_is_none() -> None:
    stored: dict[str, Any] = seen().to_dict()
    assert Appearance.from_dict(stored) == seen()
    for key, value in (
        ("steps", [1]), ("images", 0), ("images", "x"), ("pattern", "zz"), ("pattern", "00"),
        ("pattern", None), ("percentiles", {}), ("percentiles", {"level": [None] * 9}),
        ("percentiles", None), ("blank", -1),
    ):  # fmt: skip
        assert Appearance.from_dict({**stored, key: value}) is None
    assert Appearance.from_dict(None) is None


@pytest.mark.parametrize("count", [1, 29])
def test_too_few_training_pictures_say_so(count: int) -> None:
    few = appearance(drawn(), np.arange(count))
    checks = picture_checks(few, 255 - drawn(), np.arange(40), "test")
    assert [check.level for check in checks] == ["note"]
    assert "too few" in checks[0].sentence


def test_an_old_card_and_another_frame_say_so() -> None:
    old = picture_checks(None, drawn(), np.arange(5), "test")
    other = picture_checks(seen(), np.zeros((9, 32, 32), np.uint8), np.arange(9), "test")
    assert "earlier version" in old[0].sentence
    assert "32 pixels a side" in other[0].sentence


def test_blank_training_pictures_are_no_error() -> None:
    black = appearance(np.zeros((40, SIDE, SIDE), np.uint8))
    assert black.typical is None
    levels = {check.level for check in picture_checks(black, drawn(), np.arange(40), "test")}
    assert levels == {"note", "doubtful"}


@pytest.mark.parametrize(
    ("side", "trained", "level", "said"),
    [
        (224, 224, "note", "224 pixels a side, the training's 224"),
        (112, 224, "note", "another resolution, of which the model sees little"),
        (1024, 224, "note", "another resolution"),
        (48, 224, "doubtful", "enlarged to the 64 that the model takes"),
        (48, None, "note", "has no size of its own"),
    ],
)
def test_files_of_another_size_are_told(side: int, trained: Any, level: str, said: str) -> None:
    check = size_check(side, trained, 64, "external")
    assert check.level == level
    assert said in check.sentence
