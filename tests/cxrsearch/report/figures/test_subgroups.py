"""Groups: bands, who is judged, differences from the rest, and a second model or a reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

from cxrsearch.model.rules import parse_rule
from cxrsearch.report.figures.comparison import Beside, compared
from cxrsearch.report.figures.operating import thresholds_of
from cxrsearch.report.figures.sample import sample_of
from cxrsearch.report.figures.subgroups import SMALLEST_GROUP, grouped, subgroups_of

GIVEN = parse_rule("threshold=0.3")


def test_ages_become_bands_and_other_numbers_quarters() -> None:
    ages = np.array(["7", "058Y", "40", "011M", "81", "", "412"])
    told = grouped("Patient Age", ages).tolist()
    assert told == ["0-17", "40-59", "40-59", "0-17", "80+", "", ""]
    dose = np.array([str(i) for i in range(100)] + [""])
    quarters, counts = np.unique(grouped("dose", dose), return_counts=True)
    assert sorted(counts.tolist()) == [1, 25, 25, 25, 25]
    assert len(quarters) == 5
    assert grouped("view", np.array(["PA", " AP", ""])).tolist() == ["PA", "AP", ""]
    assert grouped("follow-up", np.array(["1", "2", "2"])).tolist() == ["1", "2", "2"]


@pytest.mark.parametrize(
    ("name", "banded"),
    [
        ("age", True), ("Patient Age", True), ("PatientAge", True), ("age_years", True),
        ("AGE", True), ("Age (years)", True), ("patientage", True), ("Voltage", False),
        ("Stage", False), ("image_no", False), ("age_group", False),
    ],
)  # fmt: skip
def test_only_what_is_called_an_age_is_cut_at_ages(name: str, banded: bool) -> None:
    told = grouped(name, np.array(["1", "2", "45", "2"])).tolist()
    assert told == (["0-17", "0-17", "40-59", "0-17"] if banded else ["1", "2", "45", "2"])


def test_a_group_and_its_difference_are_those_of_its_images(drawn: Callable[..., Any]) -> None:
    judged = drawn(unknown=0.0, n=400)
    sex = np.where(judged.patients % 2 == 0, "F", "M")
    sample = sample_of(judged, 60, 0)
    found = subgroups_of(sample, thresholds_of(GIVEN, None, 3), {"sex": sex})["sex"]
    women = sex == "F"
    aurocs = [
        roc_auc_score(judged.marks[mask, 0], judged.scores[mask, 0]) for mask in (women, ~women)
    ]
    told = found["groups"]["F"]["labels"]["Effusion"]
    assert told["auroc"]["value"] == pytest.approx(aurocs[0])
    assert told["auroc_difference"]["value"] == pytest.approx(aurocs[0] - aurocs[1])
    called = judged.scores[:, 0] >= 0.3
    sick = judged.marks[:, 0] == 1
    gap = called[women & sick].mean() - called[~women & sick].mean()
    assert told["sensitivity_difference"]["value"] == pytest.approx(gap)
    other = found["groups"]["M"]["labels"]["Effusion"]["auroc_difference"]
    assert other["value"] == pytest.approx(-told["auroc_difference"]["value"])
    assert other["low"] == pytest.approx(-told["auroc_difference"]["high"])


def test_more_groups_make_wider_intervals(drawn: Callable[..., Any]) -> None:
    judged = drawn(unknown=0.0, n=1500)
    sample, thresholds = sample_of(judged, 200, 0), thresholds_of(GIVEN, None, 3)
    few = subgroups_of(sample, thresholds, {"x": (judged.patients % 2).astype(str)})["x"]
    many = subgroups_of(sample, thresholds, {"x": (judged.patients % 9).astype(str)})["x"]
    assert 1.96 < few["half_width"]["auroc"] < many["half_width"]["auroc"] < 4


def test_a_group_too_small_is_not_judged_and_says_so(drawn: Callable[..., Any]) -> None:
    judged = drawn(n=300)
    view = np.where(np.arange(300) < 20, "lateral", "PA")
    sample = sample_of(judged, 20, 0)
    found = subgroups_of(sample, thresholds_of(GIVEN, None, 3), {"view": view})["view"]
    told = found["groups"]["lateral"]["labels"]["Hernia"]["auroc"]
    assert told["value"] is None
    assert f"{SMALLEST_GROUP} are the least that is judged" in told["reason"]
    assert found["groups"]["PA"]["n"] == 280


def test_a_model_beside_itself_differs_by_nothing(drawn: Callable[..., Any]) -> None:
    judged = drawn()
    sample = sample_of(judged, 50, 0)
    told = compared(sample, Beside("itself", judged.scores), [0, 1])
    figure = told["labels"]["Effusion"]["auroc_difference"]
    assert (figure["value"], figure["low"], figure["high"]) == pytest.approx((0, 0, 0), abs=1e-7)
    assert told["kind"] == "model"


def test_a_mean_beside_another_counts_the_images_that_both_judge(
    drawn: Callable[..., Any],
) -> None:
    judged = drawn(unknown=0.0)
    other = judged.scores.astype(float)
    other[:100] = np.nan
    told = compared(sample_of(judged, 20, 0), Beside("another", other), [0, 1])
    assert {figure["n"] for figure in told["mean"].values()} == {140}


def test_pairing_narrows_the_difference(drawn: Callable[..., Any]) -> None:
    judged = drawn(n=600)
    near = np.clip(judged.scores + np.random.default_rng(0).normal(size=(600, 3)) * 0.02, 0, 1)
    told = compared(sample_of(judged, 200, 0), Beside("near", near), [0])["labels"]["Effusion"]
    apart, own = told["auroc_difference"], told["auroc"]
    assert apart["high"] - apart["low"] < (own["high"] - own["low"]) / 2


def test_a_reader_is_judged_by_his_own_point_on_what_he_marked(drawn: Callable[..., Any]) -> None:
    judged = drawn(unknown=0.0)
    marks = judged.marks
    rng = np.random.default_rng(2)
    reader = np.where(rng.random(marks.shape) < 0.15, 1 - marks, marks)
    reader[:30] = np.nan
    told = compared(sample_of(judged, 60, 0), Beside("a reader", reader), [0, 1, 2])
    assert told["kind"] == "reader"
    label = told["labels"]["Effusion"]
    seen, truth, scores = reader[30:, 0], marks[30:, 0], judged.scores[30:, 0]
    assert label["sensitivity_against"]["value"] == pytest.approx(seen[truth == 1].mean())
    assert label["sensitivity_against"]["n"] == (truth == 1).sum()
    wanted = 1 - seen[truth == 0].mean()
    assert label["specificity"]["value"] >= wanted
    edge = label["threshold_at_readers_specificity"]["value"]
    lower = scores[scores < edge].max()
    assert (scores[truth == 0] < lower).mean() < wanted
    assert label["sensitivity"]["value"] == pytest.approx((scores[truth == 1] >= edge).mean())
    assert label["sensitivity_difference"]["value"] == pytest.approx(
        label["sensitivity"]["value"] - label["sensitivity_against"]["value"]
    )


def test_scores_of_another_shape_are_refused(drawn: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="are judged"):
        compared(sample_of(drawn(), 5, 0), Beside("x", np.zeros((3, 3))), [0])
