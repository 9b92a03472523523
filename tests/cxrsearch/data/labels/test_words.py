"""Lists of labels in one cell."""

from __future__ import annotations

import pytest

from cxrsearch.data.labels.cells import TextColumn
from cxrsearch.data.labels.columns import is_lateral
from cxrsearch.data.labels.folders import classes_in
from cxrsearch.data.labels.words import separator_in, split_cell


@pytest.mark.parametrize("joint", ["|", ";", ", ", " + ", " & ", " / ", " and "])
def test_whatever_stands_between_words_that_also_stand_alone_separates_them(joint) -> None:
    column = TextColumn.of(["mass", "edema", f"mass{joint}edema", f"edema{joint}nodule", "nodule"])
    assert separator_in(column).strip() == joint.strip()


def test_a_slash_within_a_name_is_part_of_it() -> None:
    assert separator_in(TextColumn.of(["Nodule/Mass", "ILD", "Pneumonia/Viral/COVID-19"])) == ""


def test_a_cell_that_says_nothing_is_no_label() -> None:
    assert split_cell("nan", ",") == []
    assert split_cell("['nan', 'mass']", ",") == ["mass"]


def test_views_of_the_ribs_and_images_to_exclude_are_no_frontal_ones() -> None:
    assert [view for view in ("PA", "AP", "L", "COSTAL", "EXCLUDE") if is_lateral(view)] == [
        "L",
        "COSTAL",
        "EXCLUDE",
    ]


def test_folders_of_any_masks_hold_no_images() -> None:
    folders = ("images", "lung masks", "infection masks")
    files = [f"{label}/{folder}/{n}.png" for label in ("COVID-19", "Normal") for folder in folders
             for n in range(2)]  # fmt: skip
    found = classes_in(files)
    assert found is not None
    assert len(found.masks) == 8
    assert all("images" in file for file in found.inside)
