"""How alike two sets of genes are expected to perform: the covariance of the surrogate.

A Matérn 5/2 kernel (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006,
equation 4.17) of all genes together, with a length for each, and beside it the mean of one
such kernel for each gene alone (Duvenaud et al., "Additive Gaussian Processes", 2011). What
the share of the second is, the trials say: where each gene has an effect of its own, a few
trials teach much about combinations far from all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROOT5 = math.sqrt(5.0)
OTHERS = 3
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


def matern_slope(squared: Array) -> Array:
    """The derivative of `matern` by the logarithm of a gene's length, over the gene's part of
    the squared distance.
    """
    distance = ROOT5 * np.sqrt(squared)
    found: Array = 5.0 / 3.0 * (1.0 + distance) * np.exp(-distance)
    return found


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
        logit, amplitude, noise = (float(v) for v in theta[-OTHERS:])
        share = 1.0 / (1.0 + math.exp(-logit))
        return cls(np.exp(theta[:-OTHERS]), share, math.exp(amplitude), math.exp(noise))

    def covariance(self, apart: Array) -> Array:
        """Covariances without noise, shape (n, m), of points with these `gaps`."""
        joint = matern(self._joint(apart))
        joint *= self.amplitude * (1.0 - self.share)
        # Gene by gene: what stays in the processor's cache takes half the time.
        for gap, scale in zip(apart, self._single(), strict=True):
            alone = matern(gap * scale)
            alone *= self.amplitude * self.share / len(apart)
            joint += alone
        return joint

    def gradient(self, apart: Array, weights: Array) -> Array:
        """Derivatives of ``(weights * covariance).sum()`` by `of`'s theta, the noise's 0.

        Args:
            apart: `gaps` of n points among themselves, shape (genes, n, n).
            weights: shape (n, n).
        """
        joint = self._joint(apart)
        found = np.empty(len(apart) + OTHERS)
        both = float(np.vdot(weights, matern(joint)))
        slope = weights * matern_slope(joint)
        part = np.tensordot(apart, slope, axes=([1, 2], [0, 1])) / self.lengths**2
        found[:-OTHERS] = (1.0 - self.share) * part
        singles = 0.0
        for gene, (gap, scale) in enumerate(zip(apart, self._single(), strict=True)):
            squared = gap * scale
            singles += float(np.vdot(weights, matern(squared))) / len(apart)
            slope = weights * matern_slope(squared)
            found[gene] += self.share / len(apart) * float(np.vdot(slope, squared))
        found *= self.amplitude
        odds = self.amplitude * self.share * (1.0 - self.share)
        mixed = (1.0 - self.share) * both + self.share * singles
        found[-OTHERS:] = odds * (singles - both), self.amplitude * mixed, 0.0
        return found

    def _joint(self, apart: Array) -> Array:
        joint: Array = np.tensordot(self.lengths**-2, apart, 1)
        return joint

    def _single(self) -> Array:
        """Factors of the squared distances of single genes.

        A distance over all genes is longer than one along a gene by about the square root
        of their number; the lengths shrink by it.
        """
        factors: Array = len(self.lengths) / self.lengths**2
        return factors
