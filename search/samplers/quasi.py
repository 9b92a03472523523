"""Samplers that learn nothing: random and quasi-random search, as functions of the number."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.seeds import SOBOL, derive
from search.space.unit import from_unit


class RandomSampler(BaseSampler):
    """Every gene drawn uniformly on its own scale.

    A gene's value follows from ``(seed, number, name)`` alone. Optuna's own sampler draws
    its genes one after another from one stream, so an ask that was interrupted half-way and
    is made again would get other values.

    Args:
        seed: where every draw comes from.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Nothing: each gene is drawn when it is asked for."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing, as above."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The value of one gene."""
        draw = Random(derive(self.seed, "random", trial.number, param_name)).random()
        return from_unit(param_distribution, draw)


class QuasiRandomSampler(RandomSampler):
    """A scrambled Sobol sequence over all genes; trial ``n`` is its ``n``-th point.

    Optuna's own sampler counts its asks in the study, so an ask that is made again moves
    on to the next point; it also takes its genes from the first trial, which loses the
    conditional ones. Here every gene has its axis, whether a trial expresses it or not.
    (Owen, "Scrambling Sobol' and Niederreiter-Xing Points", 1998.)

    Args:
        seed: of the scrambling; the same for every ask of a study.
        space: every gene. Genes that are not in it are drawn at random.
    """

    def __init__(self, seed: int, space: Mapping[str, BaseDistribution]) -> None:
        super().__init__(seed)
        self._space = {n: space[n] for n in sorted(space) if not space[n].single()}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every gene."""
        return dict(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Point ``trial.number`` of the sequence."""
        if not self._space:
            return {}
        point = sobol_point(derive(self.seed, "sobol"), trial.number, len(self._space))
        return {
            name: from_unit(dist, unit)
            for (name, dist), unit in zip(self._space.items(), point, strict=True)
        }


def sobol_point(seed: int, index: int, dimensions: int) -> list[float]:
    """Point ``index`` of a scrambled Sobol sequence, ``dimensions`` numbers in [0, 1)."""
    from scipy.stats import qmc  # a slow import, and only this sampler needs it

    with SOBOL:
        engine = qmc.Sobol(dimensions, scramble=True, seed=np.random.default_rng(seed))
        if index:
            engine.fast_forward(index)
        return [float(u) for u in engine.random(1)[0]]
