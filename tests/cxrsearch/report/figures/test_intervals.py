"""Intervals against published values, and what clustering, few positives and bounds do to them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t

from cxrsearch.report.figures.estimate import Estimate, mean_of
from cxrsearch.report.figures.intervals import (
    critical,
    difference,
    effective_size,
    on_scale,
    separated_auroc,
    wilson,
)
from cxrsearch.report.figures.resampling import PatientDraws
from cxrsearch.report.figures.shares import share_of


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
     (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_wilsons_interval_is_that_of_newcombes_table(
    hits: int, n: int, low: float, high: float
) -> None:
    assert wilson(hits / n, n) == pytest.approx((low, high), abs=5e-5)


def test_a_difference_of_independent_shares_is_that_of_newcombes_method_10() -> None:
    first, second = 56 / 70, 48 / 80
    ends = difference(first, wilson(first, 70), second, wilson(second, 80), 0.0)
    assert ends == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_half_width_is_students() -> None:
    assert critical(10) == pytest.approx(t.ppf(0.975, 10))
    assert critical(math.inf) == pytest.approx(1.96, abs=1e-3)
    assert critical(10, 3.0) > critical(10)


def test_images_alike_within_patients_count_once_and_unlike_ones_each() -> None:
    alike = np.repeat([0.0, 3.0], 20)
    totals = np.full(40, 3.0)
    assert effective_size(alike, totals)[0] == pytest.approx(40)
    unlike = np.full(40, 1.0)
    assert effective_size(unlike, totals)[0] == pytest.approx(240)
    rng = np.random.default_rng(0)
    free = rng.binomial(3, 0.3, size=4000).astype(float)
    assert effective_size(free, np.full(4000, 3.0))[0] == pytest.approx(12000, rel=0.06)


def test_a_share_of_all_counts_patients_and_still_has_a_width() -> None:
    hits = np.ones(12, bool)
    draws = PatientDraws(np.repeat(np.arange(6), 2), 50, 0)
    low, high = share_of(hits, hits, draws, "none").ends()
    assert high == pytest.approx(1)
    assert low == pytest.approx(wilson(1.0, 6)[0])


def test_an_auroc_at_its_bound_has_one_open_end() -> None:
    low, high = separated_auroc(1.0, 10, 90)
    assert high == 1
    assert 0.7 < low < 1
    assert separated_auroc(0.0, 10, 90) == pytest.approx((1 - high, 1 - low))
    inner = separated_auroc(0.8, 30, 200)
    assert inner[0] < 0.8 < inner[1]
    assert separated_auroc(0.8, 300, 2000)[0] > inner[0]


def test_scales_keep_their_bounds() -> None:
    assert 0 < on_scale("logit", 0.98, 0.05, 2)[0] < on_scale("logit", 0.98, 0.05, 2)[1] < 1
    assert on_scale("log", 0.01, 0.02, 2)[0] > 0
    assert on_scale("plain", 0.1, 0.1, 2) == pytest.approx((-0.1, 0.3))


def made(value: float, spread: float, freedom: float, seed: int) -> Estimate:
    draws = value + spread * np.random.default_rng(seed).normal(size=4000)
    return Estimate(value, draws, freedom, "plain", 100, 10)


def test_a_mean_is_over_the_defined_and_as_uncertain_as_its_parts() -> None:
    parts = [made(0.6, 0.02, 1e6, 1), made(0.8, 0.02, 1e6, 2)]
    gap = Estimate(math.nan, np.full(4000, np.nan), 0, "plain", 100, 0, reason="none")
    mean = mean_of([*parts, gap], "plain", 100, 30, 4000)
    assert mean.value == pytest.approx(0.7)
    assert mean.error == pytest.approx(0.02 / math.sqrt(2), rel=0.05)
    nothing = mean_of([gap], "plain", 100, 30, 4000)
    assert not nothing.defined
    assert nothing.figure("test").reason == "no label has a value"


def test_a_mean_with_one_rare_label_has_fewer_degrees_of_freedom() -> None:
    common = mean_of([made(0.7, 0.02, 500, 1), made(0.8, 0.02, 500, 2)], "plain", 100, 30, 4000)
    rare = mean_of([made(0.7, 0.02, 500, 1), made(0.8, 0.2, 4, 2)], "plain", 100, 30, 4000)
    assert common.freedom > 400
    assert 3 < rare.freedom < 6


def test_draws_are_of_whole_patients_and_the_same_for_all() -> None:
    patients = np.array(["b", "a", "b", "c"])
    draws = PatientDraws(patients, 30, 5)
    assert draws.counts.sum(axis=1).tolist() == [3] * 30
    weights = np.concatenate(list(draws.weights()))
    assert (weights[:, 0] == weights[:, 2]).all()
    columns = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 1.0]])
    assert draws.sums(columns) == pytest.approx(weights @ columns)
    assert (PatientDraws(patients, 30, 5).counts == draws.counts).all()
    with pytest.raises(ValueError, match="resamples >= 1"):
        PatientDraws(patients, 0, 0)
