"""A Gaussian process over genes: what the genetic algorithm expects of offspring.

Regression as in Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006),
algorithm 2.1, with the covariance of `search.genetic.gaussian_process`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from threading import RLock

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from threadpoolctl import ThreadpoolController

Array = NDArray[np.float64]

ROOT5 = math.sqrt(5.0)
THETA_REST = 3
"""Entries of a vector of parameters after the lengths: share, amplitude and noise."""


def gaps(one: Array, two: Array, choice: NDArray[np.bool_]) -> Array:
    """Squared distances by gene, shape (genes, n, m), of points of shape (n, genes), (m, genes).

    Two different choices of a categorical gene lie one unit apart.
    """
    apart: Array = one.T[:, :, None] - two.T[:, None, :]
    apart *= apart
    apart[choice] = apart[choice] > 0.0
    return apart


def matern(squared: Array) -> Array:
    """Correlations of points at these squared distances, in lengths."""
    distance = np.sqrt(squared)
    distance *= ROOT5
    found: Array = distance * (1.0 / 3.0)
    found += 1.0
    found *= distance
    found += 1.0
    np.negative(distance, out=distance)
    found *= np.exp(distance, out=distance)
    return found


def matern_with_slope(squared: Array) -> tuple[Array, Array]:
    """What `matern` says, and its derivative by the logarithm of a gene's length, over the gene's
    part of the squared distance.
    """
    distance = ROOT5 * np.sqrt(squared)
    falling = np.exp(-distance)
    rising = 1.0 + distance
    found: Array = distance * (1.0 / 3.0)
    found += 1.0
    found *= distance
    found += 1.0
    found *= falling
    rising *= 5.0 / 3.0
    rising *= falling
    return found, rising


@dataclass(frozen=True)
class Kernel:
    """A covariance, and the noise on top of it.

    Args:
        lengths: of the genes, in unit intervals, shape (genes,).
        share: of the kernels of single genes, between 0 and 1.
        amplitude: variance of the values.
        noise: variance of their noise.
    """

    lengths: Array
    share: float
    amplitude: float
    noise: float

    @classmethod
    def of(cls, theta: Array) -> Kernel:
        """From logarithms of lengths, the logit of the share, and two further logarithms."""
        logit, amplitude, noise = (float(v) for v in theta[-THETA_REST:])
        share = 1.0 / (1.0 + math.exp(-logit))
        return cls(np.exp(theta[:-THETA_REST]), share, math.exp(amplitude), math.exp(noise))

    def covariance(self, apart: Array) -> Array:
        """Covariances without noise, shape (n, m), of points with these `gaps`."""
        joint = matern(self.joint(apart))
        joint *= self.amplitude * (1.0 - self.share)
        # Gene by gene: what stays in the processor's cache takes half the time.
        for gap, scale in zip(apart, self.single_factors(), strict=True):
            alone = matern(gap * scale)
            alone *= self.amplitude * self.share / len(apart)
            joint += alone
        return joint

    def sloped(self, apart: Array) -> SlopedCovariance:
        """The same with what their derivatives take, for `gaps` of n points among themselves."""
        return SlopedCovariance(self, apart)

    def joint(self, apart: Array) -> Array:
        """Squared distances over all genes, in lengths, shape (n, m)."""
        joint: Array = np.tensordot(self.lengths**-2, apart, 1)
        return joint

    def single_factors(self) -> Array:
        """Factors of the squared distances of single genes.

        A distance over all genes is longer than one along a gene by about the square root
        of their number; the lengths shrink by it.
        """
        factors: Array = len(self.lengths) / self.lengths**2
        return factors


class SlopedCovariance:
    """Covariances of points among themselves, and their derivatives.

    Both take the same roots and exponentials, which are most of the work: they are taken once.

    Args:
        kernel: the covariance.
        apart: `gaps` of n points among themselves, shape (genes, n, n).

    Attributes:
        covariance: what `Kernel.covariance` says of them, to the last bit.
    """

    def __init__(self, kernel: Kernel, apart: Array) -> None:
        self._kernel, self._apart = kernel, apart
        self._joint = matern_with_slope(kernel.joint(apart))
        self._singles = []
        self.covariance: Array = self._joint[0] * (kernel.amplitude * (1.0 - kernel.share))
        for gap, scale in zip(apart, kernel.single_factors(), strict=True):
            squared = gap * scale
            alone, slope = matern_with_slope(squared)
            self._singles.append((squared, alone, slope))
            self.covariance += alone * (kernel.amplitude * kernel.share / len(apart))

    def gradient(self, weights: Array) -> Array:
        """Derivatives of ``(weights * covariance).sum()`` by `Kernel.of`'s theta, the noise's 0.

        ``weights`` are of shape (n, n).
        """
        kernel, apart = self._kernel, self._apart
        found = np.empty(len(apart) + THETA_REST)
        joint, slope = self._joint
        both = float(np.vdot(weights, joint))
        part = np.tensordot(apart, weights * slope, axes=([1, 2], [0, 1])) / kernel.lengths**2
        found[:-THETA_REST] = (1.0 - kernel.share) * part
        singles = 0.0
        for gene, (squared, alone, slope) in enumerate(self._singles):
            singles += float(np.vdot(weights, alone)) / len(apart)
            pull = float(np.vdot(weights * slope, squared))
            found[gene] += kernel.share / len(apart) * pull
        found *= kernel.amplitude
        odds = kernel.amplitude * kernel.share * (1.0 - kernel.share)
        mixed = (1.0 - kernel.share) * both + kernel.share * singles
        found[-THETA_REST:] = odds * (singles - both), kernel.amplitude * mixed, 0.0
        return found


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
        """`gaps` of ``points`` (m, genes) to these, shape (genes, m, n)."""
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

    def settled(self) -> Array:
        """The same where ``doubt`` alone is error and the kernel's noise belongs to the truth.

        What the genes do not explain but every repeat would show again is part of the true
        value: of the sum of a smooth function and of such a rest, each with its variance.
        """
        means: Array = self.data.values - self.data.doubt * self._weights
        return means

    def left_out(self) -> Array:
        """Variance of the true value at each of the data's points by all others, shape (n,).

        What the leave-one-out variance (Rasmussen and Williams 2006, equation 5.12) is beyond the
        noise.
        """
        half = solve_triangular(
            self._factor, np.eye(len(self._factor)), lower=True, check_finite=False
        )
        found: Array = 1.0 / np.einsum("ij,ij->j", half, half) - self._unsure
        return np.maximum(found, 0.0)

    def uncertainty(self, of: Sequence[int]) -> Array:
        """Covariances, shape (k, k), of the values that `settled` expects, at k of the points."""
        picked = np.zeros((len(self._factor), len(of)))
        picked[list(of), np.arange(len(of))] = doubt = self.data.doubt[list(of)]
        half = solve_triangular(self._factor, picked, lower=True, check_finite=False)
        found: Array = np.diag(doubt) - half.T @ half
        return found

    def predict(self, points: Array, apart: Array | None = None) -> tuple[Array, Array]:
        """Mean and standard deviation, each (m,), of the true value at ``points`` (m, genes).

        ``apart`` is what `Data.gaps` says of them, where the caller has it.
        """
        across = self.kernel.covariance(self.data.gaps(points) if apart is None else apart)
        solved = solve_triangular(self._factor, across.T, lower=True, check_finite=False)
        variance = self.kernel.amplitude - np.einsum("ij,ij->j", solved, solved)
        return across @ self._weights, np.sqrt(np.maximum(variance, 1e-10))

    def predict_beside(
        self, points: Array, others: Array, which: NDArray[np.int64], apart: Array | None = None
    ) -> tuple[Array, Array]:
        """What `predict` says where each point's own companion had come to what is expected of it.

        What `believing` makes of all companions this makes of one for each point, and of no other:
        its cost grows with the points and not with the cube of the companions.

        Args:
            points: genes, shape (m, genes).
            others: the companions, shape (k, genes).
            which: the companion of each point, by its place in ``others``, shape (m,).
            apart: as in `predict`.
        """
        across = self.kernel.covariance(self.data.gaps(points) if apart is None else apart)
        solved = solve_triangular(self._factor, across.T, lower=True, check_finite=False)
        used, which = np.unique(which, return_inverse=True)
        there = self.kernel.covariance(self.data.gaps(others[used]))
        known = solve_triangular(self._factor, there.T, lower=True, check_finite=False)
        unsure = self.kernel.amplitude + self.kernel.noise + JITTER
        unsure = unsure - np.einsum("ij,ij->j", known, known)
        pairs = (points - others[used][which]) ** 2
        pairs[:, self.data.choice] = pairs[:, self.data.choice] > 0.0
        joint = self.kernel.covariance(pairs.T[:, None, :])[0]
        joint -= np.einsum("ij,ij->j", solved, known[:, which])
        variance = self.kernel.amplitude - np.einsum("ij,ij->j", solved, solved)
        variance -= joint**2 / unsure[which]
        return across @ self._weights, np.sqrt(np.maximum(variance, 1e-10))

    def believing(self, points: Array, doubt: float = 0.0) -> GaussianProcess:
        """The process if each of ``points`` had come to what is expected of it.

        ``doubt`` is the variance of each beyond the kernel's noise.

        The kriging believer of Ginsbourger et al., "Kriging Is Well-Suited to Parallelize
        Optimization" (2010): the mean stays, and near these points little is left to learn.
        """
        if not len(points):
            return self
        mean, _ = self.predict(points)
        data = self.data.lengthened(points, mean, np.full(len(points), doubt))
        return GaussianProcess(data, self.kernel)
