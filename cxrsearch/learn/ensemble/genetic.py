"""Weights found by the genetic algorithm: the operators of the search, on weights as genes."""

from __future__ import annotations

import random

import numpy as np
from optuna.distributions import FloatDistribution

from search.genetic.operators import Credit, Genome, Layout, Operators

from .quick import quick_auroc
from .scale import Array

WEIGHT_POPULATION = 20
"""Parents, and children of each generation."""

WEIGHT_GENERATIONS = 30

CROSSOVER = 0.8
"""Of the children have two parents."""

GENES = 3.0
"""Weights that a mutation changes, on average."""

SILENT = 0.05
"""A gene below this is a weight of 0, so that members can be left out."""


def genetic_weights(x: Array, truth: Array, seed: int) -> Array:
    """One set of weights that sum to 1, for the mean AUROC.

    (mu + lambda) with tournament, uniform and blend crossover and Gaussian mutation of
    `search.genetic.operators`, from equal weights, the best member alone, and random ones.

    Args:
        x: (d, k, n) float32 scores of the members.
        truth: (n, d), as in `Problem.truth`; every column with both classes.
        seed: of all draws.

    Returns:
        (k,).
    """
    k = x.shape[1]
    rng = random.Random(seed)
    layout = Layout({f"w{i}": FloatDistribution(0.0, 1.0) for i in range(k)})
    operators = Operators(layout, rng, tournament=3)
    singles = [float(v) for v in _values(np.eye(k), x, truth)]
    starts = [[1.0] * k, [1.0 if i == int(np.argmax(singles)) else 0.0 for i in range(k)]]
    while len(starts) < WEIGHT_POPULATION:
        starts.append([rng.random() for _ in range(k)])
    population = _born(starts, layout, x, truth)
    for generation in range(WEIGHT_GENERATIONS):
        strength = 0.3 * (1 - generation / WEIGHT_GENERATIONS) + 0.03
        children = [_child(operators, population, strength) for _ in range(WEIGHT_POPULATION)]
        everyone = [*population, *_born(children, layout, x, truth)]
        everyone.sort(key=lambda one: one.fitness.values, reverse=True)
        population = everyone[:WEIGHT_POPULATION]
    return np.asarray(_shares(np.array([population[0].numbers]))[0])


def _child(operators: Operators, population: list[Genome], strength: float) -> list[float]:
    crossed = operators.rng.random() < CROSSOVER
    parents = operators.parents(population, 2 if crossed else 1)
    numbers, classes = operators.mate(*parents) if crossed else parents[0].copy()
    probability = min(1.0, GENES / len(numbers))
    return operators.mutate(numbers, classes, probability, strength)[0]


def _born(genes: list[list[float]], layout: Layout, x: Array, truth: Array) -> list[Genome]:
    values = _values(_shares(np.array(genes)), x, truth)
    born = []
    for numbers, value in zip(genes, values, strict=True):
        credit = Credit()
        credit.values = (0.0, float(value))
        born.append(Genome(list(numbers), [], frozenset(layout.numeric), credit))
    return born


def _shares(genes: Array) -> Array:
    """(c, k) genes in [0, 1] as weights that sum to 1."""
    weights = np.where(genes < SILENT, 0.0, genes)
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(
        np.where(total > 0, weights / np.where(total > 0, total, 1), 1 / len(genes[0]))
    )


def _values(weights: Array, x: Array, truth: Array) -> Array:
    """Mean AUROC of each of (c, k) weights."""
    small = weights.astype(np.float32)
    parts = [quick_auroc(small @ column, truth[:, i]) for i, column in enumerate(x)]
    return np.asarray(np.mean(parts, axis=0))
