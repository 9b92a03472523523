"""What labels may be called."""

from __future__ import annotations

import pytest

from cxrsearch.data.labels.names import name_problems


@pytest.mark.parametrize(
    "name", ["Nodule/Mass", "COVID-19", "Pleural Effusion", "LVEF < 45", "Ödem"]
)
def test_names_as_data_sets_have_them_are_good(name: str) -> None:
    assert name_problems([name]) == []


@pytest.mark.parametrize(
    "name",
    ["", " a", "<b>x</b>", "../x", "/x", "a//b", "x" * 300, "a,b", "a:b", "=a", "No Finding",
     "image", "Patients", "\u200b", "---"],
)  # fmt: skip
def test_names_that_would_be_taken_for_something_else_are_refused(name: str) -> None:
    assert len(name_problems([name])) == 1


def test_names_that_differ_in_case_and_marks_alone_are_named_together() -> None:
    (problem,) = name_problems(["Mass", "Edema", "mass"])
    assert "'Mass' and 'mass'" in problem
