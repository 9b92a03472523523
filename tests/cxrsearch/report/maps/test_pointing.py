from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.data.labels.boxes import Box
from cxrsearch.report.maps.frames import CELLS
from cxrsearch.report.maps.pointing import BOX_TOLERANCE, PointingGame, box_mask

ALL = np.ones((CELLS, CELLS), bool)


def box(left: float, top: float, right: float, bottom: float) -> Box:
    return Box("a.png", "Mass", left, top, right, bottom, 2)


def spot(x: float, y: float) -> np.ndarray:
    found = np.zeros((CELLS, CELLS), np.float32)
    found[int(y * CELLS), int(x * CELLS)] = 1
    return found


def test_a_hit_is_a_maximum_in_the_box_or_within_the_tolerance() -> None:
    game = PointingGame(ALL, "test")
    place = box(0.25, 0.5, 0.5, 0.75)
    near = 0.25 - BOX_TOLERANCE + 0.01
    for patient, (x, y) in enumerate([(0.3, 0.6), (near, 0.6), (0.2, 0.6), (0.3, 0.9)]):
        game.add("Mass", str(patient), spot(x, y), [place])
    found = game.figures()
    assert found["Mass"]["pointing"].value == 0.5
    assert found["Mass"]["pointing"].n == 4
    assert found["Mass"]["pointing_chance"].value == pytest.approx((0.25 + 1 / 16) ** 2, abs=0.01)
    assert found["Mass"]["energy"].value == 0.25
    assert found["Mass"]["energy_chance"].value == 1 / 16
    assert found["mean"]["pointing"] == found["Mass"]["pointing"]


def test_overlap_of_a_map_that_is_the_box_is_one() -> None:
    game = PointingGame(ALL, "test")
    place = box(0.25, 0.5, 0.5, 0.75)
    for patient in "ab":
        game.add("Mass", patient, box_mask([place]).astype(np.float32), [place])
    found = game.figures()["Mass"]
    assert found["overlap"].value == 1
    assert found["overlap_chance"].value == pytest.approx((1 / 16) / (2 - 1 / 16))
    assert found["energy"].value == 1


def test_maps_that_point_at_one_place_do_no_better_than_those_of_other_patients() -> None:
    game = PointingGame(ALL, "test")
    for patient in range(6):
        left = 0.1 if patient < 3 else 0.7
        game.add("Mass", str(patient), spot(0.15, 0.5), [box(left, 0.4, left + 0.2, 0.6)])
    found = game.figures()["Mass"]
    assert found["pointing"].value == found["pointing_others"].value == 0.5


def test_images_of_one_patient_are_no_other_patients() -> None:
    game = PointingGame(ALL, "test")
    for x in (0.2, 0.8):
        game.add("Mass", "one", spot(x, 0.5), [box(0.1, 0.4, 0.3, 0.6)])
    found = game.figures()["Mass"]
    assert found["pointing_others"].value is None
    assert found["pointing"].low is None
    assert found["pointing"].reason == "one patient has no interval"


def test_a_box_beyond_what_is_seen_cannot_be_hit() -> None:
    seen = ALL.copy()
    seen[:, : CELLS // 2] = False
    game = PointingGame(seen, "test")
    for patient in "ab":
        game.add("Mass", patient, spot(0.7, 0.5), [box(0.1, 0.4, 0.3, 0.6)])
    found = game.figures()["Mass"]
    assert found["pointing"].value == found["pointing_chance"].value == 0
    assert found["overlap"].value == 0


def test_a_flat_map_is_as_good_as_chance() -> None:
    game = PointingGame(ALL, "test")
    for patient in "ab":
        game.add("Mass", patient, np.zeros((CELLS, CELLS), np.float32), [box(0.2, 0.2, 0.6, 0.6)])
    found = game.figures()["Mass"]
    assert found["pointing"].value == found["pointing_chance"].value
    assert found["energy"].value is None


def test_the_smallest_box_is_a_place() -> None:
    assert box_mask([box(0.5001, 0.5001, 0.5002, 0.5002)]).sum() == 1
