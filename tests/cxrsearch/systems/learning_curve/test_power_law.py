"""The curve through AUROC over patients: as SciPy's, bounded, with intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from cxrsearch.systems.learning_curve.power_law import (
    EXPONENTS,
    fit_power_law,
    fit_with_interval,
    held_out_difference,
    spread_of,
)

SHARES = np.array([0.1, 0.2, 0.35, 0.5, 0.7, 1.0])
PATIENTS = 1000 * SHARES


def curve(n: np.ndarray | float, a: float, b: float, c: float) -> np.ndarray:
    return np.asarray(a - b * (np.asarray(n) / 1000) ** -c)


def test_an_exact_curve_is_found_again() -> None:
    c = float(EXPONENTS[45])
    found = fit_power_law(PATIENTS, curve(PATIENTS, 0.85, 0.07, c))
    assert (found.a[0], found.b[0], found.c[0]) == pytest.approx((0.85, 0.07, c))
    assert found.at([2000, 4000])[0] == pytest.approx(curve(np.array([2000, 4000]), 0.85, 0.07, c))


def test_no_general_optimiser_finds_less_weighted_squares() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([1.0, 2.0, 3.0, 3.0, 5.0, 8.0])
    values = curve(PATIENTS, 0.8, 0.06, 0.6) + rng.normal(0, 0.004, 6)

    def loss(at: np.ndarray) -> float:
        return float((weights * (values - at) ** 2).sum())

    theirs, _ = curve_fit(
        curve, PATIENTS, values, p0=(0.8, 0.05, 0.5), sigma=weights**-0.5,
        bounds=((0, -1, 0.05), (1, 1, 2)),
    )  # fmt: skip
    ours = fit_power_law(PATIENTS, values, weights).at(PATIENTS)[0]
    assert loss(ours) <= loss(curve(PATIENTS, *theirs)) * 1.01


def test_the_limit_stays_within_what_an_auroc_can_be() -> None:
    rising = fit_power_law(PATIENTS, [0.5, 0.6, 0.7, 0.8, 0.9, 0.99])
    assert rising.a[0] <= 1
    assert rising.at(1e9)[0, 0] <= 1
    falling = fit_power_law(PATIENTS, [0.9, 0.5, 0.3, 0.2, 0.1, 0.01])
    assert falling.a[0] >= 0
    assert falling.b[0] < 0


def test_the_interval_of_the_gain_covers_the_truth() -> None:
    covered, truth = [], float(curve(2000, 0.85, 0.08, 0.5) - curve(1000, 0.85, 0.08, 0.5))
    for seed in range(150):
        rng = np.random.default_rng(seed)
        values = curve(PATIENTS, 0.85, 0.08, 0.5)[:, None] + rng.normal(0, 0.01, (6, 3))
        _, low, high = fit_with_interval(PATIENTS, values, seed=seed, draws=300).gain(2000, 1000)
        covered.append(low <= truth <= high)
    assert 0.9 <= np.mean(covered) <= 0.99  # 0.95, within three standard errors of 150


def test_a_flat_curve_has_an_interval_on_both_sides_of_nothing() -> None:
    values = 0.7 + np.random.default_rng(1).normal(0, 0.01, (6, 3))
    _, low, high = fit_with_interval(PATIENTS, values, seed=0).gain(2000, 1000)
    assert low < 0 < high


def test_luck_of_the_validation_patients_widens_the_level_more_than_the_gain() -> None:
    rng = np.random.default_rng(2)
    values = curve(PATIENTS, 0.8, 0.06, 0.5)[:, None] + rng.normal(0, 0.002, (6, 3))
    shift = rng.normal(0, 0.03, (500, 1))  # the same for all shares
    plain = fit_with_interval(PATIENTS, values, seed=0, draws=500)
    moved = fit_with_interval(PATIENTS, values, values.mean(axis=1) + shift, seed=0)
    width = [np.diff(fit.value(1000)[1:]).item() for fit in (plain, moved)]
    gain = [np.diff(fit.gain(2000, 1000)[1:]).item() for fit in (plain, moved)]
    assert width[1] > 5 * width[0]
    assert gain[1] < 2 * gain[0]


def test_a_largest_share_off_the_curve_of_the_others_is_told() -> None:
    rng = np.random.default_rng(3)
    values = curve(PATIENTS, 0.8, 0.06, 0.5)[:, None] + rng.normal(0, 0.002, (6, 3))
    _, _, low, high = held_out_difference(PATIENTS, values, seed=0)
    assert low < 0 < high
    values[-1] -= 0.1
    foretold, off, low, high = held_out_difference(PATIENTS, values, seed=0)
    assert high < 0
    assert foretold + off == pytest.approx(values[-1].mean())


def test_the_spread_of_few_trainings_leans_on_that_of_all() -> None:
    spread, df = spread_of([[0.7, 0.7], [0.6, 0.8], [0.7, 0.7]])
    assert df == 3
    assert spread[1] > spread[0] == spread[2] > 0
    with pytest.raises(ValueError, match="two trainings"):
        spread_of([[0.7], [0.8]])


def test_too_few_numbers_of_patients_make_no_curve() -> None:
    with pytest.raises(ValueError, match="three different"):
        fit_power_law([10, 20, 20], [0.5, 0.6, 0.7])
