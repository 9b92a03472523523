from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from search.surrogate import JITTER, Data, GaussianProcess, Prior, _cost, fitted, gaps


def drawn(n: int, genes: int = 3, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    points = rng.random((n, genes))
    values = np.sin(4 * points[:, 0]) + points[:, 1]
    choice = np.zeros(genes, dtype=bool)
    return Data(points, (values - values.mean()) / values.std(), np.zeros(n), choice)


def theta(genes: int) -> np.ndarray:
    return np.array([*np.linspace(-1.0, 0.5, genes), 0.3, math.log(0.02)])


def test_predictions_are_those_of_scikit_learn() -> None:
    data, given = drawn(30), theta(3)
    kernel = ConstantKernel(math.exp(0.3)) * Matern(np.exp(given[:3]), nu=2.5)
    peer = GaussianProcessRegressor(
        kernel + WhiteKernel(0.02 + JITTER), optimizer=None, alpha=0.0
    ).fit(data.points, data.values)
    asked = np.random.default_rng(1).random((20, 3))
    mean, sd = GaussianProcess(data, given).predict(asked)
    expected, noisy = peer.predict(asked, return_std=True)
    assert mean == pytest.approx(expected, abs=1e-6)
    # scikit-learn's deviation is that of an observation, noise included.
    assert sd**2 + 0.02 + JITTER == pytest.approx(noisy**2, abs=1e-6)


def test_the_gradient_is_that_of_the_cost() -> None:
    data, given = drawn(20), theta(3)
    apart = gaps(data.points, data.points, data.choice)
    prior = Prior.of(3)

    def cost(at: np.ndarray) -> float:
        return _cost(at, apart, data.values, data.doubt, prior)[0]

    _, gradient = _cost(given, apart, data.values, data.doubt, prior)
    assert gradient == pytest.approx(approx_fprime(given, cost, 1e-6), rel=1e-3, abs=1e-4)


def test_a_gene_without_effect_gets_the_longest_length() -> None:
    data = drawn(60)
    lengths = fitted(data)[:3]
    assert lengths.argmax() == 2


def test_the_same_data_gives_the_same_lengths_whoever_asked_before() -> None:
    first = fitted(drawn(25)).copy()
    fitted(drawn(25, seed=1))
    assert (fitted(drawn(25)) == first).all()


def test_two_different_choices_are_one_unit_apart() -> None:
    rows = np.array([[0.0], [1.0], [3.0]])
    assert gaps(rows, rows, np.array([True]))[0].tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]


def test_a_doubtful_value_pulls_less() -> None:
    data = drawn(20)
    at = data.points[:1]
    raised = data.values.copy()
    raised[0] += 2.0
    doubt = np.zeros(20)
    doubt[0] = 4.0
    sure, _ = GaussianProcess(Data(data.points, raised, data.doubt, data.choice), theta(3)).predict(
        at
    )
    unsure, _ = GaussianProcess(Data(data.points, raised, doubt, data.choice), theta(3)).predict(at)
    assert unsure[0] < sure[0]


def test_believing_keeps_the_mean_and_takes_the_doubt() -> None:
    process = GaussianProcess(drawn(15), theta(3))
    at = np.array([[0.5, 0.5, 0.5]])
    believing = process.believing(at)
    (mean,), (sd,) = process.predict(at)
    (after,), (left,) = believing.predict(at)
    assert after == pytest.approx(mean, abs=1e-6)
    assert left < 0.7 * sd
    assert process.believing(np.empty((0, 3))) is process
