"""Whom each image shows."""

from __future__ import annotations

from cxrsearch.data.labels.patients import EACH_ITS_OWN, patients_by_name


def test_names_that_are_known_tell_patients_beside_others_that_say_nothing() -> None:
    nih = ["N/00000013_000.png", "N/00000013_008.png", "P/00000014_001.png"]
    images = [*nih[:2], "C/kjr-21.jpg", "C/1.png", nih[2]]
    patients, notes = patients_by_name(images)
    assert patients.tolist() == ["13", "13", "C/kjr-21.jpg", "C/1.png", "14"]
    assert "patients of 3 images" in notes[0]
    assert "other 2 images" in notes[1]


def test_where_no_name_is_known_each_image_is_a_patient_of_its_own() -> None:
    patients, notes = patients_by_name(["a.png", "b.png"])
    assert patients.tolist() == ["a.png", "b.png"]
    assert notes == (EACH_ITS_OWN,)
