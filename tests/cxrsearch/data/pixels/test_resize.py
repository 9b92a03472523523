from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from cxrsearch.data.pixels import resize as resize_module
from cxrsearch.data.pixels.resize import resize


def by_pillow(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    shrunk = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(shrunk)


def drawn(rows: int, columns: int, seed: int, kind: str) -> np.ndarray:
    """Noise, hard edges that the filter overshoots at, or a ramp of nearly equal levels."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, 256, (rows, columns), dtype=np.uint8)
    if kind == "edges":
        return rng.choice(np.array([0, 255], np.uint8), (rows, columns))
    steps = np.add.outer(np.arange(rows), np.arange(columns)) // 3 + seed
    return (steps % 256).astype(np.uint8)


SIDES = st.integers(1, 130)


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 99), st.sampled_from(["noise", "edges", "ramp"]))
@example(130, 1, 1, 130, 0, "noise")
@example(97, 97, 97, 31, 0, "edges")
@example(31, 97, 97, 97, 0, "edges")
@example(2, 2, 3, 1, 0, "noise")  # columns first
@example(120, 60, 40, 80, 0, "noise")  # just not: twice as much
@example(121, 60, 40, 80, 0, "noise")
def test_every_size_gives_what_pillow_gives(
    rows: int, columns: int, width: int, height: int, seed: int, kind: str
) -> None:
    picture = drawn(rows, columns, seed, kind)
    expected = by_pillow(picture, width, height)
    assert np.array_equal(resize(picture, width, height), expected)


@pytest.mark.parametrize(
    ("rows", "columns", "side"), [(1024, 1024, 64), (1024, 1024, 224), (1237, 811, 300)]
)
@pytest.mark.parametrize("kind", ["noise", "edges", "ramp"])
def test_full_sized_pictures_give_what_pillow_gives(
    rows: int, columns: int, side: int, kind: str
) -> None:
    picture = drawn(rows, columns, 1, kind)
    assert np.array_equal(resize(picture, side, side), by_pillow(picture, side, side))


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = drawn(70, 90, 2, "noise")
    monkeypatch.setattr(resize_module, "PIECE_PIXELS", 9)
    assert np.array_equal(resize(picture, 33, 21), by_pillow(picture, 33, 21))


def test_a_picture_of_the_right_size_stays() -> None:
    picture = drawn(20, 30, 3, "noise")
    assert np.array_equal(resize(picture, 30, 20), picture)
