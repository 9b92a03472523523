from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import kstest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from search.genetic.gaussian_process import JITTER, Data, GaussianProcess, Kernel, gaps
from search.genetic.gaussian_process_fit import (
    HEAVIEST,
    MIXTURE_MEMBERS,
    ThetaPrior,
    _cost,
    _normal,
    fitted,
)


def drawn(n: int, genes: int = 3, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    points = rng.random((n, genes))
    values = np.sin(4 * points[:, 0]) + points[:, 1]
    choice = np.zeros(genes, dtype=bool)
    return Data(points, (values - values.mean()) / values.std(), np.zeros(n), choice)


def theta(genes: int, share: float = 0.3) -> np.ndarray:
    logit = math.log(share / (1 - share))
    return np.array([*np.linspace(-1.0, 0.5, genes), logit, 0.3, math.log(0.02)])


JOINT = 1e-9
"""A share of the single genes' kernels that leaves nothing of them."""


def test_predictions_are_those_of_scikit_learn() -> None:
    data, given = drawn(30), theta(3, JOINT)
    kernel = ConstantKernel(math.exp(0.3)) * Matern(np.exp(given[:3]), nu=2.5)
    peer = GaussianProcessRegressor(
        kernel + WhiteKernel(0.02 + JITTER), optimizer=None, alpha=0.0
    ).fit(data.points, data.values)
    asked = np.random.default_rng(1).random((20, 3))
    mean, sd = GaussianProcess(data, Kernel.of(given)).predict(asked)
    expected, noisy = peer.predict(asked, return_std=True)
    assert mean == pytest.approx(expected, abs=1e-6)
    # scikit-learn's deviation is that of an observation, noise included.
    assert sd**2 + 0.02 + JITTER == pytest.approx(noisy**2, abs=1e-6)


def test_the_gradient_is_that_of_the_cost() -> None:
    data, given = drawn(20), theta(3)
    apart = data.gaps(data.points)
    prior = ThetaPrior.of(3)

    def cost(at: np.ndarray) -> float:
        return _cost(at, apart, data, prior)[0]

    _, gradient = _cost(given, apart, data, prior)
    assert gradient == pytest.approx(approx_fprime(given, cost, 1e-6), rel=1e-3, abs=1e-4)


def test_of_single_genes_alone_the_covariance_is_their_mean() -> None:
    data = drawn(12)
    kernel = Kernel(np.array([0.5, 0.7, 0.9]), 1.0, 2.0, 0.1)
    # One gene's length is shorter by the root of the number of genes than all genes' together.
    single = [
        Matern(length / math.sqrt(3), nu=2.5)(data.points[:, [gene]])
        for gene, length in enumerate(kernel.lengths)
    ]
    found = kernel.covariance(data.gaps(data.points))
    assert found == pytest.approx(2.0 * np.mean(single, axis=0), abs=1e-6)


def test_single_genes_carry_over_to_combinations_never_seen() -> None:
    # Trials along two axes say all about a sum of two effects.
    line = np.linspace(0, 1, 9)
    points = np.array([[x, 0.0] for x in line] + [[0.0, x] for x in line[1:]])
    values = np.sin(3 * points[:, 0]) + np.sin(3 * points[:, 1])
    data = Data(points, values - values.mean(), np.zeros(len(points)), np.zeros(2, dtype=bool))
    far = np.array([[0.5, 0.5]])
    truth = 2 * math.sin(1.5) - values.mean()
    errors = []
    for share in (JOINT, 0.9):
        kernel = Kernel(np.array([0.6, 0.6]), share, 1.0, 1e-4)
        mean, _ = GaussianProcess(data, kernel).predict(far)
        errors.append(abs(mean[0] - truth))
    assert errors[1] < 0.3 * errors[0]


def test_what_is_expected_at_the_data_is_what_is_predicted_there() -> None:
    process = GaussianProcess(drawn(20), Kernel.of(theta(3)))
    mean, _ = process.predict(process.data.points)
    assert process.expected() == pytest.approx(mean, abs=1e-4)


def test_beside_one_companion_a_point_is_as_if_that_one_alone_were_believed() -> None:
    data = drawn(25)
    data.choice[2] = True
    process = GaussianProcess(data, Kernel.of(theta(3)))
    rng = np.random.default_rng(2)
    asked, others, which = (
        rng.random((9, 3)),
        rng.random((4, 3)),
        np.array([3, 0, 0, 1, 3, 1, 0, 3, 0]),
    )
    mean, sd = process.predict_beside(asked, others, which)
    for i, companion in enumerate(which):
        believed = process.believing(others[[companion]]).predict(asked[[i]])
        assert mean[i] == pytest.approx(believed[0][0], abs=1e-6)
        assert sd[i] == pytest.approx(believed[1][0], abs=1e-6)


def test_a_gene_without_effect_gets_the_longest_length_from_every_plausible_covariance() -> None:
    belief = fitted(drawn(60))
    mean = belief.weights @ np.log([kernel.lengths for kernel in belief.kernels])
    assert mean.argmax() == 2


def test_few_trials_leave_many_covariances_plausible_and_many_trials_few() -> None:
    def spread(n: int) -> float:
        belief = fitted(drawn(n))
        logs = np.log([kernel.lengths[0] for kernel in belief.kernels])
        mean = belief.weights @ logs
        return float(np.sqrt(belief.weights @ (logs - mean) ** 2))

    assert spread(6) > 2 * spread(80)


def test_no_member_of_the_mixture_weighs_nearly_all() -> None:
    for n in (3, 10, 40):
        belief = fitted(drawn(n, genes=6))
        assert belief.weights.sum() == pytest.approx(1)
        assert belief.weights.max() < 1.5 * HEAVIEST / MIXTURE_MEMBERS
        assert len(belief.kernels) > 1


def test_the_members_are_drawn_from_a_normal_distribution() -> None:
    drawn_ = _normal(9)
    assert (drawn_[0] == 0).all()
    assert kstest(drawn_[1:].ravel(), "norm").pvalue > 0.05


def test_the_same_data_gives_the_same_belief_whoever_asked_before() -> None:
    first = fitted(drawn(25))
    fitted.__globals__["_fitted"].cache_clear()
    fitted(drawn(25, seed=1))
    again = fitted(drawn(25))
    assert (first.weights == again.weights).all()
    for one, two in zip(first.kernels, again.kernels, strict=True):
        assert (one.lengths == two.lengths).all()
        assert (one.share, one.amplitude, one.noise) == (two.share, two.amplitude, two.noise)


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
    means = [
        GaussianProcess(Data(data.points, raised, each, data.choice), Kernel.of(theta(3))).predict(
            at
        )
        for each in (data.doubt, doubt)
    ]
    (sure, _), (unsure, _) = means
    assert unsure[0] < sure[0]


def test_believing_keeps_the_mean_and_takes_the_doubt() -> None:
    process = GaussianProcess(drawn(15), Kernel.of(theta(3)))
    at = np.array([[0.5, 0.5, 0.5]])
    believing = process.believing(at)
    (mean,), (sd,) = process.predict(at)
    (after,), (left,) = believing.predict(at)
    assert after == pytest.approx(mean, abs=1e-6)
    assert left < 0.7 * sd
    assert process.believing(np.empty((0, 3))) is process


def test_settled_values_and_their_uncertainty_are_those_of_the_joint_normal_distribution() -> None:
    rng = np.random.default_rng(2)
    few = drawn(12)
    data = Data(few.points, few.values, rng.uniform(0.05, 0.3, 12), few.choice)
    kernel = Kernel.of(theta(3))
    process = GaussianProcess(data, kernel)
    truth = kernel.covariance(data.own_gaps) + kernel.noise * np.eye(12)
    gain = truth @ np.linalg.inv(truth + np.diag(data.doubt))
    mean, left = gain @ data.values, truth - gain @ truth
    of = [7, 0, 4]
    assert process.settled() == pytest.approx(mean, abs=1e-4)
    assert process.uncertainty(of) == pytest.approx(left[np.ix_(of, of)], abs=1e-4)


def test_left_out_is_what_the_others_leave_open() -> None:
    data, kernel = drawn(15), Kernel.of(theta(3))
    found = GaussianProcess(data, kernel).left_out()
    for i in range(15):
        rest = np.arange(15) != i
        others = Data(data.points[rest], data.values[rest], data.doubt[rest], data.choice)
        _, sd = GaussianProcess(others, kernel).predict(data.points[[i]])
        assert found[i] == pytest.approx(sd[0] ** 2, abs=1e-6)
