from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cxrsearch.data.labels.boxes import Box
from cxrsearch.report.maps.chest import chest_window, share_outside
from cxrsearch.report.maps.colours import colours_of, oklab_of
from cxrsearch.report.maps.drawing import BOX_COLOUR, PANEL_GAP, SIDE, draw_map
from cxrsearch.report.maps.frames import CELLS

WHOLE = (0.0, 0.0, 1.0, 1.0)


def test_equal_steps_are_equal_to_the_eye_on_both_sides() -> None:
    values = np.linspace(-1, 1, 41)
    steps = np.linalg.norm(np.diff(oklab_of(values), axis=0), axis=1)
    np.testing.assert_allclose(steps[:20], steps[0], rtol=1e-6)
    np.testing.assert_allclose(steps[20:], steps[-1], rtol=1e-6)
    np.testing.assert_allclose(oklab_of(values)[:, 0], oklab_of(-values)[:, 0])
    # No colour was cut off where a screen has none.
    red, green, blue = colours_of(values).T.astype(int)
    assert (np.diff(red[20:]) <= 0).all() or red[20:].max() == 255
    assert red[-1] > blue[-1]
    assert blue[0] > red[0]
    assert abs(red[20] - green[20]) <= 2


def test_the_map_is_drawn_over_its_place_with_boxes(tmp_path: Path) -> None:
    grey = np.full((32, 64), 128, np.uint8)
    found = np.zeros((CELLS, CELLS), np.float32)
    found[: CELLS // 2, : CELLS // 2] = 2.0
    draw_map(tmp_path / "a.png", grey, found, WHOLE, [Box("a", "b", 0.5, 0.5, 0.9, 0.9, 2)])
    picture = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
    wide, high = SIDE, SIDE // 2
    assert picture.shape[0] == high
    plain, over = picture[:, :wide], picture[:, wide + PANEL_GAP : 2 * wide + PANEL_GAP]
    assert tuple(plain[10, 10]) == (128, 128, 128)
    assert over[10, 10][0] > over[10, 10][2] + 30  # for the finding: orange
    assert tuple(over[high - 5, 10]) == (128, 128, 128)
    assert tuple(plain[high // 2, wide // 2 + 20]) == BOX_COLOUR


def test_only_the_window_of_the_map_is_drawn(tmp_path: Path) -> None:
    found = np.zeros((CELLS, CELLS), np.float32)
    found[CELLS // 2 :, :] = -1.0
    draw_map(tmp_path / "a.png", np.zeros((8, 8), np.uint8), found, (0.5, 0.25, 0.25, 0.5))
    over = np.asarray(Image.open(tmp_path / "a.png"))[
        :, SIDE + PANEL_GAP : 2 * SIDE + PANEL_GAP
    ].astype(int)
    assert (over[..., 2] > over[..., 0]).all()  # against it: blue, also along the upper border


def test_the_share_outside_the_chest_is_of_the_positive_part() -> None:
    chest = chest_window()
    assert not chest[0, 0]
    assert chest[CELLS // 2, CELLS // 2]
    corner, middle = np.zeros((2, CELLS, CELLS), np.float32)
    corner[0, 0] = 3
    middle[CELLS // 2, CELLS // 2] = 1
    maps = np.stack([corner, middle, corner + middle, middle - corner, -middle])
    found = share_outside(maps, chest)
    np.testing.assert_allclose(found[:4], [1, 0, 0.75, 0])
    assert np.isnan(found[4])
