"""The statistics of the sampler comparison, against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.search import stats
from benchmarks.search.cells import improvements

BEST = ((0, 1.0, 0.5), (3, 2.0, 0.4), (9, 2.5, 0.9))


def test_the_highest_observed_score_is_chosen_and_its_true_score_counts() -> None:
    # A lucky observation at trial 3 is chosen though its true score is lower.
    assert [stats.chosen(BEST, b) for b in (1, 3, 4, 9, 10, 200)] == [0.5, 0.5, 0.4, 0.4, 0.9, 0.9]


def test_ties_of_the_observed_score_go_to_the_first() -> None:
    found = improvements(
        zip(range(5), [1.0, 1.0, 0.5, 2.0, 2.0], [0.1, 0.9, 0.8, 0.3, 0.7], strict=True)
    )
    assert found == ((0, 1.0, 0.1), (3, 2.0, 0.3))


def test_rounding_decides_no_choice() -> None:
    # Equal to six digits, but the second is higher.
    found = improvements([(0, 1.00000001, 0.0), (1, 1.00000002, 1.0)])
    assert stats.chosen(found, 2) == 1.0


def test_ranks_share_ties() -> None:
    values = np.array([[0.9, 0.5, 0.9, 0.1], [1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_array_equal(stats.ranks(values), [[1.5, 3, 1.5, 4], [4, 3, 2, 1]])


def test_each_problem_has_the_same_weight() -> None:
    problems = np.array([0, 0, 0, 1])
    base = stats.weights(problems)
    np.testing.assert_allclose(base, [1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert base @ np.array([3.0, 3.0, 3.0, 1.0]) == pytest.approx(2.0)


def test_the_bootstrap_draws_problems_and_then_seeds() -> None:
    problems = np.repeat([0, 1, 2], [4, 4, 2])
    boot = stats.bootstrap(problems, draws=4000)
    np.testing.assert_allclose(boot.sum(axis=1), 1.0)
    np.testing.assert_allclose(boot.mean(axis=0), stats.weights(problems), atol=0.01)
    # Constant within problems: all that varies is which problems are drawn.
    means = boot @ np.repeat([0.0, 3.0, 6.0], [4, 4, 2])
    assert set(np.round(means, 9)) == set(np.round(np.arange(7.0), 9))
    assert means.var() == pytest.approx(np.var([0.0, 3.0, 6.0]) / 3, rel=0.1)


def test_a_ratio_of_mean_regrets_has_its_interval() -> None:
    problems = np.array([0, 0, 1, 1])
    theirs = np.array([0.2, 0.4, 0.1, 0.3])
    boot = stats.bootstrap(problems)
    assert stats.ratio(theirs / 2, theirs, problems, boot) == pytest.approx((0.5, 0.5, 0.5))
    assert all(math.isnan(x) for x in stats.ratio(theirs, 0 * theirs, problems, boot))


def test_holm_multiplies_step_by_step() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1, never falling.
    assert stats.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert stats.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert stats.holm([]) == []


def test_wilcoxon_over_five_problems_that_all_agree() -> None:
    ours, theirs = np.zeros(5), np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert stats.wilcoxon(ours, theirs) == pytest.approx(2 / 2**5)
    assert stats.wilcoxon(ours, ours) == 1.0


def test_friedman_on_three_samplers_in_one_order() -> None:
    # Four problems, all in one order: the statistic is 8 with two degrees of freedom.
    assert stats.friedman(np.tile([0.1, 0.2, 0.3], (4, 1))) == pytest.approx(math.exp(-4))
    assert stats.friedman(np.ones((4, 2))) == 1.0


def test_nemenyi_as_in_the_paper() -> None:
    # Demšar (2006), section 3.2.2: four classifiers, 14 data sets, q = 2.569.
    assert stats.critical_difference(4, 14) == pytest.approx(2.569 * math.sqrt(20 / 84), rel=1e-3)


def test_a_two_sided_bootstrap_p_is_small_only_away_from_the_value() -> None:
    samples = np.linspace(0.6, 0.8, 999)
    assert stats.two_sided(samples, 0.5) == pytest.approx(2 / 1000)
    assert stats.two_sided(samples, 0.7) == pytest.approx(1.0, abs=0.01)


def test_wins_count_ties_half() -> None:
    found = stats.win_rates(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    np.testing.assert_array_equal(found, [0.5, 0.0, 1.0])


def test_a_target_is_reached_by_what_is_chosen_then() -> None:
    assert stats.reached(BEST, 0.45) == 1
    assert stats.reached(BEST, 0.6) == 10
    assert stats.reached(BEST, 0.95) == math.inf


def test_medians_with_runs_that_never_arrive() -> None:
    inf = math.inf
    assert stats.median([3, inf, 1]) == 3
    assert stats.median([3, 5, inf, 1]) == 4
    assert stats.median([3, inf, inf]) == inf
    assert stats.median([3, inf]) == inf


def test_still_improves_needs_more_than_two_standard_errors() -> None:
    early = np.zeros(4)
    # Gains of mean 1 and deviation 2 / sqrt(3): one standard error is 0.577.
    assert not stats.still_improves(early, np.array([2.0, 2.0, 0.0, 0.0]) * 1.0)
    assert stats.still_improves(early, np.array([1.1, 0.9, 1.0, 1.0]))
    assert not stats.still_improves(np.zeros(1), np.ones(1))
