"""Calibration against scikit-learn and SciPy; what is too high by chance is put right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve  # type: ignore[import-untyped]
from sklearn.metrics import brier_score_loss  # type: ignore[import-untyped]

from cxrsearch.report.figures.calibration import calibration_of, reliability_points
from cxrsearch.report.figures.recalibration import cross_fitted, recalibrated
from cxrsearch.report.figures.sample import JudgedSample, sample_of
from cxrsearch.report.figures.sizes import DeviationSize


def known(judged: Any, column: int) -> tuple[np.ndarray, np.ndarray]:
    mask = ~np.isnan(judged.marks[:, column])
    return judged.marks[mask, column], judged.scores[mask, column].astype(float)


def test_brier_score_and_bins_are_scikit_learns(drawn: Callable[..., Any]) -> None:
    judged = drawn()
    judged.scores = np.random.default_rng(3).permutation(judged.scores.size).reshape(-1, 3)
    judged.scores = (judged.scores + 1.0) / (judged.scores.size + 1)
    truth, scores = known(judged, 0)
    sample = sample_of(judged, 30, 0)
    found = calibration_of(sample, 0, sample.scores[:, 0])
    assert found["brier"].value == pytest.approx(brier_score_loss(truth, scores))
    points = reliability_points(sample, 0, sample.scores[:, 0])
    seen, said = calibration_curve(truth, scores, n_bins=len(points["x"]), strategy="quantile")
    assert points["y"] == pytest.approx(seen.tolist())
    assert points["x"] == pytest.approx(said.tolist())
    weights = np.array(points["n"]) / len(truth)
    assert found["ece_plain"].value == pytest.approx(weights @ np.abs(seen - said))
    skill = 1 - brier_score_loss(truth, scores) / (truth.mean() * (1 - truth.mean()))
    assert found["brier_skill"].value == pytest.approx(skill)


def test_slope_and_intercepts_maximise_the_likelihood(drawn: Callable[..., Any]) -> None:
    judged = drawn()
    truth, scores = known(judged, 0)
    z = logit(np.clip(scores, 1e-6, 1 - 1e-6))

    def cost(line: np.ndarray) -> float:
        told = line[0] * z + line[1]
        return float(np.sum(np.logaddexp(0, told) - truth * told))

    slope, intercept = minimize(cost, [1.0, 0.0], tol=1e-10).x
    large = minimize(lambda one: cost(np.array([1.0, one[0]])), [0.0], tol=1e-10).x[0]
    sample = sample_of(judged, 30, 0)
    found = calibration_of(sample, 0, sample.scores[:, 0])
    assert found["calibration_slope"].value == pytest.approx(slope, abs=1e-4)
    assert found["calibration_intercept"].value == pytest.approx(intercept, abs=1e-4)
    assert found["calibration_in_the_large"].value == pytest.approx(large, abs=1e-4)


def certain(n: int, seed: int) -> JudgedSample:
    """Images whose probabilities are right."""
    from types import SimpleNamespace

    rng = np.random.default_rng(seed)
    p = expit(rng.normal(size=(n, 1)) - 1)
    marks = (rng.random((n, 1)) < p).astype(float)
    return sample_of(
        SimpleNamespace(
            part="test", marks=marks, scores=p, patients=np.arange(n), label_names=("a",)
        ),
        200,
        seed,
    )


def test_the_error_of_right_probabilities_is_put_right_where_the_usual_one_is_too_high() -> None:
    usual, ours = [], []
    for seed in range(15):
        sample = certain(200, seed)
        found = calibration_of(sample, 0, sample.scores[:, 0])
        usual.append(found["ece_plain"].value)
        ours.append(found["ece"].value)
        low, high = found["ece"].ends()
        assert 0 <= low <= found["ece"].value <= high
    assert np.mean(usual) > 0.05
    assert np.mean(ours) < np.mean(usual) / 2


def test_of_very_many_images_a_size_is_what_is_seen() -> None:
    rates, base, weights = np.array([0.3, 0.6]), np.array([0.2, 0.9]), np.array([0.5, 0.5])
    many = np.full(2, 1e9)
    assert DeviationSize(rates, base, weights, many, 1e9, 1).at(0) == pytest.approx(0.2, rel=1e-3)
    assert DeviationSize(rates, base, weights, many, 1e9, 2).at(0) == pytest.approx(0.05, rel=1e-3)
    assert DeviationSize(rates, None, weights, many, 1e9, 2).at(0) == pytest.approx(
        0.0225, rel=1e-3
    )
    assert DeviationSize(base, base, weights, many, 1e9, 1).at(0) == pytest.approx(0, abs=1e-4)


def test_a_size_has_ends_around_it_that_narrow_with_images() -> None:
    rates, base, weights = np.array([0.3, 0.6]), np.array([0.2, 0.9]), np.array([0.5, 0.5])
    few = DeviationSize(rates, base, weights, np.full(2, 30.0), 60.0, 1)
    more = DeviationSize(rates, base, weights, np.full(2, 300.0), 600.0, 1)
    assert few.at(1.96) < few.at(0) < few.at(-1.96)
    assert more.at(-1.96) - more.at(1.96) < few.at(-1.96) - few.at(1.96)


def test_few_images_leave_the_weights_of_bins_in_doubt_where_their_rates_are_known() -> None:
    rates, base, weights = np.array([0.2, 0.5]), np.array([0.2, 0.3]), np.array([0.5, 0.5])
    surely = np.full(2, 1e9)
    sure = DeviationSize(rates, base, weights, surely, 1e9, 1)
    doubtful = DeviationSize(rates, base, weights, surely, 50.0, 1)
    assert sure.at(-1.96) - sure.at(1.96) < 1e-3
    # 0.2 in a bin that holds half of 50 images: 0.2 * 1.96 * sqrt(0.25 / 50) on either side
    assert doubtful.at(1.96) == pytest.approx(0.1 / 1.28, rel=0.06)
    assert doubtful.at(-1.96) == pytest.approx(0.1 / 0.72, rel=0.06)


def test_recalibration_undoes_a_shift_and_is_fitted_on_validation_alone(
    drawn: Callable[..., Any],
) -> None:
    sample, validation = certain(800, 1), certain(800, 2)
    for one in (sample, validation):
        object.__setattr__(one, "scores", expit(2 * logit(one.scores) + 1))
    before = calibration_of(sample, 0, sample.scores[:, 0])
    moved, reasons = recalibrated(sample, validation)
    after = calibration_of(sample, 0, moved[:, 0])
    assert reasons == (None,)
    assert before["calibration_slope"].value == pytest.approx(0.5, abs=0.15)
    assert after["calibration_slope"].value == pytest.approx(1, abs=0.3)
    assert after["brier"].value < before["brier"].value
    assert after["ece"].value < before["ece"].value
    crossed, _ = cross_fitted(sample, 0)
    assert calibration_of(sample, 0, crossed[:, 0])["brier"].value < before["brier"].value


def test_cross_fitting_puts_no_patient_right_by_his_own_images() -> None:
    sample = certain(300, 4)
    before, _ = cross_fitted(sample, 0)
    sample.there[7, 0], sample.away[7, 0] = sample.away[7, 0], sample.there[7, 0]
    after, _ = cross_fitted(sample, 0)
    assert after[7, 0] == before[7, 0]
    assert (after != before).sum() > 100


def test_a_label_of_one_class_is_not_recalibrated_and_says_why(drawn: Callable[..., Any]) -> None:
    validation = drawn("validation")
    validation.marks[:, 1] = 0
    moved, reasons = recalibrated(sample_of(drawn(), 5, 0), sample_of(validation, 5, 0))
    assert reasons[1] == "no recalibration: no positive image to fit it by"
    assert np.isnan(moved[:, 1]).all()
    assert np.isfinite(moved[:, 0]).all()


def test_separated_scores_have_no_line() -> None:
    sample = certain(60, 0)
    scores = np.where(sample.there, 0.9, 0.1)
    found = calibration_of(sample, 0, scores[:, 0])["calibration_slope"]
    assert not found.defined
    assert "separate" in str(found.reason)
