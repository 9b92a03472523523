from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.read import read_dataset
from cxrsearch.data.splits import Splits, check_leakage, judgeable, label_counts, make_splits
from cxrsearch.data.splits.counts import ALL_PARTS, negatives
from cxrsearch.errors import InputError
from search.errors import SearchError
from search.reading import read_json

REAL = Path(__file__).parents[5] / "shared" / "nih-small"
RATES = np.linspace(0.02, 0.25, 14)


def population(
    people: int, most: int = 6, seed: int = 0
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Patients with one to ``most`` images, whose diseases tend to stay."""
    rng = np.random.default_rng(seed)
    names, labels, patients = [], [], []
    for person in range(people):
        tendency = rng.random(14) < RATES
        for image in range(rng.integers(1, most + 1)):
            names.append(f"{person:08}_{image:03}.png")
            labels.append((tendency & (rng.random(14) < 0.8)) | (rng.random(14) < 0.01))
            patients.append(str(person))
    return tuple(names), np.array(labels, np.uint8), np.array(patients)


@settings(max_examples=30, deadline=None)
@given(
    people=st.integers(3, 40),
    most=st.integers(1, 6),
    seed=st.integers(-5, 2**40),
    test_share=st.floats(0, 0.6),
    val_share=st.floats(0.05, 0.6),
    val_seed=st.none() | st.integers(10, 60),
)
def test_every_image_is_in_one_part_and_no_patient_in_two(
    people: int, most: int, seed: int, test_share: float, val_share: float, val_seed: int | None
) -> None:
    names, labels, patients = population(people, most, abs(seed) % 1000)
    splits = make_splits(
        names, labels, patients,
        seed=seed, test_share=test_share, val_share=val_share, val_seed=val_seed,
    )  # fmt: skip
    assert sorted([*splits.train, *splits.val, *splits.test]) == sorted(names)
    owner = dict(zip(names, patients.tolist(), strict=True))
    owners = [{owner[name] for name in part} for part in (splits.train, splits.val, splits.test)]
    assert sum(map(len, owners)) == len(set.union(*owners))
    assert splits.train
    assert splits.val
    assert bool(splits.test) == (test_share > 0)
    assert 0 < len(splits.val_seed) <= (val_seed or 2000)
    assert set(splits.val_seed) <= set(splits.val)
    outside = {owner[name] for name in set(splits.val) - set(splits.val_seed)}
    assert not outside & {owner[name] for name in splits.val_seed}
    check_leakage(splits, owner)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), test_share=st.floats(0.1, 0.4), val_share=st.floats(0.1, 0.4))
def test_shares_and_label_proportions_are_near_the_request(
    seed: int, test_share: float, val_share: float
) -> None:
    names, labels, patients = population(500, seed=seed)
    splits = make_splits(
        names, labels, patients, seed=seed, test_share=test_share, val_share=val_share
    )
    counts = label_counts(splits, names, labels, patients, DISEASES)
    wanted = {"test": test_share, "val": (1 - test_share) * val_share}
    for part, share in wanted.items():
        assert abs(counts[part]["patients"] / 500 - share) < 0.05
        assert abs(counts[part]["images"] / len(names) - share) < 0.03
        for disease, total in zip(DISEASES, labels.sum(axis=0), strict=True):
            # Off by up to one patient (six images), and a little for who has several diseases.
            assert abs(counts[part][disease] - share * total) <= 7 + 0.03 * total, disease


def test_rare_diseases_reach_every_part() -> None:
    names, labels, patients = population(600, most=2, seed=4)
    labels[:, 13] = 0
    labels[:10, 13] = 1  # of five patients and more
    splits = make_splits(names, labels, patients, seed=1)
    counts = label_counts(splits, names, labels, None, DISEASES)
    assert min(counts[part]["Hernia"] for part in ("train", "val", "test")) >= 1


def test_the_fixed_subset_keeps_proportions() -> None:
    names, labels, patients = population(900, seed=2)
    splits = make_splits(names, labels, patients, seed=3, val_share=0.5, val_seed=400)
    counts = label_counts(splits, names, labels, None, DISEASES)
    assert 380 <= len(splits.val_seed) <= 400
    for disease in DISEASES:
        share = counts["val_seed"][disease] / max(counts["val"][disease], 1)
        assert abs(share - 400 / len(splits.val)) < 0.12


def test_a_small_validation_part_is_its_own_fixed_subset() -> None:
    splits = make_splits(*population(40), seed=0)
    assert splits.val_seed == splits.val


def test_a_seed_gives_the_same_parts_whatever_the_row_order() -> None:
    names, labels, patients = population(80)
    order = np.random.default_rng(1).permutation(len(names))
    one = make_splits(names, labels, patients, seed=5)
    shuffled = [names[i] for i in order]
    assert make_splits(shuffled, labels[order], patients[order], seed=5) == one
    assert make_splits(names, labels, patients, seed=6).fingerprint != one.fingerprint
    assert make_splits(names, labels, patients, seed=5, val_share=0.4).test == one.test


def test_a_test_list_decides_the_test_part() -> None:
    names, labels, patients = population(30)
    listed = [name for name, patient in zip(names, patients, strict=True) if int(patient) < 4]
    splits = make_splits(
        names, labels, patients, seed=0, test_list=[*listed, "99999999_000.png", "x.png"]
    )
    assert splits.test == tuple(sorted(listed))
    assert "2 of its names" in splits.notes[0]
    assert "'99999999_000.png'" in splits.notes[0]
    stems = [name.removesuffix(".png") for name in listed]
    assert make_splits(names, labels, patients, seed=0, test_list=stems).test == splits.test
    folders = [f"images/{name}" for name in names]
    moved = make_splits(folders, labels, patients, seed=0, test_list=listed)
    assert moved.test == tuple(f"images/{name}" for name in sorted(listed))
    paths = [f"./images/{name}" for name in listed]
    assert make_splits(names, labels, patients, seed=0, test_list=paths).test == splits.test


def test_a_listed_name_that_fits_two_images_is_refused() -> None:
    names, labels, patients = population(30)
    names = [f"a/{names[0]}", f"b/{names[0]}", *names[2:]]
    with pytest.raises(InputError, match="fits 2 images") as caught:
        make_splits(names, labels, patients, seed=0, test_list=[names[0][2:], names[5]])
    assert f"such as {names[0]!r}" in str(caught.value)
    listed = make_splits(names, labels, [str(i) for i in range(len(names))], seed=0,
                         test_list=[names[0]])  # fmt: skip
    assert listed.test == (names[0],)
    whole = [name for name, patient in zip(names, patients, strict=True) if patient == "5"]
    other = make_splits(names, labels, patients, seed=0, test_list=[f"c/{names[0][2:]}", *whole])
    assert "1 of its names" in other.notes[0]


def test_a_patient_on_and_off_the_list_is_refused() -> None:
    names, labels, patients = population(30, most=3)
    firsts = [name for name in names if name.endswith("_000.png")][:12]
    several = sorted(
        {p for p in patients[:40] if (patients == p).sum() > 1} & set(map(str, range(12)))
    )
    with pytest.raises(InputError) as caught:
        make_splits(names, labels, patients, seed=0, test_list=firsts)
    (message,) = caught.value.problems
    assert f"{len(several)} patients in two parts" in message
    assert repr(several[0]) in message


@pytest.mark.parametrize(
    ("people", "options", "expected"),
    [
        (1, {}, "1 patient for 3 parts"),
        (2, {}, "2 patients for 3 parts"),
        (1, {"test_share": 0.0}, "1 patient for 2 parts"),
        (9, {"test_share": 1.0}, "test share 1"),
        (9, {"test_share": -0.1}, "test share -0.1"),
        (9, {"val_share": 0.0}, "validation share 0"),
        (9, {"val_share": float("nan")}, "validation share nan"),
        (9, {"val_seed": 0}, "val_seed 0"),
        (9, {"test_list": ["none.png"]}, "none of its 1 names"),
        (9, {"test_list": []}, "no names in it"),
        (3, {"test_list": ["00000000_000.png", "00000001_000.png"]}, "left beside it: 1"),
    ],
)
def test_what_cannot_be_split_is_refused(
    people: int, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        make_splits(*population(people, most=1), seed=0, **options)


def test_a_subset_smaller_than_any_patient_is_refused() -> None:
    names = [f"{i:04}" for i in range(60)]
    patients = np.array([str(i // 20) for i in range(60)])
    with pytest.raises(InputError, match="at least 20 images"):
        make_splits(names, np.zeros((60, 14), int), patients, seed=0, val_seed=5)


def test_rows_that_do_not_match_are_refused() -> None:
    names, labels, patients = population(9)
    with pytest.raises(InputError, match="labels"):
        make_splits(names, labels[1:], patients, seed=0)
    with pytest.raises(InputError, match="occurs twice"):
        make_splits([names[0], *names[:-1]], labels, patients, seed=0)


def test_saved_splits_come_back(tmp_path: Path) -> None:
    splits = make_splits(*population(30), seed=7)
    splits.save(tmp_path / "splits.json")
    assert Splits.load(tmp_path / "splits.json") == splits


@pytest.mark.parametrize("part", ["train", "val", "test", "val_seed"])
def test_an_edited_file_fails_loudly(tmp_path: Path, part: str) -> None:
    path = tmp_path / "splits.json"
    make_splits(*population(30), seed=7).save(path)
    stored = read_json(path)
    stored[part] = stored[part][1:]
    path.write_text(json.dumps(stored))
    with pytest.raises(InputError, match="changed since it was written"):
        Splits.load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"train": 3}', '"x"', "\x00"])
def test_what_is_no_splits_file_fails_loudly(tmp_path: Path, text: str) -> None:
    path = tmp_path / "splits.json"
    path.write_text(text)
    with pytest.raises(SearchError, match=r"not a splits file|splits cannot be read"):
        Splits.load(path)
    with pytest.raises(InputError, match="is missing"):
        Splits.load(tmp_path / "none.json")


def test_leaks_of_every_kind_are_named() -> None:
    splits = Splits(("a", "b"), ("c", "b"), ("d", "e"), ("c", "z"), seed=0)
    with pytest.raises(InputError) as caught:
        check_leakage(splits, {"a": "1", "b": "2", "c": "1", "d": "4"})
    assert [text.partition(";")[0] for text in caught.value.problems] == [
        "patient '1' is in two parts, train and val",
        "patient '2' is in two parts, train and val",
        "image 'b' is in two parts, train and val",
        "image 'e' of test is not in the data: no patient known",
        "image 'z' of val_seed is not in val",
    ]


def counted(**val: int) -> dict[str, dict[str, int]]:
    def part(**some: int) -> dict[str, int]:
        return {"images": 100, **dict.fromkeys(DISEASES, 20), **some}

    return {"train": part(), "val": part(**val), "test": part(), "val_seed": part(**val)}


def test_diseases_that_cannot_be_judged_are_named() -> None:
    warnings, undefined = judgeable(counted(Mass=0, Edema=100, Hernia=4, Nodule=5), DISEASES)
    assert undefined == ["Mass", "Edema"]
    assert len(warnings) == 2
    assert "Mass, Edema" in warnings[0]
    assert "Hernia (4)" in warnings[1]
    assert "Nodule" not in warnings[1]
    assert judgeable(counted(), DISEASES) == ([], [])


def test_train_test_and_epoch_scores_are_warned_about_too() -> None:
    counts = counted()
    counts["train"]["Mass"] = counts["test"]["Edema"] = counts["val_seed"]["Hernia"] = 0
    text = "\n".join(judgeable(counts, DISEASES)[0])
    assert "cannot be learnt: Mass" in text
    assert "the test score: Edema" in text
    assert "single epochs: Hernia" in text


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(InputError, match="no label can be judged: there are no positives"):
        judgeable(counted(**dict.fromkeys(DISEASES, 0)), DISEASES)


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason="the real X-rays are not beside the checkout")
def test_real_patients_are_split_in_proportion() -> None:
    data = read_dataset(REAL)
    counts = make_splits(data.names, data.labels, data.patients, seed=0).counts(data)
    assert sum(counts[part]["patients"] for part in ("train", "val", "test")) == 1536
    for disease, total in zip(DISEASES, data.labels.sum(axis=0), strict=True):
        assert abs(counts["test"][disease] - 0.2 * total) <= 4
        assert abs(counts["val"][disease] - 0.16 * total) <= 4
    assert judgeable(counts, DISEASES) == ([], [])


def test_images_without_a_finding_are_counted_too() -> None:
    labels = np.zeros((4, 14), np.uint8)
    labels[0, 2] = labels[0, 5] = labels[1, 2] = 1
    names = ("a", "b", "c", "d")
    splits = Splits(train=("a", "c", "d"), val=("b",), test=(), val_seed=("b",), seed=0)
    counts = label_counts(splits, names, labels, None, DISEASES)
    assert [counts[part]["No Finding"] for part in ("train", "val")] == [2, 0]
    assert counts["train"]["Effusion"] == 1


def test_what_is_not_known_counts_for_neither_side() -> None:
    nan = np.nan
    labels = np.array([[1, nan], [0, 0.2], [nan, 0.9], [0, nan]], np.float32)
    uncertain = np.array([[0, 1], [0, 0], [0, 0], [0, 0]], bool)
    names, owners = ("a", "b", "c", "d"), np.array(["1", "1", "2", "3"])
    splits = Splits(train=("a", "b"), val=("c", "d"), test=(), val_seed=("c", "d"), seed=0)
    counts = label_counts(splits, names, labels, owners, ("Nodule/Mass", "COVID-19"), uncertain)
    assert counts["train"] == {
        "images": 2, "patients": 1, "Nodule/Mass": 1, "COVID-19": 0, "No Finding": 1,
        "Nodule/Mass:negative": 1, "COVID-19:negative": 1, "COVID-19:uncertain": 1,
    }  # fmt: skip
    assert negatives(counts["val"], "COVID-19") == 0
    with pytest.raises(InputError, match="none has positives and negatives among the 2 validation"):
        judgeable(counts, ("Nodule/Mass", "COVID-19"))


def test_known_negatives_decide_what_can_be_judged() -> None:
    counts = counted(**{"Mass:negative": 0, "Edema:negative": 3, "Hernia:negative": 9})
    counts["train"]["Nodule:negative"] = 0
    warnings, undefined = judgeable(counts, DISEASES)
    assert undefined == ["Mass"]
    assert "fewer than 5 negatives" in warnings[1]
    assert "Edema (3)" in warnings[1]
    assert "no negatives to train on, cannot be learnt: Nodule" in warnings[2]


def test_one_label_alone_is_split_counted_and_judged() -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"{i}.png" for i in range(100))
    labels = (rng.random((100, 1)) < 0.2).astype(np.uint8)
    splits = make_splits(names, labels, np.array(names), seed=0)
    counts = label_counts(splits, names, labels, None, ("COVID-19",))
    assert sum(counts[p]["COVID-19"] for p in ("train", "val", "test")) == labels.sum()
    assert judgeable(counts, ("COVID-19",), 1) == ([], [])
    none = label_counts(splits, names, 0 * labels, None, ("COVID-19",))
    with pytest.raises(InputError, match="no label can be judged: COVID-19: there are no positiv"):
        judgeable(none, ("COVID-19",))


def test_a_warning_on_very_many_labels_stays_short() -> None:
    names = [f"label {i}" for i in range(193)]
    part = {"images": 100, **dict.fromkeys(names, 0), "label 0": 50}
    warnings, undefined = judgeable(dict.fromkeys(ALL_PARTS, part), names)
    assert len(undefined) == 192
    assert "and 180 more" in warnings[0]
    assert max(map(len, warnings)) < 300
