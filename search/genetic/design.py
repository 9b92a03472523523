"""The trials before a sampler has learnt anything: rows of a Latin hypercube.

Trials whose genes were given, known-good points, come before them or in between. They stand for
rows of the design only where they lie apart from each other, as its rows do: five near-copies of
one recipe say as little about the space as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from search.prior import PRIOR
from search.seeds import derive
from search.space.gene_prior import GenePrior
from search.space.unit import from_unit
from search.trials.summary import params_of

from .lineage import place

APART = 1 / 3
"""Given trials that differ in no more than this share of their genes count as one row.

Rows differ in all; two recipes drawn at random seldom in so few.
"""


def design(
    seed: int,
    number: int,
    size: int,
    space: Mapping[str, BaseDistribution],
    priors: Mapping[str, GenePrior] | None = None,
) -> dict[str, Any]:
    """Row ``number`` of a Latin hypercube: each ``size`` rows in turn fill each gene evenly.

    A gene's value follows from ``(seed, number, name)`` alone, so genes that turn up late,
    or only under a condition, need not be known beforehand (McKay et al., 1979). Every second row
    has genes of ``priors`` as these say: row 0 their centres, the others draws of them.
    """
    block, row = divmod(number, size)
    values = {}
    for name, dist in space.items():
        rng = Random(derive(seed, "design", name, block))
        order = rng.sample(range(size), size)
        jitter = [rng.random() for _ in range(size)]
        unit = (order[row] + jitter[row]) / size
        if priors and name in priors and row % 2 == 0:
            unit = priors[name].quantile(unit) if number else priors[name].at
        values[name] = from_unit(dist, unit)
    return values


def row_of(
    trials: Iterable[FrozenTrial], number: int, size: int, space: Mapping[str, BaseDistribution]
) -> int:
    """The row of the design that trial ``number`` is.

    That is its number, less the given trials before it that count for none. Whoever comes after
    the first ``size`` rows changes nothing any more. Points of earlier studies
    (`search.prior.PRIOR`) always count: they are spread by choice, and good.

    Args:
        trials: all of the study's, by number.
        number: the trial that asks.
        size: rows of the design.
        space: every gene.
    """
    given: list[dict[str, float]] = []
    rows = skipped = 0
    for trial in trials:
        if trial.number >= number or rows == size:
            break
        if trial.system_attrs.get("fixed_params") and PRIOR not in trial.user_attrs:
            here = place(params_of(trial), space)
            if any(_alike(here, other, space, size) for other in given):
                skipped += 1
                continue
            given.append(here)
        rows += 1
    return number - skipped


def _alike(
    one: Mapping[str, float],
    two: Mapping[str, float],
    space: Mapping[str, BaseDistribution],
    size: int,
) -> bool:
    """Whether two places differ in few genes: a choice, or a number by more than a row's width."""
    names = one.keys() | two.keys()
    same = 0
    for name in one.keys() & two.keys():
        choice = isinstance(space[name], CategoricalDistribution)
        near = one[name] == two[name] if choice else abs(one[name] - two[name]) <= 1 / size
        same += near
    return len(names) - same <= APART * len(names)
