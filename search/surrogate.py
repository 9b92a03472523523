"""A Gaussian process over genes: what the genetic algorithm expects of offspring.

Regression as in Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006),
algorithm 2.1, with a Matérn 5/2 kernel (equation 4.17) that has a length for every gene;
two different choices of a categorical gene lie one unit apart. The lengths, the amplitude
and the noise maximise the marginal likelihood (equation 5.9) times log-normal priors,
which keep a model of ten trials from certainty; the priors' lengths grow with the square
root of the number of genes, as distances do (Hvarfner et al., "Vanilla Bayesian
Optimization Performs Great in High Dimensions", 2024).
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

Array = NDArray[np.float64]

LENGTH = 0.4
"""Median of the prior of a gene's length, in unit intervals, for one gene."""
LENGTH_SPREAD = 1.0
"""Standard deviation of the prior of its logarithm."""
NOISE = 0.01
"""Median of the prior of the noise variance; values are scaled to a variance of 1."""
NOISE_SPREAD = 1.5
STEPS = 30
"""Steps of the optimiser."""
JITTER = 1e-6
"""Added to the variance of every value, so that the Cholesky factor exists."""
ROOT5 = math.sqrt(5.0)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """A context in which linear algebra runs on one thread.

    More gain nothing on matrices this small, lose much where other processes use the
    cores, and round differently: the same history must give the same trial.
    """
    limited: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limited


@dataclass(frozen=True)
class Prior:
    """Means and spreads of the logarithms of (lengths, amplitude, noise)."""

    mean: Array
    spread: Array

    @classmethod
    def of(cls, genes: int) -> Prior:
        """The prior for a space of ``genes`` genes."""
        length = math.log(LENGTH * math.sqrt(genes))
        return cls(
            np.array([length] * genes + [0.0, math.log(NOISE)]),
            np.array([LENGTH_SPREAD] * genes + [1.0, NOISE_SPREAD]),
        )

    def bounds(self, genes: int) -> list[tuple[float, float]]:
        """Where the optimiser may go."""
        lengths = [(math.log(0.02), math.log(50.0))] * genes
        return [*lengths, (-4.0, 4.0), (math.log(1e-6), 0.0)]


def gaps(one: Array, two: Array, choice: NDArray[np.bool_]) -> Array:
    """Squared distances by gene, shape (genes, n, m), of points of shape (n, genes), (m, genes)."""
    apart = one[:, None, :] - two[None, :, :]
    apart *= apart
    apart[:, :, choice] = apart[:, :, choice] > 0.0
    return np.ascontiguousarray(apart.transpose(2, 0, 1))


def kernel(apart: Array, lengths: Array) -> tuple[Array, Array]:
    """Matérn 5/2 correlations, shape (n, m), and the factor that their gradients share.

    The derivative by the logarithm of a length is the factor times ``apart / length**2``.
    """
    distance = np.sqrt(np.tensordot(lengths**-2, apart, 1) + 1e-16)
    decay = np.exp(-ROOT5 * distance)
    slope = (1.0 + ROOT5 * distance) * decay
    return slope + 5.0 / 3.0 * distance**2 * decay, 5.0 / 3.0 * slope


@dataclass(frozen=True)
class Data:
    """What a process is told.

    Args:
        points: genes, shape (n, genes): numbers in the unit interval, choices by index.
        values: standardised, the higher the better, shape (n,).
        doubt: variance of each value beyond the common noise, shape (n,).
        choice: which genes are choices, shape (genes,).
    """

    points: Array
    values: Array
    doubt: Array
    choice: NDArray[np.bool_]

    def lengthened(self, points: Array, values: Array, doubt: Array) -> Data:
        """With further points."""
        return Data(
            np.vstack([self.points, points]),
            np.concatenate([self.values, values]),
            np.concatenate([self.doubt, doubt]),
            self.choice,
        )


def fitted(data: Data) -> Array:
    """Logarithms of (lengths, amplitude, noise), shape (genes + 2,), most probable on ``data``.

    Kept for the latest calls: every ask between two refits wants the same.
    """
    parts = (data.points, data.values, data.doubt, data.choice)
    return _fitted(data.points.shape, *(np.ascontiguousarray(part).tobytes() for part in parts))


