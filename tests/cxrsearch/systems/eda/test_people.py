from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrsearch.data.about import read_people
from cxrsearch.data.diseases import DISEASES
from cxrsearch.systems.eda.people import age_bands, groups_of, of_two_sexes, shortcuts


def cells(*values: str) -> np.ndarray:
    return np.array(values)


@pytest.mark.parametrize(
    ("cell", "years"),
    [("57", 57), ("058Y", 58), ("003M", 0.25), ("014D", 14 / 365.25), (" 41.5 ", 41.5), ("0", 0)],
)
def test_ages_in_years_months_weeks_and_days(cell: str, years: float) -> None:
    people = read_people({"Patient Age": cells(cell)})
    assert people.age is not None
    assert people.age[0] == pytest.approx(years, abs=0.01)


@pytest.mark.parametrize("cell", ["411", "148", "155Y", "-3"])
def test_an_age_that_cannot_be_is_told_and_left_out(cell: str) -> None:
    people = read_people({"Patient Age": cells(cell, "50")})
    assert people.age is not None
    assert people.absurd is not None
    assert np.isnan(people.age[0])
    assert people.absurd.tolist() == [cell, ""]


@given(st.lists(st.text(max_size=6), min_size=1, max_size=5))
def test_no_cell_of_any_kind_is_a_traceback(values: list[str]) -> None:
    extra = dict.fromkeys(("age", "Sex", "View Position"), np.array(values))
    people = read_people(extra)
    assert people.age is not None
    assert ((people.age >= 0) | np.isnan(people.age)).all()


def test_columns_that_are_not_there_are_none() -> None:
    people = read_people({"Height]": cells("3000")})
    assert (people.age, people.absurd, people.sex, people.view) == (None, None, None, None)


def test_groups_count_images_patients_and_positives() -> None:
    labels = np.zeros((5, 14), np.uint8)
    labels[[0, 1, 4], 4] = 1
    people = read_people({"view": cells("PA", "ap", "PA", "PA", "")})
    assert people.view is not None
    found = groups_of(people.view, labels, cells("a", "a", "a", "b", "c"))
    assert [(g.name, g.images, g.patients, int(g.positives[4])) for g in found] == [
        ("PA", 3, 2, 1), ("AP", 1, 1, 1), ("", 1, 1, 1),
    ]  # fmt: skip


def test_age_groups_are_ten_years_wide_and_leave_the_unknown_out() -> None:
    labels = np.zeros((4, 14), np.uint8)
    found = age_bands(np.array([9.9, 10, 19, np.nan]), labels, cells("a", "b", "b", "c"))
    assert [(g.name, g.images, g.patients) for g in found] == [("0 to 9", 1, 1), ("10 to 19", 2, 1)]


def test_shortcuts_are_the_auroc_of_the_column_alone() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    labels = (rng.random((200, 14)) < 0.3).astype(np.uint8)
    labels[:, 3] = 0
    sick = labels[:, 0] == 1
    age = np.round(50 - 15 * sick + rng.normal(0, 10, 200)).clip(0, 90)
    view = np.where(rng.random(200) < np.where(sick, 0.8, 0.3), "AP", "PA")
    found = shortcuts(read_people({"age": age.astype(str), "view": view}), labels, DISEASES)
    by_age = {s.label: s.auroc for s in found if s.column == "age"}
    assert by_age[DISEASES[0]] == pytest.approx(roc_auc_score(sick, -age))
    by_view = {s.label: s.auroc for s in found if s.column == "view"}
    assert by_view[DISEASES[0]] == pytest.approx(roc_auc_score(sick, view == "AP"))
    assert DISEASES[3] not in by_age  # nobody has it
    assert all(s.auroc >= 0.5 for s in found)


def test_a_patient_of_two_sexes() -> None:
    people = read_people({"Sex": cells("M", "female", "F", "f", "")})
    assert people.sex is not None
    assert of_two_sexes(people.sex, cells("a", "a", "b", "b", "a")) == ["a"]
