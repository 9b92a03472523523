from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.calibrate import Calibration, calibrate
from cxrsearch.learn.pseudo import (
    Pseudo,
    extra,
    load_pseudo,
    save_pseudo,
    select,
    targets_of,
    write_table,
)
from cxrsearch.learn.recipe import SELECTING, Recipe
from cxrsearch.systems.self_training.precision import by_share, judge_pseudo, paired_difference

IMAGES = 40


@pytest.fixture
def pseudo() -> Pseudo:
    rng = np.random.default_rng(0)
    truth = rng.random((200, 14)) < 0.4
    truth[:, 13] = False
    known = np.clip(0.3 * truth + 0.7 * rng.random((200, 14)), 0, 1)
    scores = rng.random((IMAGES, 14)).astype(np.float32)
    names = np.array([f"u/{i:03d}.png" for i in range(IMAGES)])
    return Pseudo(names, scores, calibrate(truth, known, 0.7), "split-1", DISEASES)


@given(st.integers(0, 60), st.floats(0.001, 0.5))
def test_as_many_are_taken_at_each_end_and_none_at_both(count: int, share: float) -> None:
    scores = np.random.default_rng(count).random((count, 3)).round(1)
    ends = select(scores, share)
    wanted = min(max(1, round(share * count)), count // 2)
    assert ((ends == 1).sum(axis=0) == wanted).all()
    assert ((ends == 0).sum(axis=0) == wanted).all()
    for column in range(3 if wanted else 0):
        top, rest = ends[:, column] == 1, ends[:, column] != 1
        assert scores[top, column].min() >= scores[rest, column].max()


def test_each_kind_makes_its_own_targets(pseudo: Pseudo) -> None:
    recipe = Recipe(pseudo_share=0.25)
    made = {kind: targets_of(pseudo, replace(recipe, pseudo=kind)) for kind in SELECTING}
    hard, soft, sure = made["hard"], made["soft"], made["calibrated"]
    ends = ~np.isnan(hard)
    assert (ends.sum(axis=0) == 20).all()
    likely = pseudo.calibration.probabilities(pseudo.scores)
    np.testing.assert_allclose(soft[ends[:, 0], 0], likely[ends[:, 0], 0], rtol=1e-6)
    assert np.isnan(soft[:, 13]).all()  # no positives on validation: no probability
    assert 0 < (~np.isnan(sure)).sum() < ends.sum()
    known = ~np.isnan(sure)
    assert (sure[known] == hard[known]).all()
    assert (pseudo.scores >= pseudo.calibration.floor)[sure == 1].all()
    assert (pseudo.scores <= pseudo.calibration.ceiling)[sure == 0].all()


def test_images_of_which_nothing_is_known_are_not_trained_on(pseudo: Pseudo) -> None:
    rows = np.arange(100, 100 + IMAGES)
    assert extra(pseudo, rows, Recipe()) is None
    few = extra(pseudo, rows, Recipe(pseudo="hard", pseudo_share=0.02))
    assert few is not None
    assert 0 < len(few.rows) < IMAGES
    assert (~np.isnan(few.targets)).any(axis=1).all()
    every = extra(pseudo, rows, Recipe(pseudo="mean_teacher"))
    assert every is not None
    assert every.rows.tolist() == rows.tolist()
    assert np.isnan(every.targets).all()
    never = pseudo.calibration._replace(floor=np.full(14, np.nan), ceiling=np.full(14, np.nan))
    assert extra(replace(pseudo, calibration=never), rows, Recipe(pseudo="calibrated")) is None
    with pytest.raises(InputError, match="--pseudo"):
        extra(None, None, Recipe(pseudo="hard"))


def test_what_is_saved_comes_back(pseudo: Pseudo, tmp_path: Path) -> None:
    path = tmp_path / "pseudo.npz"
    save_pseudo(path, pseudo)
    back = load_pseudo(path)
    assert back.fingerprint == pseudo.fingerprint
    assert (back.split, back.folder) == ("split-1", "")
    assert replace(back, scores=back.scores + 1).fingerprint != pseudo.fingerprint
    save_pseudo(path, replace(pseudo, names=pseudo.names[:3]))
    with pytest.raises(InputError, match="do not fit together"):
        load_pseudo(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read"):
        load_pseudo(path)


def test_the_table_has_a_line_an_image_and_disease(pseudo: Pseudo, tmp_path: Path) -> None:
    path = tmp_path / "pseudo.csv"
    write_table(path, pseudo, select(pseudo.scores, 0.1))
    rows = list(csv.DictReader(path.open()))
    assert len(rows) == IMAGES * 14
    of_mass = [row["label"] for row in rows if row["disease"] == "Mass"]
    assert (of_mass.count("1"), of_mass.count("0"), of_mass.count("none")) == (4, 4, 32)
    assert {row["calibrated"] for row in rows if row["disease"] == DISEASES[13]} == {""}


def test_precision_is_the_share_that_is_right_beside_chance() -> None:
    truth = np.zeros((20, 14), np.uint8)
    truth[:5] = 1
    targets = np.full((20, 14), np.nan, np.float32)
    targets[3:7, 0] = 1  # two of four right
    targets[10:20, 0] = 0  # all right
    found = judge_pseudo(targets, truth, np.repeat(np.arange(10), 2), DISEASES, seed=0)[0]
    assert found["prevalence"] == 0.25
    assert (found["positive"]["taken"], found["positive"]["right"]) == (4, 2)
    assert (found["positive"]["precision"], found["positive"]["chance"]) == (0.5, 0.25)
    low, high = found["positive"]["interval"]
    assert low <= 0.068  # Clopper & Pearson's 2 of 4: 0.068 to 0.932
    assert high >= 0.932
    assert found["negative"]["precision"] == 1.0
    assert found["negative"]["interval"][0] == pytest.approx(0.6915, abs=1e-4)
    nothing = judge_pseudo(targets, truth, np.arange(20), DISEASES, seed=0)[1]["positive"]
    assert (nothing["taken"], nothing["precision"], nothing["interval"]) == (0, None, None)


def test_precision_by_share_falls_to_the_prevalence() -> None:
    truth = np.zeros((100, 14), np.uint8)
    truth[:10] = 1
    truth[:, 13] = 0
    scores = np.linspace(1, 0, 100)[:, None].repeat(14, axis=1)
    found = {entry["share"]: entry for entry in by_share(scores, truth, (0.05, 0.2, 0.5))}
    precisions = [found[s]["positive"] for s in (0.05, 0.2, 0.5)]
    assert precisions == pytest.approx([1.0, 0.5, 0.2])
    assert found[0.05]["prevalence"] == pytest.approx(0.1)
    nobody = by_share(scores, np.zeros_like(truth), (0.05,))
    assert nobody[0]["positive"] is None


def test_a_difference_is_paired_over_patients() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 14)) < 0.3).astype(np.uint8)
    labels[:, 13] = 0
    patients = np.repeat(np.arange(100), 3)
    worse = labels + rng.normal(0, 2, labels.shape)
    better = worse + 0.5 * labels
    found = paired_difference(labels, (worse, better), patients, range(14), DISEASES, seed=0)
    assert found["interval"][0] > 0
    assert found["interval"][0] < found["difference"] < found["interval"][1]
    assert found["labels"]["Hernia"] == {"difference": None, "interval": None}
    same = paired_difference(labels, (worse, worse), patients, range(14), DISEASES, seed=0)
    assert (same["difference"], same["interval"]) == (0.0, [0.0, 0.0])
    none = paired_difference(labels, (worse, better), patients, [13], DISEASES, seed=0)
    assert (none["difference"], none["interval"]) == (None, None)


