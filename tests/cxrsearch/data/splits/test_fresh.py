from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsearch.data.splits import Splits, check_leakage, fresh_splits, make_splits
from cxrsearch.errors import InputError


def population(people: int, most: int, seed: int) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Patients with one to ``most`` images of three labels, the last of them rare."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(people), rng.integers(1, most + 1, people))
    names = tuple(f"{row:05}.png" for row in range(len(owners)))
    labels = (rng.random((len(owners), 3)) < (0.5, 0.3, 0.1)).astype(np.float32)
    return names, labels, np.array([f"p{owner}" for owner in owners])


@settings(max_examples=30)
@given(
    people=st.integers(4, 60),
    most=st.integers(1, 5),
    seed=st.integers(0, 999),
    test_share=st.sampled_from([0.0, 0.2]),
    val_share=st.floats(0.1, 0.6),
    val_seed=st.none() | st.integers(5, 30),
    round=st.integers(0, 9),
)
def test_a_fresh_split_deals_the_same_images_by_patient(
    people: int, most: int, seed: int, test_share: float, val_share: float,
    val_seed: int | None, round: int,
) -> None:  # fmt: skip
    names, labels, patients = population(people, most, seed)
    own = make_splits(
        names, labels, patients,
        seed=seed, test_share=test_share, val_share=val_share, val_seed=val_seed,
    )  # fmt: skip
    fresh = fresh_splits(own, names, labels, patients, round)
    owner = dict(zip(names, patients.tolist(), strict=True))
    check_leakage(fresh, owner)
    assert sorted([*fresh.train, *fresh.val]) == sorted([*own.train, *own.val])
    assert fresh.test == own.test
    assert fresh.train
    assert fresh.fingerprint != own.fingerprint
    assert len(fresh.val_seed) <= max(len(own.val_seed), len(fresh.val))
    if len(own.val_seed) == len(own.val):
        assert set(fresh.val_seed) == set(fresh.val)
    else:
        assert len(fresh.val_seed) <= len(own.val_seed)
    # As many patients, but for those that a part must have in any case.
    assert abs(len({owner[n] for n in fresh.val}) - len({owner[n] for n in own.val})) <= people / 4
    order = np.random.default_rng(seed).permutation(len(names))
    again = fresh_splits(own, [names[i] for i in order], labels[order], patients[order], round)
    assert again == fresh


def test_rounds_and_studies_have_splits_of_their_own() -> None:
    names, labels, patients = population(60, 3, 0)
    own = make_splits(names, labels, patients, seed=1)
    other = make_splits(names, labels, patients, seed=2)
    drawn = [
        fresh_splits(study, names, labels, patients, n) for study in (own, other) for n in (0, 1)
    ]
    assert len({splits.val for splits in (own, other, *drawn)}) == 6


def test_labels_are_shared_out_as_before() -> None:
    names, labels, patients = population(400, 3, 0)
    own = make_splits(names, labels, patients, seed=1, val_seed=100)
    row_of = {name: row for row, name in enumerate(names)}
    pool = labels[[row_of[name] for name in (*own.train, *own.val)]].mean(axis=0)
    for round in range(3):
        fresh = fresh_splits(own, names, labels, patients, round)
        val = labels[[row_of[name] for name in fresh.val]].mean(axis=0)
        assert np.allclose(val, pool, atol=0.02)
        assert 80 <= len(fresh.val_seed) <= 100


def test_parts_that_the_data_gave_are_dealt_anew_too_and_images_of_none_stay_out() -> None:
    names, labels, patients = population(60, 2, 4)
    person = np.array([int(who[1:]) for who in patients])
    parts = np.array(["train"] * 40 + ["val"] * 8 + ["test"] * 6 + [""] * 6)[person]
    own = make_splits(names, labels, patients, seed=0, parts=parts)
    fresh = fresh_splits(own, names, labels, patients, 0)
    owner = dict(zip(names, patients.tolist(), strict=True))
    assert {owner[name] for name in fresh.val} != {owner[name] for name in own.val}
    assert 6 <= len({owner[name] for name in fresh.val}) <= 10
    assert fresh.test == own.test
    out = {name for name, part in zip(names, parts, strict=True) if part == ""}
    assert not out & {*fresh.train, *fresh.val, *fresh.test}


def test_a_test_list_is_kept() -> None:
    names, labels, patients = population(40, 1, 5)
    own = make_splits(names, labels, patients, seed=0, test_list=names[:7])
    assert fresh_splits(own, names, labels, patients, 3).test == names[:7]


def test_images_that_are_gone_are_named() -> None:
    names, labels, patients = population(20, 2, 0)
    own = make_splits(names, labels, patients, seed=0)
    strange: Splits = replace(own, train=("gone.png", *own.train), fingerprint="")
    with pytest.raises(InputError, match=r"1 of its .* such as 'gone\.png'"):
        fresh_splits(strange, names, labels, patients, 0)
