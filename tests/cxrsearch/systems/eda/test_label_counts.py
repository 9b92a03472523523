from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.systems.eda.label_counts import explore_labels, spread, together


def table(*rows: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and patients out of (patient, "Mass|Nodule") pairs."""
    labels = np.zeros((len(rows), 14), np.uint8)
    for row, (_, cell) in enumerate(rows):
        for name in filter(None, cell.split("|")):
            labels[row, DISEASES.index(name)] = 1
    return labels, np.array([patient for patient, _ in rows])


@pytest.fixture
def few() -> tuple[np.ndarray, np.ndarray]:
    return table(
        ("a", "Mass|Nodule"), ("a", "Mass"), ("a", ""), ("b", "Mass"), ("b", "Hernia|Mass|Nodule"),
        ("c", ""), ("c", ""), ("d", "Edema"),
    )  # fmt: skip


def test_images_and_patients_of_a_hand_made_table(few: tuple[np.ndarray, np.ndarray]) -> None:
    found = explore_labels(*few, DISEASES)
    assert (found.images, found.patients) == (8, 4)
    by_name = {p.name: p for p in found.prevalences}
    assert tuple(by_name) == (*DISEASES, NO_FINDING)
    mass = by_name["Mass"]
    assert (mass.images, mass.share, mass.patients, mass.patient_share) == (4, 0.5, 2, 0.5)
    assert mass.alone == 2
    assert (by_name["Nodule"].images, by_name["Nodule"].alone) == (2, 0)
    assert (by_name[NO_FINDING].images, by_name[NO_FINDING].patients) == (3, 2)
    assert by_name["Fibrosis"].images == 0
    assert found.cardinality == ((0, 1, 2, 3), (3, 3, 1, 1))
    assert found.cardinality.mean == 1.0
    assert found.per_patient == ((1, 2, 3), (1, 2, 1))
    assert found.per_patient.median == 2
    assert found.findings == ((0, 1, 2, 3), (1, 1, 1, 1))
    assert found.combinations[0] == ((), 3)
    assert found.combinations[1] == (("Mass",), 2)
    assert (("Mass", "Nodule", "Hernia"), 1) in found.combinations


def test_conditional_and_lift_of_a_hand_made_table(few: tuple[np.ndarray, np.ndarray]) -> None:
    found = together(few[0], DISEASES)
    mass, nodule, hernia = (DISEASES.index(name) for name in ("Mass", "Nodule", "Hernia"))
    assert found.counts[mass, nodule] == found.counts[nodule, mass] == 2
    assert found.conditional[mass, nodule] == 0.5  # of four with a mass, two have a nodule
    assert found.conditional[nodule, mass] == 1.0
    assert found.lift[mass, nodule] == 2 / (4 * 2 / 8)
    assert found.lift[hernia, DISEASES.index("Edema")] == 0
    fibrosis = DISEASES.index("Fibrosis")
    assert np.isnan(found.conditional[fibrosis]).all()
    assert np.isnan(found.lift[fibrosis]).all()
    assert found.conditional[mass, fibrosis] == 0
    assert np.isnan(np.diag(found.lift)).all()


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.lists(st.integers(0, 13), max_size=5)),
        min_size=1,
        max_size=25,
    )
)
def test_counts_are_those_of_a_plain_loop(rows: list[tuple[int, list[int]]]) -> None:
    labels = np.zeros((len(rows), 14), np.uint8)
    for row, (_, marks) in enumerate(rows):
        labels[row, marks] = 1
    patients = np.array([str(patient) for patient, _ in rows])
    found = explore_labels(labels, patients, DISEASES)
    sets = [frozenset(marks) for _, marks in rows]
    for i in range(14):
        having = [s for s in sets if i in s]
        assert found.prevalences[i].images == len(having)
        assert found.prevalences[i].alone == sets.count(frozenset([i]))
        whose = {p for (p, _), s in zip(rows, sets, strict=True) if i in s}
        assert found.prevalences[i].patients == len(whose)
        for j in range(14):
            both = sum(j in s for s in having)
            assert found.together.counts[i, j] == both
            if having:
                assert found.together.conditional[i, j] == pytest.approx(both / len(having))
    assert found.prevalences[-1].images == sets.count(frozenset())
    assert sum(found.cardinality.counts) == len(rows)
    assert found.cardinality.mean == pytest.approx(np.mean([len(s) for s in sets]))
    assert sum(found.per_patient.counts) == found.patients == len({p for p, _ in rows})
    total = zip(found.per_patient.values, found.per_patient.counts, strict=True)
    assert sum(v * c for v, c in total) == len(rows)
    assert sum(c.images for c in found.combinations) <= len(rows)
    top = found.combinations[0]
    assert top.images == max(sets.count(s) for s in sets)


def test_the_counts_do_not_depend_on_the_order_of_the_rows(
    few: tuple[np.ndarray, np.ndarray],
) -> None:
    order = np.random.default_rng(1).permutation(8)
    one, other = (
        explore_labels(*few, DISEASES),
        explore_labels(few[0][order], few[1][order], DISEASES),
    )
    assert one.prevalences == other.prevalences
    assert one.combinations == other.combinations
    assert one.findings == other.findings


def test_a_spread_of_nothing_is_empty() -> None:
    assert spread([]) == ((), ())
    assert spread([]).mean == spread([]).median == 0
