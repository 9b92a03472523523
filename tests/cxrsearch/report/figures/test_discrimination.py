"""AUROC and average precision against scikit-learn, plain and weighted by resamples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import (  # type: ignore[import-untyped]
    average_precision_score,
    roc_auc_score,
    roc_curve,
)

from cxrsearch.report.figures.discrimination import discriminate, roc_points, with_a_finding
from cxrsearch.report.figures.ranks import ranked, ranks
from cxrsearch.report.figures.sample import sample_of


def test_labels_micro_and_macro_are_scikit_learns(drawn: Callable[..., Any]) -> None:
    judged = drawn()
    told = discriminate(sample_of(judged, 20, 0), [0, 1])
    known = ~np.isnan(judged.marks)
    each = []
    for column, name in enumerate(judged.label_names):
        mask = known[:, column]
        truth, scores = judged.marks[mask, column], judged.scores[mask, column]
        found = told.labels[name]
        assert found["auroc"].value == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
        assert found["average_precision"].value == pytest.approx(
            average_precision_score(truth, scores), abs=1e-12
        )
        assert found["prevalence"].value == pytest.approx(truth.mean())
        assert (found["auroc"].n, found["auroc"].positives) == (mask.sum(), truth.sum())
        each.append(roc_auc_score(truth, scores))
    assert told.mean["auroc"].value == pytest.approx(np.mean(each[:2]))
    assert told.macro["auroc"].value == pytest.approx(np.mean(each))
    together = judged.marks[known], judged.scores[known]
    assert told.micro["auroc"].value == pytest.approx(roc_auc_score(*together))
    assert told.micro["average_precision"].value == pytest.approx(
        average_precision_score(*together)
    )


def test_what_an_image_adds_is_the_derivative_of_scikit_learns_weighted_value(
    drawn: Callable[..., Any],
) -> None:
    judged = drawn(unknown=0.0, n=90)
    truth, scores = judged.marks[:, 1], judged.scores[:, 1]
    found = ranks(truth == 1, scores)
    for influence, score in (
        (found.auroc_influence, roc_auc_score),
        (found.precision_influence, average_precision_score),
    ):
        assert influence.sum() == pytest.approx(0, abs=1e-9)
        for image in (*np.flatnonzero(truth)[:3], *np.flatnonzero(truth == 0)[:5]):
            more, less = np.ones(90), np.ones(90)
            more[image], less[image] = 1 + 1e-5, 1 - 1e-5
            slope = score(truth, scores, sample_weight=more) - score(
                truth, scores, sample_weight=less
            )
            assert influence[image] == pytest.approx(slope / 2e-5, abs=1e-6)


def test_draws_move_as_the_values_of_drawn_patients_do(drawn: Callable[..., Any]) -> None:
    judged = drawn(unknown=0.0, n=2000)
    sample = sample_of(judged, 40, 3)
    found, _ = ranked(sample.there[:, 0], sample.away[:, 0], sample.scores[:, 0], sample.draws)
    exact = [
        roc_auc_score(
            judged.marks[:, 0], judged.scores[:, 0], sample_weight=counts[sample.draws.patient]
        )
        for counts in sample.draws.counts
    ]
    assert np.corrcoef(found.draws, exact)[0, 1] > 0.99


def test_among_images_with_a_finding_the_others_take_no_part(drawn: Callable[..., Any]) -> None:
    judged = drawn()
    sick = (judged.marks == 1).any(axis=1)
    mask = sick & ~np.isnan(judged.marks[:, 0])
    told = discriminate(with_a_finding(sample_of(judged, 10, 0)), [0])
    found = told.labels["Effusion"]["auroc"]
    assert found.n == mask.sum()
    assert found.value == pytest.approx(
        roc_auc_score(judged.marks[mask, 0], judged.scores[mask, 0])
    )


def test_the_curve_is_scikit_learns(drawn: Callable[..., Any]) -> None:
    judged = drawn(unknown=0.0)
    points = roc_points(sample_of(judged, 1, 0), 0)
    false, true, _ = roc_curve(judged.marks[:, 0], judged.scores[:, 0], drop_intermediate=False)
    assert points["x"] == pytest.approx(false.tolist())
    assert points["y"] == pytest.approx(true.tolist())


def test_a_label_without_positives_has_no_value_and_says_why(drawn: Callable[..., Any]) -> None:
    judged = drawn()
    judged.marks[:, 2] = 0
    told = discriminate(sample_of(judged, 10, 0), [0, 1, 2])
    figure = told.labels["Hernia"]["auroc"].figure("test")
    assert (figure.value, figure.reason) == (None, "no positive image")
    both = [told.labels[name]["auroc"].value for name in ("Effusion", "Mass")]
    assert told.macro["auroc"].value == pytest.approx(np.mean(both))


def test_perfect_scores_have_an_interval_that_does_not_end_at_one_alone() -> None:
    from types import SimpleNamespace

    marks = np.repeat([[1.0], [0.0]], [12, 60], axis=0)
    judged = SimpleNamespace(
        part="test",
        marks=marks,
        scores=marks * 0.5 + 0.2,
        patients=np.arange(72),
        label_names=("a",),
    )
    found = discriminate(sample_of(judged, 50, 0), [0]).labels["a"]["auroc"]
    low, high = found.ends()
    assert found.value == high == 1
    assert 0.8 < low < 0.99


def test_scores_that_are_no_probabilities_are_refused(drawn: Callable[..., Any]) -> None:
    judged = drawn()
    judged.scores[7, 1] = 1.5
    with pytest.raises(ValueError, match=r"got 1\.5 in row 7, label Mass"):
        sample_of(judged, 10, 0)


def test_a_mean_counts_the_images_with_a_mark_and_micro_the_marks(
    drawn: Callable[..., Any],
) -> None:
    judged = drawn()
    judged.marks[:50] = np.nan
    known, there = ~np.isnan(judged.marks), judged.marks == 1
    told = discriminate(sample_of(judged, 10, 0), [0, 1])
    mean = told.mean["auroc"]
    assert mean.n == known[:, :2].any(axis=1).sum() < 240
    assert mean.positives == there[:, :2].any(axis=1).sum()
    assert told.macro["auroc"].n == known.any(axis=1).sum()
    assert told.micro["auroc"].n == known.sum()
    sick = discriminate(with_a_finding(sample_of(judged, 10, 0)), [0, 1, 2])
    assert sick.mean["auroc"].n == there.any(axis=1).sum()


def test_a_mean_of_one_has_the_interval_of_its_labels(drawn: Callable[..., Any]) -> None:
    judged = drawn(unknown=0.0)
    judged.scores = 0.2 + 0.5 * judged.marks
    told = discriminate(sample_of(judged, 50, 0), [0, 1])
    figure = told.mean["auroc"].figure("test")
    lows = [told.labels[name]["auroc"].ends()[0] for name in ("Effusion", "Mass")]
    assert (figure.value, figure.high, figure.reason) == (1, 1, None)
    assert figure.low == pytest.approx(np.mean(lows))
    assert 0.9 < figure.low < 1
