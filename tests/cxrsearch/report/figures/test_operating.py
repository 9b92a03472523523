"""Figures at thresholds: the four cells against scikit-learn, Bayes' rule, gaps with reasons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import (  # type: ignore[import-untyped]
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
)

from cxrsearch.model.rules import parse_rule
from cxrsearch.report.evidence import JudgedImages
from cxrsearch.report.figures.decisions import benefits, decision_points, net_benefit_at
from cxrsearch.report.figures.operating import operating_points, thresholds_of
from cxrsearch.report.figures.sample import sample_of


def test_every_figure_is_that_of_the_confusion_matrix(drawn: Callable[..., Any]) -> None:
    judged, validation = drawn(seed=1), drawn("validation", seed=2)
    sample, chosen_by = sample_of(judged, 50, 0), sample_of(validation, 50, 1)
    thresholds = thresholds_of(parse_rule("sensitivity=0.8"), chosen_by, 3)
    found = operating_points(sample, thresholds, 0.02)
    for column, name in enumerate(judged.label_names):
        mask = ~np.isnan(judged.marks[:, column])
        truth = judged.marks[mask, column]
        called = judged.scores[mask, column] >= thresholds.chosen.values[column]
        tn, fp, fn, tp = confusion_matrix(truth, called).ravel()
        sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
        wanted = {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "accuracy": accuracy_score(truth, called),
            "f1": f1_score(truth, called),
            "balanced_accuracy": balanced_accuracy_score(truth, called),
            "ppv_at_prevalence": 0.02
            * sensitivity
            / (0.02 * sensitivity + 0.98 * (1 - specificity)),
            "npv_at_prevalence": 0.98
            * specificity
            / (0.98 * specificity + 0.02 * (1 - sensitivity)),
        }
        assert {key: one.value for key, one in found[name].items()} == pytest.approx(wanted)
        for key, one in found[name].items():
            low, high = one.ends()
            assert 0 <= low <= one.value <= high <= 1, (name, key)


def test_net_benefit_is_its_formula_and_treating_all_is_its_end(drawn: Callable[..., Any]) -> None:
    sample = sample_of(drawn(unknown=0.0), 30, 0)
    there, away = sample.there[:, 0], sample.away[:, 0]
    called = sample.scores[:, 0] >= 0.3
    odds = 0.3 / 0.7
    plain = ((called & there).sum() - odds * (called & away).sum()) / sample.n
    every = there.mean() - away.mean() * odds
    edge = np.array([0.3])
    assert benefits(sample, 0, sample.scores[:, 0], edge)[0].value == pytest.approx(plain)
    assert benefits(sample, 0, np.ones(sample.n), edge)[0].value == pytest.approx(every)
    at = net_benefit_at(sample, 0, 0.3, 0.3, None)
    assert at["net_benefit"].value == pytest.approx(plain)
    assert at["net_benefit_over_treating_all"].value == pytest.approx(plain - every)
    curve = decision_points(sample, 0, sample.scores[:, 0])
    place = curve["x"].index(0.3)
    assert (curve["y"][place], curve["treat_all"][place]) == pytest.approx((plain, every))


def test_without_validation_positives_there_is_no_threshold_and_all_says_so(
    drawn: Callable[..., Any],
) -> None:
    validation = drawn("validation")
    validation.marks[:, 2] = 0
    sample = sample_of(drawn(), 20, 0)
    thresholds = thresholds_of(parse_rule("youden"), sample_of(validation, 20, 0), 3)
    told = thresholds.figure(2)
    assert (told.value, told.reason) == (None, "no positive image to choose a threshold by")
    figure = operating_points(sample, thresholds)["Hernia"]["sensitivity"].figure("test")
    assert figure.value is None
    assert figure.reason == "no threshold: no positive image to choose a threshold by"


def test_a_given_threshold_needs_no_validation(drawn: Callable[..., Any]) -> None:
    thresholds = thresholds_of(parse_rule("threshold=0.3"), None, 3)
    assert thresholds.chosen_on is None
    figure = thresholds.figure(0)
    assert (figure.value, figure.low, figure.high, figure.chosen_on) == (0.3, 0.3, 0.3, None)
    unknown = thresholds_of(parse_rule("sensitivity=0.9"), None, 3)
    assert "validation" in str(unknown.figure(0).reason)


def test_a_thresholds_interval_holds_it_and_narrows(drawn: Callable[..., Any]) -> None:
    rule = parse_rule("specificity=0.8")
    few = thresholds_of(rule, sample_of(drawn(n=100), 5, 0), 3).figure(0)
    many = thresholds_of(rule, sample_of(drawn(n=2000), 5, 0), 3).figure(0)
    for one in (few, many):
        assert one.low <= one.value <= one.high  # type: ignore[operator]
    assert many.high - many.low < few.high - few.low  # type: ignore[operator]


def test_a_thresholds_interval_holds_it_as_often_as_it_says() -> None:
    """Among few the quantile often lies below all, and order statistics are coarse."""
    rule, rng = parse_rule("sensitivity=0.9"), np.random.default_rng(0)
    images, times, truth = 240, 150, 0.1  # scores of positives are uniform from 0 to 1
    for positives in (6, 20, 60):
        held = 0
        for _ in range(times):
            marks = np.zeros((images, 1), np.float32)
            marks[:positives] = 1
            scores = rng.random((images, 1))
            judged = JudgedImages("validation", marks, scores, np.arange(images), ("a",))
            one = thresholds_of(rule, sample_of(judged, 2, 0), 1).figure(0)
            held += one.low <= truth <= one.high  # type: ignore[operator]
        assert binomtest(held, times, 0.95).pvalue > 0.02


@pytest.mark.parametrize("rule", ["sensitivity=0.99", "specificity=0.99", "sensitivity=0.01"])
@pytest.mark.parametrize("known", [1, 2, 3, 5])
def test_a_threshold_of_very_few_images_has_an_interval_around_it(rule: str, known: int) -> None:
    marks = np.array([1.0] * known + [0.0] * known)[:, None]
    scores = np.linspace(0.1, 0.9, 2 * known)[:, None]
    judged = JudgedImages("validation", marks, scores, np.arange(2 * known), ("a",))
    one = thresholds_of(parse_rule(rule), sample_of(judged, 2, 0), 1).figure(0)
    assert 0 <= one.low <= one.value <= one.high <= 1  # type: ignore[operator]
