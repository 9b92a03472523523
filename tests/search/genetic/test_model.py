from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import norm

from search.genetic.model import FLOOR, Features, log_expected_improvement, milestone, scaled, snap
from search.genetic.operators import Layout
from search.space.conditions import Condition
from search.space.unit import from_unit, to_unit


@pytest.mark.parametrize(
    "dist",
    [
        FloatDistribution(0, 1),
        FloatDistribution(1e-5, 1, log=True),
        FloatDistribution(0, 1, step=0.25),
        IntDistribution(1, 9, step=2),
        IntDistribution(1, 300, log=True),
    ],
)
def test_a_number_stands_where_its_value_does(dist: FloatDistribution | IntDistribution) -> None:
    units = np.linspace(0, 1, 41)
    expected = [to_unit(dist, from_unit(dist, float(u))) for u in units]
    assert snap(dist, units) == pytest.approx(expected, abs=1e-9)


def test_genes_that_are_off_are_blank_and_so_are_those_below_them() -> None:
    space = {
        "m": CategoricalDistribution(["a", "b"]),
        "k": CategoricalDistribution([1, 2]),
        "x": FloatDistribution(0, 1),
    }
    rules = {
        "k": Condition("m", frozenset({"b"})),
        "x": Condition("k", frozenset({2})),
    }
    features = Features(Layout(space), rules)
    # Columns: x, then m and k.
    rows = features.of(np.array([[0.1], [0.2], [0.3]]), np.array([[0, 1], [1, 0], [1, 1]]))
    assert rows.tolist() == [[0.5, 0, -1], [0.5, 1, 0], [0.3, 1, 1]]


@given(st.integers(1, 2000))
def test_milestones_lie_close_below_and_stay_until_the_next(count: int) -> None:
    at = milestone(count)
    assert at <= count <= max(at * 1.1 + 1, 3)
    assert milestone(at) == at


def test_failures_and_disasters_count_as_the_floor() -> None:
    values, unit = scaled(np.array([1.0, 0.9, 0.8, 0.7, -1e6, math.nan]))
    assert values.mean() == pytest.approx(0)
    assert values.std() == pytest.approx(1)
    assert values[4] == values[5] == values.min()
    # The median is 0.8, so the floor lies FLOOR * 0.2 below it.
    assert (values[2] - values[4]) * unit == pytest.approx(FLOOR * 0.2)


def test_values_that_are_all_equal_are_zero() -> None:
    values, unit = scaled(np.array([3.0, 3.0, 3.0]))
    assert (values == 0).all()
    assert unit == 1.0


def test_log_expected_improvement_is_the_logarithm_of_the_textbook_s() -> None:
    mean, sd = np.array([0.2, -1.0, 1.5]), np.array([0.5, 0.3, 0.1])
    z = mean / sd
    expected = np.log(sd * (norm.pdf(z) + z * norm.cdf(z)))
    assert log_expected_improvement(mean, sd, 0.0) == pytest.approx(expected, rel=1e-6)


def test_log_expected_improvement_still_tells_hopeless_candidates_apart() -> None:
    found = log_expected_improvement(np.array([-30.0, -40.0, -400.0]), np.ones(3), 0.0)
    assert np.isfinite(found).all()
    assert found[0] > found[1] > found[2]
    near = log_expected_improvement(np.array([-24.99, -25.01]), np.ones(2), 0.0)
    assert near[0] - near[1] == pytest.approx(0.5, abs=0.1)
