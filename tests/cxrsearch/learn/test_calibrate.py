from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm

from cxrsearch.learn.calibrate import calibrate, lower_bound, platt, threshold


def test_platt_finds_the_slope_and_offset_that_labels_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    scores = expit(rng.normal(0, 2, 40_000))
    truth = rng.random(len(scores)) < expit(0.5 * logit(scores) - 1)
    slope, offset = platt(truth, scores)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert offset == pytest.approx(-1, abs=0.05)


def test_platt_never_turns_an_order_round_and_says_nothing_of_one_class() -> None:
    scores = np.linspace(0.1, 0.9, 50)
    slope, offset = platt(scores < 0.3, scores)
    assert slope == 0
    assert expit(offset) == pytest.approx(np.mean(scores < 0.3), abs=0.02)
    for truth in (np.zeros(50, bool), np.ones(50, bool)):
        assert np.isnan(platt(truth, scores)).all()


def test_few_positives_do_not_become_certainties() -> None:
    scores = np.array([0.9] + [0.1] * 20)
    slope, offset = platt(scores > 0.5, scores)
    assert 0.5 < expit(slope * logit(0.9) + offset) <= 2 / 3 + 1e-3


def test_a_bound_is_that_of_clopper_and_pearson() -> None:
    # All of n right: (1 - level)^(1 / n), by the beta distribution's own formula.
    assert lower_bound(np.array([10]), np.array([10]), 0.9) == pytest.approx(0.1 ** (1 / 10))
    assert lower_bound(np.array([0]), np.array([5]), 0.9) == 0


def test_the_threshold_is_the_lowest_score_tried_whose_bound_is_high_enough() -> None:
    truth = np.array([True] * 60 + [False] * 140)
    scores = np.linspace(1, 0, 200)
    # 40 of the 200 are all right, 100 are not; with six thresholds tried, each at 1 - 0.1 / 6.
    assert (0.1 / 6) ** (1 / 40) > 0.9
    assert threshold(truth, scores, 0.9) == scores[39]
    assert threshold(truth, scores, 0.45) == scores[99]
    assert np.isnan(threshold(truth, scores, 0.95))
    assert np.isnan(threshold(truth[::-1], scores, 0.8))


def test_what_thresholds_promise_holds_as_often_as_they_say() -> None:
    """Where a threshold's true precision is known: scores of two normal distributions."""
    rng = np.random.default_rng(0)
    right = []
    for _ in range(300):
        truth = rng.random(300) < 0.3
        found = threshold(truth, rng.normal(1.2 * truth, 1), 0.6)
        if not np.isnan(found):
            hits, misses = 0.3 * norm.sf(found - 1.2), 0.7 * norm.sf(found)
            right.append(hits / (hits + misses) >= 0.6)
    assert len(right) > 100
    assert np.mean(right) > 0.9


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=60))
def test_equal_scores_are_taken_together(pairs: list[tuple[bool, int]]) -> None:
    truth = np.array([t for t, _ in pairs])
    scores = np.array([s / 5 for _, s in pairs])
    found = threshold(truth, scores, 0.5)
    if not np.isnan(found):
        taken = scores >= found
        assert lower_bound(truth[taken].sum()[None], taken.sum()[None], 1 - 0.1 / 6)[0] >= 0.5


def test_each_disease_has_thresholds_at_both_ends() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((400, 2)) < [0.5, 0.0]
    scores = np.where(truth, 0.9, 0.1) + rng.normal(0, 0.02, truth.shape)
    found = calibrate(truth, scores, 0.8)
    assert 0.1 < found.ceiling[0] < 0.95
    assert 0.05 < found.floor[0] < 0.9
    assert np.isnan(found.floor[1])
    assert found.ceiling[1] == np.sort(scores[:, 1])[199]  # half of them at the most
    likely = found.probabilities(scores)
    assert likely[truth[:, 0], 0].min() > 0.9
    assert np.isnan(likely[:, 1]).all()
