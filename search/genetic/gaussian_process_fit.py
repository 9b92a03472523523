"""Which covariances the trials leave plausible.

One most probable set of lengths is too sure of itself: of ten or fifty trials many different
sets tell the same, and a search that trusts one of them settles in the wrong place. So the
surrogate is a mixture of several, drawn from the normal approximation of the posterior at its
mode (Laplace's; Rasmussen and Williams 2006, section 3.4 has the method) and weighted by how
plausible each is in truth. Expected improvement is averaged over them, as over the samples of
Snoek et al., "Practical Bayesian Optimization of Machine Learning Algorithms" (2012).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from scipy.stats import qmc

from search.seeds import SOBOL

from .gaussian_process import JITTER, THETA_REST, Array, Data, Kernel

LENGTH_MEDIAN = 0.4
"""Median of the prior of a gene's length, in unit intervals, for one gene."""
LENGTH_SPREAD = 1.0
"""Standard deviation of the prior of its logarithm."""
SHARE_MEDIAN = 0.5
"""Median of the prior of the single genes' share."""
SHARE_SPREAD = 1.5
"""Standard deviation of the prior of its logit."""
NOISE = 0.01
"""Median of the prior of the noise variance; values are scaled to a variance of 1."""
NOISE_SPREAD = 1.5
FIT_STEPS = 30
"""Steps of the optimiser."""
MIXTURE_MEMBERS = 8
"""Covariances in the mixture; a power of 2, as its points are Sobol's."""
HEAVIEST = 3.0
"""Most that a member weighs, in units of the mean weight (truncated importance sampling)."""
LIGHTEST = 0.01
"""Members that weigh less are left out: they cost as much as the others."""
FLATTEST = 0.3
"""Least curvature of the posterior that is believed, so that no member is drawn far outside."""
NUDGE = 1e-3
"""Step of the differences that the curvature is taken from."""

Cost = Callable[[Array], tuple[float, Array]]


@dataclass(frozen=True)
class ThetaPrior:
    """Means and spreads of the entries of `Kernel.of`'s theta, all normal.

    The priors of the lengths grow with the square root of the number of genes, as distances
    do (Hvarfner et al., "Vanilla Bayesian Optimization Performs Great in High Dimensions",
    2024).
    """

    mean: Array
    spread: Array

    @classmethod
    def of(cls, genes: int) -> ThetaPrior:
        """The prior for a space of ``genes`` genes."""
        length = math.log(LENGTH_MEDIAN * math.sqrt(genes))
        return cls(
            np.array(
                [length] * genes
                + [math.log(SHARE_MEDIAN / (1.0 - SHARE_MEDIAN)), 0.0, math.log(NOISE)]
            ),
            np.array([LENGTH_SPREAD] * genes + [SHARE_SPREAD, 1.0, NOISE_SPREAD]),
        )

    def bounds(self) -> Array:
        """Where the optimiser may go, shape (genes + 3, 2)."""
        lengths = [(math.log(0.02), math.log(50.0))] * (len(self.mean) - THETA_REST)
        return np.array([*lengths, (-4.0, 4.0), (-4.0, 4.0), (math.log(1e-6), 0.0)])


@dataclass(frozen=True)
class Belief:
    """Covariances and how plausible they are.

    Args:
        thetas: their parameters as `Kernel.of` takes them, at least one, shape (kernels, theta).
        weights: theirs, shape (kernels,), sum 1.
    """

    thetas: Array
    weights: Array

    @cached_property
    def kernels(self) -> tuple[Kernel, ...]:
        """The covariances themselves."""
        return tuple(Kernel.of(theta) for theta in self.thetas)


def fitted(data: Data) -> Belief:
    """The covariances that ``data`` leaves plausible.

    Kept for the latest calls: every ask between two refits wants the same.
    """
    parts = (data.points, data.values, data.doubt, data.choice)
    return _fitted(data.points.shape, *(np.ascontiguousarray(part).tobytes() for part in parts))


@lru_cache(maxsize=64)
def _fitted(shape: tuple[int, int], *parts: bytes) -> Belief:
    points, values, doubt = (np.frombuffer(part) for part in parts[:3])
    data = Data(points.reshape(shape), values, doubt, np.frombuffer(parts[3], dtype=np.bool_))
    prior = ThetaPrior.of(shape[1])
    apart = data.own_gaps

    def cost(theta: Array) -> tuple[float, Array]:
        return _cost(theta, apart, data, prior)

    found = minimize(
        cost,
        prior.mean,
        jac=True,
        method="L-BFGS-B",
        bounds=prior.bounds(),
        options={"maxiter": FIT_STEPS},
    )
    # Fewer digits than the optimiser's: what differs between machines is rounded away.
    return _around(np.round(found.x, 6), cost, prior)


def _around(mode: Array, cost: Cost, prior: ThetaPrior) -> Belief:
    """Members drawn from the normal approximation at ``mode``, the mode first."""
    drawn = _normal(len(mode))
    low, high = prior.bounds().T
    thetas = np.round(np.clip(mode + drawn @ _root(mode, cost), low, high), 6)
    # Of the plausibility and the density they were drawn with, both as logarithms.
    odds = np.array([-cost(theta)[0] for theta in thetas]) + 0.5 * (drawn**2).sum(axis=1)
    weights = np.exp(odds - odds.max())
    for _ in range(3):  # cutting raises the share of the rest, so again
        weights /= weights.sum()
        weights = np.minimum(weights, HEAVIEST / MIXTURE_MEMBERS)
    weights /= weights.sum()
    kept = weights >= LIGHTEST
    return Belief(thetas[kept], weights[kept] / weights[kept].sum())


@cache
def _normal(size: int) -> Array:
    """Quasi-random points of a standard normal distribution, shape (members, size), 0 first."""
    with SOBOL:
        drawn: Array = qmc.MultivariateNormalQMC(np.zeros(size), seed=1).random(MIXTURE_MEMBERS)
    drawn[0] = 0.0
    return drawn


def _root(mode: Array, cost: Cost) -> Array:
    """Symmetric root of the posterior's covariance at ``mode``."""
    steps = NUDGE * np.eye(len(mode))
    rows = [(cost(mode + step)[1] - cost(mode - step)[1]) / (2 * NUDGE) for step in steps]
    curvature = np.array(rows)
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    root: Array = (vectors / np.sqrt(np.maximum(values, FLATTEST))) @ vectors.T
    return root


def _cost(theta: Array, apart: Array, data: Data, prior: ThetaPrior) -> tuple[float, Array]:
    """Negative log posterior (Rasmussen and Williams 2006, equation 5.8) and its gradient."""
    kernel, n = Kernel.of(theta), len(data.values)
    sloped = kernel.sloped(apart)
    covariance = sloped.covariance
    covariance[np.diag_indices(n)] += kernel.noise + data.doubt + JITTER
    try:
        factor = cholesky(covariance, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(theta)
    weights = cho_solve((factor, True), data.values, check_finite=False)
    half, _ = dpotri(factor, lower=1)
    rest = np.tril(half) + np.tril(half, -1).T - np.outer(weights, weights)
    gradient = 0.5 * sloped.gradient(rest)
    gradient[-1] = 0.5 * kernel.noise * float(np.trace(rest))
    away = (theta - prior.mean) / prior.spread
    value = 0.5 * float(data.values @ weights) + float(np.log(np.diag(factor)).sum())
    return value + 0.5 * float(away @ away), gradient + away / prior.spread
