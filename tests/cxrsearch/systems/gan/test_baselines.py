"""Principal components, by the smaller of two products."""

from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.systems.gan.baselines import principal_axes


@pytest.mark.parametrize(("n", "d"), [(60, 7), (7, 60), (9, 9)])
def test_axes_carry_the_covariance_of_the_rows(n: int, d: int) -> None:
    rows = np.random.default_rng(0).normal(3.0, 2.0, (n, d))
    mean, axes = principal_axes(rows, 100)
    assert axes.shape == (min(n - 1, d), d)
    np.testing.assert_allclose(mean, rows.mean(axis=0))
    np.testing.assert_allclose(axes.T @ axes, np.cov(rows.T), atol=1e-9)
    lengths = np.linalg.norm(axes, axis=1)
    assert (np.diff(lengths) <= 1e-9).all()


def test_only_the_longest_are_kept() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 9.0, 3.0]
    _, axes = principal_axes(rows, 2)
    assert axes.shape == (2, 3)
    assert np.abs(axes).argmax(axis=1).tolist() == [1, 2]


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (1, 4)])
def test_equal_rows_have_axes_of_no_length(shape: tuple[int, int]) -> None:
    mean, axes = principal_axes(np.full(shape, 7, np.uint8), 4)
    assert (mean == 7).all()
    assert np.isfinite(axes).all()
    np.testing.assert_allclose(axes, 0, atol=1e-6)