@lru_cache(maxsize=64)
def _fitted(shape: tuple[int, int], *parts: bytes) -> Array:
    points, values, doubt = (np.frombuffer(part) for part in parts[:3])
    choice = np.frombuffer(parts[3], dtype=np.bool_)
    genes = shape[1]
    prior = Prior.of(genes)
    apart = gaps(points.reshape(shape), points.reshape(shape), choice)

    def cost(theta: Array) -> tuple[float, Array]:
        return _cost(theta, apart, values, doubt, prior)

    found = minimize(
        cost,
        prior.mean,
        jac=True,
        method="L-BFGS-B",
        bounds=prior.bounds(genes),
        options={"maxiter": STEPS},
    )
    # Fewer digits than the optimiser's: what differs between machines is rounded away.
    theta: Array = np.round(found.x, 6)
    theta.flags.writeable = False
    return theta


def _cost(
    theta: Array, apart: Array, values: Array, doubt: Array, prior: Prior
) -> tuple[float, Array]:
    """Negative log posterior and its gradient."""
    genes, n = apart.shape[:2]
    lengths = np.exp(theta[:genes])
    amplitude, noise = np.exp(theta[genes:])
    correlation, shared = kernel(apart, lengths)
    covariance = amplitude * correlation
    covariance[np.diag_indices(n)] += noise + doubt + JITTER
    try:
        factor = cholesky(covariance, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(theta)
    weights = cho_solve((factor, True), values, check_finite=False)
    half, _ = dpotri(factor, lower=1)
    inverse = np.tril(half) + np.tril(half, -1).T
    rest = inverse - np.outer(weights, weights)
    gradient = np.empty_like(theta)
    by_gene = np.tensordot(apart, rest * shared, axes=([1, 2], [0, 1]))
    gradient[:genes] = 0.5 * amplitude * by_gene / lengths**2
    gradient[genes] = 0.5 * amplitude * float((rest * correlation).sum())
    gradient[genes + 1] = 0.5 * noise * float(np.trace(rest))
    away = (theta - prior.mean) / prior.spread
    value = 0.5 * float(values @ weights) + float(np.log(np.diag(factor)).sum())
    return value + 0.5 * float(away @ away), gradient + away / prior.spread


class GaussianProcess:
    """The process with given lengths, amplitude and noise, conditioned on data.

    Args:
        data: what it is told.
        theta: as `fitted` returns it.
    """

    def __init__(self, data: Data, theta: Array) -> None:
        genes = data.points.shape[1]
        self.data = data
        self.theta = theta
        self._lengths = np.exp(theta[:genes])
        self._amplitude, self._noise = (float(v) for v in np.exp(theta[genes:]))
        apart = gaps(data.points, data.points, data.choice)
        covariance = self._amplitude * kernel(apart, self._lengths)[0]
        covariance[np.diag_indices(len(covariance))] += self._noise + data.doubt + JITTER
        self._factor = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._factor, True), data.values, check_finite=False)

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, each (m,), of the true value at ``points`` (m, genes)."""
        apart = gaps(points, self.data.points, self.data.choice)
        across = self._amplitude * kernel(apart, self._lengths)[0]
        solved = solve_triangular(self._factor, across.T, lower=True, check_finite=False)
        variance = self._amplitude - np.einsum("ij,ij->j", solved, solved)
        return across @ self._weights, np.sqrt(np.maximum(variance, 1e-10))

    def believing(self, points: Array) -> GaussianProcess:
        """The process if each of ``points`` had come to what is expected of it.

        The kriging believer of Ginsbourger et al., "Kriging Is Well-Suited to Parallelize
        Optimization" (2010): the mean stays, and near these points little is left to learn.
        """
        if not len(points):
            return self
        mean, _ = self.predict(points)
        return GaussianProcess(
            self.data.lengthened(points, mean, np.zeros(len(points))), self.theta
        )
