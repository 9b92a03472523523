"""Forward selection with replacement (Caruana, Niculescu-Mizil, Crew, Ksikes: Ensemble
selection from libraries of models, ICML 2004).

The ensemble starts empty; each step adds the member, again if need be, that raises the AUROC
of the mean the most. How often a member was taken is its weight. Repeated on random halves of
the library and averaged (their bagged selection), it overfits less.
"""

from __future__ import annotations

import numpy as np

from .quick import quick_auroc
from .scale import Array

BAGS = 8
"""Random subsets of the library that the selection is repeated on."""

LIBRARY_SHARE = 0.5
"""Of the library in each."""

MOST_TAKEN = 20
"""Members taken at most, counted with repetition."""

STEPS_WITHOUT_GAIN = 4
"""The selection ends after so many steps without a gain."""


def greedy_weights(x: Array, truth: Array, seed: int, each: bool = False) -> Array:
    """Weights that sum to 1 for each label.

    Args:
        x: (d, k, n) float32 scores of the members.
        truth: (n, d), as in `Problem.truth`; every column with both classes.
        seed: of the bags.
        each: weights of each label's own; otherwise one set for the mean AUROC.

    Returns:
        (k, d).
    """
    d, k, _ = x.shape
    rng = np.random.default_rng(seed)
    total = np.zeros((k, d))
    bags = BAGS if k > 2 else 1
    for _ in range(bags):
        size = max(2, round(LIBRARY_SHARE * k)) if bags > 1 else k
        bag = np.sort(rng.choice(k, size, replace=False))
        if each:
            for column in range(d):
                one = slice(column, column + 1)
                total[bag, column] += _select(x[one][:, bag], truth[:, one])
        else:
            total[bag] += _select(x[:, bag], truth)[:, None]
    return np.asarray(total / bags)


def _select(x: Array, truth: Array) -> Array:
    """How often each of (d, k, n) ``x`` is taken, as shares (k,), at the best step."""
    d, k, n = x.shape
    running = np.zeros((d, n), np.float32)
    counts, best, best_value, waited = np.zeros(k), np.zeros(k), -1.0, 0
    for _ in range(MOST_TAKEN):
        values = np.zeros(k)
        for column in range(d):
            values += quick_auroc(running[column] + x[column], truth[:, column])
        taken = int(values.argmax())
        counts[taken] += 1
        running += x[:, taken]
        if values[taken] > best_value + 1e-7:
            best, best_value, waited = counts.copy(), float(values[taken]), 0
            continue
        waited += 1
        if waited >= STEPS_WITHOUT_GAIN:
            break
    return np.asarray(best / best.sum())