def test_what_is_not_known_is_neither_right_nor_wrong() -> None:
    rng = np.random.default_rng(3)
    truth = (rng.random((200, 3)) < 0.3).astype(np.float32)
    scores = truth + rng.normal(0, 1, truth.shape)
    patients = np.arange(200) // 2
    truth[rng.random(truth.shape) < 0.3] = np.nan
    truth[:, 2] = np.nan  # of which nothing is known
    names = ("Nodule/Mass", "COVID-19", "Oedema")
    targets = np.where(scores > 1, 1, np.where(scores < 0, 0, np.nan)).astype(np.float32)
    found = judge_pseudo(targets, truth, patients, names, seed=0)
    assert [each["label"] for each in found] == list(names)
    for column in (0, 1):
        there = ~np.isnan(truth[:, column])
        alone = truth[there, column][targets[there, column] == 1]
        positive = found[column]["positive"]
        assert (positive["taken"], positive["right"]) == (len(alone), alone.sum())
        assert found[column]["prevalence"] == pytest.approx(truth[there, column].mean())
    assert found[2]["prevalence"] is None
    assert found[2]["positive"]["taken"] == 0
    shares = by_share(scores, truth, (0.1,))[0]
    assert shares["prevalence"] == pytest.approx(np.nanmean(truth[:, :2], axis=0).mean())
    two = (scores, scores + np.nan_to_num(truth))
    masked = paired_difference(truth, two, patients, range(3), names, seed=0)
    there = ~np.isnan(truth[:, 0])
    known = paired_difference(
        truth[there, :1], (two[0][there, :1], two[1][there, :1]), patients[there], [0], names[:1],
        seed=0,
    )  # fmt: skip
    assert masked["labels"][names[0]]["difference"] == pytest.approx(known["difference"])
    assert masked["labels"][names[2]]["difference"] is None


def test_calibration_of_another_shape_is_refused(pseudo: Pseudo, tmp_path: Path) -> None:
    wrong = Calibration(*(part[:5] for part in pseudo.calibration))
    save_pseudo(tmp_path / "pseudo.npz", replace(pseudo, calibration=wrong))
    with pytest.raises(InputError, match="do not fit together"):
        load_pseudo(tmp_path / "pseudo.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"names": np.array("one")},
        {"names": np.array([["a"], ["b"]])},
        {"scores": np.full((2, 14), "x")},
        {"scores": np.full((2, 14), np.nan)},
        {"calibration": np.full((4, 14), "x")},
        {"split": np.array([object()])},
        None,
    ],
)
def test_a_file_that_was_tampered_with_is_bad_input(
    tmp_path: Path, change: dict[str, np.ndarray] | None
) -> None:
    path = tmp_path / "pseudo.npz"
    sound = {
        "names": np.array(["a", "b"]),
        "scores": np.zeros((2, 14), np.float32),
        "calibration": np.zeros((4, 14)),
        "split": np.array("s"),
        "folder": np.array(""),
    }
    np.savez(path, **sound)
    assert load_pseudo(path).split == "s"
    if change is None:
        path.write_bytes(b"hello")
    else:
        np.savez(path, **(sound | change))
    with pytest.raises(InputError) as caught:
        load_pseudo(path)
    assert str(path) in str(caught.value)
    assert "pickle.load" not in str(caught.value)
