from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cxrsearch.data.about import about
from cxrsearch.data.dataset import Dataset


class Nothing:
    """Pixels that nobody asks for."""

    def decode(self, name: str, size: int) -> np.ndarray:
        raise AssertionError(name)

    def stamp(self, name: str) -> str:
        raise AssertionError(name)


ROLES = {"age": "Patient Age", "sex": "Gender", "view": "View"}


def dataset_with(**columns: list[str]) -> Dataset:
    extra = {ROLES[role]: np.array(values) for role, values in columns.items()}
    names = ("a.png", "b.png", "c.png", "d.png")
    return Dataset(
        names, np.zeros((4, 14), np.uint8), np.array(names), (), Nothing(),
        extra=extra, roles={role: ROLES[role] for role in columns},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("58", 58.0), ("058Y", 58.0), (" 6M ", 0.5), ("26.09w", 0.5), ("63.5", 63.5),
        ("412", None), ("", None), ("old", None), ("-3", None), ("110", 110.0),
    ],
)  # fmt: skip
def test_ages_are_years(text: str, years: float | None) -> None:
    found = about(dataset_with(age=[text, "1", "2", "3"]))
    assert found.names == ("age",)
    if years is None:
        assert np.isnan(found.values[0, 0])
    else:
        assert found.values[0, 0] == pytest.approx(years, rel=1e-3)


def test_sexes_and_two_views_are_one_column_each() -> None:
    found = about(dataset_with(sex=["M", "female", "F", "?"], view=["pa", "AP", "PA", ""]))
    assert found.names == ("sex", "view AP")
    np.testing.assert_array_equal(found.values, [[0, 0], [1, 1], [1, 0], [np.nan, np.nan]])


def test_of_several_views_each_has_a_column() -> None:
    found = about(dataset_with(view=["PA", "AP", "LL", "PA"]))
    assert found.names == ("view PA", "view AP", "view LL")
    np.testing.assert_array_equal(found.values, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])


def test_columns_that_say_nothing_are_left_out() -> None:
    same = about(dataset_with(sex=["F", "F", "f", ""], view=["", "", "", ""]))
    assert same.names == ()
    assert same.values.shape == (4, 0)
    unnamed = replace(dataset_with(sex=["F", "M", "F", "M"]), roles={})
    assert about(unnamed).names == ("sex",)  # by the column's name
    assert about(replace(unnamed, extra={})).names == ()
