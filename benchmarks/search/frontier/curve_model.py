"""What trials come to by their genes and their curves: one Gaussian process a rung.

Recursive co-kriging (Le Gratiet and Garnier, "Recursive co-kriging model for design of computer
experiments with multiple levels of fidelity", 2014; Kennedy and O'Hagan, "Predicting the output
from a complex computer code when fast approximations are available", Biometrika 2000). What is
gained from one rung to the next is a line in the value at the rung and in what was gained since
half-way to it, and a process over these and the genes. Who goes on from a rung is decided by what
is in its line, so that those who did are a fair sample for those who did not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.special import ndtr

from search.genetic.gaussian_process import JITTER, Array, Kernel, gaps

LENGTHS = (0.3, 0.7)
"""Lengths of all inputs that are tried, times the square root of their number."""
NOISES = (0.05, 0.3, 1.0, 4.0)
"""Noise variances that are tried, in those of the process."""
SHARE = 0.5
"""Of the kernels of single inputs."""
WITNESSES = 3
"""Trials that must have passed a rung before a line is drawn."""
GENES_FROM = 6
"""And before genes are looked at."""
FARTHEST = 3.0
"""Values count as at most so many standard deviations from the mean."""


def best_so_far(values: Array) -> Array:
    """The best value up to each epoch, shape as ``values`` (trials, epochs)."""
    found: Array = np.maximum.accumulate(values, axis=1)
    return found


class _Gain(NamedTuple):
    """What is gained from a rung to the next one; see `CurveModel`."""

    centre: Array
    scale: Array
    line: Array
    sd: float
    inputs: Array | None
    kernel: Kernel | None
    weights: Array | None

    def expected(self, genes: Array, state: Array) -> Array:
        """Shape (n,); never below 0, as the best value so far doesn't fall."""
        z = np.clip((state - self.centre) / self.scale, -FARTHEST, FARTHEST)
        found: Array = self.line[0] + z @ self.line[1:]
        if self.kernel is not None and self.inputs is not None and self.weights is not None:
            here = _inputs(genes, state, self.centre, self.scale)
            across = self.kernel.covariance(gaps(here, self.inputs, _numbers(here)))
            found = found + self.sd * (across @ self.weights)
        return np.maximum(found, 0.0)


class CurveModel:
    """Expected final values of trials that stand at any rung.

    Args:
        best: `best_so_far` of all trials, shape (trials, epochs). Beyond where a trial stands
            nothing is looked at.
        genes: in the unit interval, shape (trials, genes); ``None``: curves alone.
        levels: the rungs' epochs and, last, that of the end.
        reached: epochs each trial has made, shape (trials,).
    """

    def __init__(
        self, best: Array, genes: Array | None, levels: Sequence[int], reached: NDArray[np.int64]
    ) -> None:
        self._best, self._levels = best, list(levels)
        self._genes = np.zeros((len(best), 0)) if genes is None else genes
        self._gains = [
            self._fit(level, np.flatnonzero(reached >= after))
            for level, after in enumerate(self._levels[1:])
        ]

    def expected(self, rows: NDArray[np.int64], level: int) -> Array | None:
        """Expected final values of trials by what they were at a rung; shape (rows,).

        ``None`` where too few have gone on from it.
        """
        state = self._state(rows, level)
        for gain in self._gains[level:]:
            if gain is None:
                return None
            more = gain.expected(self._genes[rows], state)
            state = np.column_stack([state[:, 0] + more, more])
        return state[:, 0]

    def _state(self, rows: NDArray[np.int64], level: int) -> Array:
        """Value at a rung, and what of it was gained since half-way; shape (rows, 2)."""
        epoch = self._levels[level]
        value = self._best[rows, epoch - 1]
        return np.column_stack([value, value - self._best[rows, max(1, epoch // 2) - 1]])

    def _fit(self, level: int, rows: NDArray[np.int64]) -> _Gain | None:
        if len(rows) < WITNESSES:
            return None
        state = self._state(rows, level)
        gained = self._best[rows, self._levels[level + 1] - 1] - state[:, 0]
        centre, scale = state.mean(axis=0), state.std(axis=0) + 1e-6
        design = np.column_stack([np.ones(len(rows)), (state - centre) / scale])
        # A ridge of one trial's weight: the line stays flat until several say otherwise.
        ridge = np.diag([0.0, 1.0, 1.0])
        line = np.linalg.solve(design.T @ design + ridge, design.T @ gained)
        rest = gained - design @ line
        sd = max(math.sqrt(float(rest @ rest) / (len(rows) - 1)), 1e-5)
        if not self._genes.shape[1] or len(rows) < GENES_FROM:
            return _Gain(centre, scale, line, sd, None, None, None)
        inputs = _inputs(self._genes[rows], state, centre, scale)
        kernel, weights = _process(inputs, np.clip(rest / sd, -FARTHEST, FARTHEST))
        return _Gain(centre, scale, line, sd, inputs, kernel, weights)


def _inputs(genes: Array, state: Array, centre: Array, scale: Array) -> Array:
    """Genes, and where a trial stands among those at its rung, all between 0 and 1."""
    return np.column_stack([genes, ndtr((state - centre) / scale)])


def _numbers(inputs: Array) -> NDArray[np.bool_]:
    return np.zeros(inputs.shape[1], dtype=np.bool_)


def _process(inputs: Array, values: Array) -> tuple[Kernel, Array]:
    """The kernel under which ``values`` are most probable, and the weights of the inputs."""
    apart = gaps(inputs, inputs, _numbers(inputs))
    n, size = inputs.shape
    best: tuple[float, Kernel, Array] | None = None
    for length in LENGTHS:
        kernel = Kernel(np.full(size, length * math.sqrt(size)), SHARE, 1.0, 0.0)
        covariance = kernel.covariance(apart)
        for noise in NOISES:
            factor = cholesky(covariance + (noise + JITTER) * np.eye(n), lower=True)
            weights = cho_solve((factor, True), values)
            # The amplitude's own best value, with one made-up value of variance 1.
            amplitude = (float(values @ weights) + 1.0) / (n + 1)
            likely = -0.5 * n * math.log(amplitude) - float(np.log(np.diag(factor)).sum())
            likely -= 0.5 * float(values @ weights) / amplitude
            if best is None or likely > best[0]:
                best = likely, kernel, weights
    assert best is not None
    return best[1], best[2]
