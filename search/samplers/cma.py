"""CMA-ES as a sampler that is replayed from the history."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from cmaes import CMAwM
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.genetic.design import design, row_of
from search.seeds import derive
from search.space.unit import from_unit, levels, to_unit
from search.trials.summary import fit, merit

CMA = "cma"
"""User attribute: the run, the generation and the point in the unit cube a trial stands for."""

_Solutions = dict[tuple[int, int], list[tuple[tuple[float, float], list[float]]]]


class CmaSampler(BaseSampler):
    """CMA-ES with margin over the numeric genes in the unit cube.

    Optuna's own sampler keeps the optimiser as a pickle in the study, and loads it; a study
    that came from elsewhere could then run code. Here the optimiser is rebuilt for every
    ask: each generation is told the first solutions of it that finished, by rank, so that
    pruned trials count by how far they came and the values' scale doesn't matter.

    The first trials are a Latin hypercube; the best of them, or of the known-good points,
    is where the distribution starts. A run that has converged is followed by another from a
    random start. All numeric genes take part, also those a condition switches off in a
    trial: there they drift freely. Choices, which have no order, are left to ``others``.
    (Hamano et al., "CMA-ES with Margin", GECCO 2022; Hansen, "The CMA Evolution Strategy: A
    Tutorial", 2016.)

    Args:
        seed: the study's.
        space: every gene.
        others: samples the choices, and genes that are not in ``space``.
        population_size: trials a generation; ``None`` for 4 + 3 ln(numeric genes).
        sigma: the initial standard deviation in the unit cube.
        length: the parameter that holds a trial's number of steps; see
            `search.trials.halving.credit`.
    """

    def __init__(
        self,
        seed: int,
        space: Mapping[str, BaseDistribution],
        others: BaseSampler,
        population_size: int | None = None,
        sigma: float = 0.2,
        length: str | None = None,
    ) -> None:
        if population_size is not None and population_size < 4:
            raise ValueError(f"population_size must be at least 4, got {population_size}")
        if not 0.0 < sigma <= 1.0:
            raise ValueError(f"sigma must be in (0, 1], got {sigma}")
        self.seed = seed
        self._others = others
        varied = {n: space[n] for n in sorted(space) if not space[n].single()}
        self._space = {
            n: d for n, d in varied.items() if not isinstance(d, CategoricalDistribution)
        }
        size = 4 + math.floor(3 * math.log(len(self._space) or 1))
        self.population_size = population_size or size
        self._sigma = sigma
        self._length = length

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every numeric gene."""
        return dict(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The numeric genes of this trial. Writes the attribute ``cma`` with it."""
        everyone = study.get_trials(deepcopy=False)
        row = row_of(everyone, trial.number, self.population_size, self._space)
        if not self._space or row < self.population_size:
            return design(self.seed, row, self.population_size, self._space)
        trials = [t for t in everyone if t.number != trial.number]
        optimizer, run = self._replay(trials, study)
        optimizer.reseed_rng(derive(self.seed, "cma", trial.number))
        point, told = optimizer.ask()
        record = {"run": run, "generation": optimizer.generation, "x": [float(x) for x in told]}
        study._storage.set_trial_user_attr(trial._trial_id, CMA, record)
        pairs = zip(self._space.items(), point, strict=True)
        return {name: from_unit(dist, float(unit)) for (name, dist), unit in pairs}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A choice, or a gene that is not in the space."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)

    def _replay(self, trials: Sequence[FrozenTrial], study: Study) -> tuple[CMAwM, int]:
        """The optimiser after everything the trials tell, and how many runs came before it."""
        solutions = self._solutions(trials, study)
        optimizer, run = self._start(self._first_mean(trials, study)), 0
        while True:
            told = solutions.get((run, optimizer.generation), [])[: self.population_size]
            if len(told) < self.population_size:
                return optimizer, run
            ranked = [
                (np.array(x), float(sum(other > worth for other, _ in told))) for worth, x in told
            ]
            optimizer.tell(ranked)
            if optimizer.should_stop():
                run += 1
                rng = Random(derive(self.seed, "mean", run))
                optimizer = self._start([rng.random() for _ in self._space])

    def _start(self, mean: Iterable[float]) -> CMAwM:
        counts = [levels(dist) for dist in self._space.values()]
        # A log int's levels are not evenly spaced, so it is left to rounding.
        logs = [getattr(dist, "log", False) for dist in self._space.values()]
        steps = np.array(
            [0.0 if c is None or log else 1.0 / c for c, log in zip(counts, logs, strict=True)]
        )
        bounds = np.stack([steps / 2, 1.0 - steps / 2], axis=1)
        start = np.clip(np.array(list(mean)), bounds[:, 0], bounds[:, 1])
        return CMAwM(start, self._sigma, bounds, steps, population_size=self.population_size)

    def _solutions(self, trials: Sequence[FrozenTrial], study: Study) -> _Solutions:
        """Worth and point of finished trials by (run, generation), in the order they finished."""
        found: _Solutions = {}
        finished = [t for t in trials if t.state.is_finished() and CMA in t.user_attrs]
        finished.sort(
            key=lambda t: (t.datetime_complete is not None, t.datetime_complete, t.number)
        )
        for trial in finished:
            record, worth = trial.user_attrs[CMA], merit(trial, study.direction, self._length)
            if worth is not None and len(record["x"]) == len(self._space):
                key = (record["run"], record["generation"])
                found.setdefault(key, []).append((worth, record["x"]))
        return found

    def _first_mean(self, trials: Sequence[FrozenTrial], study: Study) -> list[float]:
        """The best of the trials before the first that the optimiser itself asked for."""
        best, mean = None, [0.5] * len(self._space)
        for trial in sorted(trials, key=lambda t: t.number):
            if CMA in trial.user_attrs:
                break
            finished = trial.state.is_finished()
            worth = merit(trial, study.direction, self._length) if finished else None
            if worth is not None and (best is None or worth > best):
                best = worth
                mean = [
                    to_unit(dist, fit(dist, trial.params[name])) if name in trial.params else 0.5
                    for name, dist in self._space.items()
                ]
        return mean
