"""A Gaussian process over genes: what the genetic algorithm expects of offspring.

Regression as in Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006),
algorithm 2.1, with the covariance of `search.genetic.kernels`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from threading import RLock

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from threadpoolctl import ThreadpoolController

from .kernels import Array, Kernel, gaps

JITTER = 1e-6
"""Added to the variance of every value, so that the Cholesky factor exists."""


_ALONE = RLock()


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """A context in which linear algebra runs on one thread.

    More gain nothing on matrices this small, lose much where other processes use the
    cores, and round differently: the same history must give the same trial. The limit is the
    process's, so one caller at a time may be within: else the first to leave would lift it
    for the others.
    """
    with _ALONE, _libraries().limit(limits=1, user_api="blas"):
        yield


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

    @cached_property
    def own_gaps(self) -> Array:
        """`gaps` of the points themselves, shape (genes, n, n): all members want the same."""
        return self.gaps(self.points)

    def gaps(self, points: Array) -> Array:
        """`search.genetic.kernels.gaps` of ``points`` (m, genes) to these, shape (genes, m, n)."""
        return gaps(points, self.points, self.choice)


class GaussianProcess:
    """The process with a given covariance, conditioned on data.

    Args:
        data: what it is told.
        kernel: the covariance and the noise.
    """

    def __init__(self, data: Data, kernel: Kernel) -> None:
        self.data = data
        self.kernel = kernel
        covariance = kernel.covariance(data.own_gaps)
        self._unsure = kernel.noise + data.doubt + JITTER
        covariance[np.diag_indices(len(covariance))] += self._unsure
        self._factor = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._factor, True), data.values, check_finite=False)

    def expected(self) -> Array:
        """Means of the true values at the data's own points, shape (n,)."""
        # The covariance times the weights, without its diagonal's noise: equation 2.25.
        means: Array = self.data.values - self._unsure * self._weights
        return means

    def predict(self, points: Array, apart: Array | None = None) -> tuple[Array, Array]:
        """Mean and standard deviation, each (m,), of the true value at ``points`` (m, genes).

        ``apart`` is what `Data.gaps` says of them, where the caller has it.
        """
        across = self.kernel.covariance(self.data.gaps(points) if apart is None else apart)
        solved = solve_triangular(self._factor, across.T, lower=True, check_finite=False)
        variance = self.kernel.amplitude - np.einsum("ij,ij->j", solved, solved)
        return across @ self._weights, np.sqrt(np.maximum(variance, 1e-10))

    def believing(self, points: Array) -> GaussianProcess:
        """The process if each of ``points`` had come to what is expected of it.

        The kriging believer of Ginsbourger et al., "Kriging Is Well-Suited to Parallelize
        Optimization" (2010): the mean stays, and near these points little is left to learn.
        """
        if not len(points):
            return self
        mean, _ = self.predict(points)
        data = self.data.lengthened(points, mean, np.zeros(len(points)))
        return GaussianProcess(data, self.kernel)
