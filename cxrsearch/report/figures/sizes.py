"""Sizes of deviations that are never negative, and so are too high by chance, put right."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

_STEPS, _MOST = 22, 1e4
_DRAWS = 512


@dataclass(frozen=True, eq=False)
class DeviationSize:
    """How far the rates of bins are from what they ought to be, by what is seen of them.

    The size is the weighted sum of the deviations' absolute values, to ``power``. True deviations
    are taken to be a multiple of the seen ones (these drawn to nothing by one image a bin); what
    would be seen is such rates with the noise of so many images upon them, normal but for its
    skewness (Cornish & Fisher, 1938), at weights with the noise of multinomial shares: bins that
    hold as many images each in a sample do not among all patients. The multiple is looked for at
    which a share of what would be seen is at or below what was: at a half, a size that is too high
    as often as too low; at the normal distribution's tails, the ends of an interval by inverted
    tests.

    Args:
        rates: (b,) of positives in each bin, as seen.
        base: (b,) what they ought to be; None: the mean of all.
        weights: (b,) which add up to 1.
        worth: (b,) independent images that each bin's rate is worth.
        drawn: independent images that the weights are worth.
        power: 1 or 2.
    """

    rates: Floats
    base: Floats | None
    weights: Floats
    worth: Floats
    drawn: float
    power: int

    @cached_property
    def _noise(self) -> tuple[Floats, Floats]:
        """(draws, b) standard normal, the same for all multiples, and their skew part."""
        half = np.random.default_rng(0).normal(size=(_DRAWS // 2, len(self.rates)))
        both = np.concatenate([half, -half])  # each with its mirror image
        return both, both**2 - 1

    @cached_property
    def _weights(self) -> Floats:
        """(draws, b) weights with their noise, independent of that of the rates."""
        half = np.random.default_rng(1).normal(size=(_DRAWS // 2, len(self.rates)))
        free = np.concatenate([half, -half]) * np.sqrt(self.weights / self.drawn)
        noisy = self.weights + free - self.weights * free.sum(axis=1, keepdims=True)
        noisy = np.maximum(noisy, 0)
        found: Floats = noisy / noisy.sum(axis=1, keepdims=True)
        return found

    @property
    def _base(self) -> Floats:
        mean = np.full(len(self.rates), float(self.weights @ self.rates))
        return mean if self.base is None else self.base

    def _size(self, rates: Floats, weights: Floats) -> Floats:
        """(...,) sizes of (..., b) rates at (..., b) weights."""
        mean = (rates * weights).sum(axis=-1, keepdims=True)
        base = mean if self.base is None else self.base
        found: Floats = (np.abs(rates - base) ** self.power * weights).sum(axis=-1)
        return found

    def _true(self, multiple: float) -> Floats:
        drawn = self.worth / (self.worth + 1)
        base = self._base
        return np.clip(base + multiple * drawn * (self.rates - base), 0, 1)

    def _reached(self, multiple: float, share: float) -> bool:
        """Whether so much or less than was seen is seen more often than the share."""
        true = self._true(multiple)
        spread = np.sqrt(true * (1 - true) / self.worth)
        bent = (1 - 2 * true) / (6 * self.worth)
        even, skew = self._noise
        noisy = true + spread * even + bent * skew
        seen = self._size(self.rates, self.weights)
        return float((self._size(noisy, self._weights) <= seen).mean()) > share

    def at(self, z: float) -> float:
        """The size at which what was seen is at ``z`` of what would be; a lower end is at 1.96.

        0 where even without any deviation more would be seen.
        """
        share = float(ndtr(z))
        if not self._reached(0.0, share):
            return 0.0
        low, high = 0.0, 1.0
        while high < _MOST and self._reached(high, share):
            low, high = high, high * 2
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._reached(middle, share) else (low, middle)
        return float(self._size(self._true(low), self.weights))
