"""Parts that the data come with are taken, and what lacks is drawn from what is left."""

from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.data.splits import Splits, make_splits
from cxrsearch.errors import InputError

NAMES = tuple(f"{i:03}.png" for i in range(120))
PATIENTS = np.array([str(i // 2) for i in range(120)])
LABELS = (np.random.default_rng(0).random((120, 3)) < 0.3).astype(np.uint8)


def parts(train: int = 0, val: int = 0, test: int = 0) -> np.ndarray:
    """The first images are given to train, the next to val, the next to test."""
    words = ["train"] * train + ["val"] * val + ["test"] * test
    return np.array([*words, *[""] * (120 - len(words))])


def make(given: np.ndarray, **more: object) -> Splits:
    return make_splits(NAMES, LABELS, PATIENTS, seed=0, parts=given, **more)  # type: ignore[arg-type]


def test_a_whole_split_is_taken_as_it_is() -> None:
    splits = make(parts(80, 20, 20))
    assert (splits.train, splits.val, splits.test) == (NAMES[:80], NAMES[80:100], NAMES[100:])
    assert splits.val_seed == splits.val
    assert splits.notes == ("parts are those that the data give: train 80, val 20, test 20",)


def test_validation_is_drawn_from_the_given_training_part() -> None:
    splits = make(parts(100, 0, 20))
    assert splits.test == NAMES[100:]
    assert sorted([*splits.train, *splits.val]) == list(NAMES[:100])
    assert 12 <= len(splits.val) <= 28
    assert "; val (share 0.2) is drawn by patient from train" in splits.notes[0]


def test_a_test_part_is_drawn_from_train_where_only_validation_is_given() -> None:
    splits = make(parts(100, 20))
    assert splits.val == NAMES[100:]
    assert sorted([*splits.train, *splits.test]) == list(NAMES[:100])
    assert "; test (share 0.2) is drawn by patient from train" in splits.notes[0]
    none = make(parts(100, 20), test_share=0)
    assert (none.train, none.test) == (NAMES[:100], ())


def test_beside_a_given_test_part_all_others_are_drawn_from() -> None:
    rows = parts(0, 0, 30)
    splits = make(rows)
    assert splits.test == NAMES[:30]
    assert sorted([*splits.train, *splits.val]) == list(NAMES[30:])
    assert (
        "train and val (share 0.2) are drawn by patient from the images of no given part"
        in splits.notes[0]
    )
    listed = make_splits(NAMES, LABELS, PATIENTS, seed=0, test_list=NAMES[:30])
    assert listed.fingerprint == splits.fingerprint
    both = make(parts(0, 20, 20))
    assert (both.val, both.test, both.train) == (NAMES[:20], NAMES[20:40], NAMES[40:])


def test_one_part_for_all_is_a_pool_to_draw_from() -> None:
    splits = make(parts(120))
    drawn = make_splits(NAMES, LABELS, PATIENTS, seed=0)
    assert splits.fingerprint == drawn.fingerprint
    drawn_by = (
        "; test (share 0.2) and val (share 0.2 of the others) are drawn by patient from train"
    )
    assert splits.notes[0].endswith(drawn_by)


def test_images_of_no_part_are_left_out_and_counted_where_train_is_given() -> None:
    splits = make(parts(80, 20, 10))
    assert len({*splits.train, *splits.val, *splits.test}) == 110
    assert splits.notes[1] == (
        "10 images in no given part: left out of all, such as '110.png'; give them a part to use "
        "them"
    )


def test_a_patient_in_two_given_parts_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError) as error:
        make(parts(81, 20, 19))
    assert "2 patients in two parts, such as '40' (train and val), '50' (test and val)" in str(
        error.value
    )
    assert "split: drawn" in str(error.value)
    # One whose other image is left out leaks nothing; one whose other image is drawn from does.
    make(parts(80, 20, 11))
    with pytest.raises(InputError, match=r"1 patient in two parts, such as '5' \(no part and test"):
        make(parts(0, 0, 11))


def test_a_test_list_wins_over_the_given_parts_and_says_so() -> None:
    splits = make(parts(80, 20, 20), test_list=NAMES[:10])
    assert splits.test == NAMES[:10]
    assert len(splits.train) + len(splits.val) == 110
    assert splits.notes == (
        "the data's own split (train 80, val 20, test 20) is not used: a test list was given",
    )


def test_too_little_left_to_draw_from_is_refused() -> None:
    with pytest.raises(InputError, match="has no train, and 0 patients are left"):
        make(parts(0, 60, 60))
    with pytest.raises(InputError, match="has no val, and 1 patients are left to draw it from: 2"):
        make(np.array(["train"] * 2 + ["test"] * 118))
