"""Any contender as a sampler of the product's own study, with what it can take of a history.

Everybody's trials are those of the study, known-good points and stopped trials with them. What
a library cannot take as it is, it gets in the way in which its users would hand it over:

- Optuna's TPE takes stopped trials by its own rules, our samplers by estimates.
- Optuna's GP, CMA-ES and NSGA-II look at complete trials alone: to them a stopped trial has ended
  with the value known at its rung. A trial that goes on later has its new value from then on. So
  for OptunaHub's AutoSampler, which takes the GP where trials stop.
- A library that is only asked and told is told the value at the rung when a trial stops there, the
  worst value so far where a trial failed, whoever's fault it was, and nothing of what it hasn't
  asked for: known-good points cost it trials and count among its choices, that is all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler
from optuna.trial import FrozenTrial, TrialState

from benchmarks.search.contender import Contender
from benchmarks.search.contenders import OptunaContender
from benchmarks.search.problem import Problem
from search.samplers import SAMPLERS, SamplerEntry

CONTENDER = "contender"
"""The name under which a study knows its sampler."""
COMPLETE_ONLY = (GPSampler, CmaEsSampler, NSGAIISampler)
"""Samplers that do not look at stopped trials."""


@contextmanager
def offered(sampler: BaseSampler) -> Iterator[str]:
    """``sampler`` among `search.samplers.SAMPLERS`, the same one at every ask.

    Yields:
        the name for a study's configuration.
    """
    SAMPLERS[CONTENDER] = SamplerEntry(lambda *given: sampler, "a contender")
    try:
        yield CONTENDER
    finally:
        del SAMPLERS[CONTENDER]


def learner(contender: Contender, problem: Problem) -> BaseSampler:
    """``contender`` as a sampler."""
    if not isinstance(contender, OptunaContender):
        return AskTellSampler(contender, problem)
    sampler = contender.sampler
    blind = contender.blind or isinstance(sampler, COMPLETE_ONLY)
    return CompleteSampler(sampler) if blind else sampler


class CompleteSampler(BaseSampler):
    """A sampler that is shown stopped trials as complete ones."""

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """What it does first, as AutoSampler, which then chooses who samples."""
        self._sampler.before_trial(_with_stopped(study), trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The genes that are sampled together."""
        return self._sampler.infer_relative_search_space(_with_stopped(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """These genes."""
        return self._sampler.sample_relative(_with_stopped(study), trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A gene that is sampled alone."""
        seen = _with_stopped(study)
        return self._sampler.sample_independent(seen, trial, param_name, param_distribution)


def _with_stopped(study: optuna.Study) -> optuna.Study:
    view = copy.copy(study)

    def trials(
        deepcopy: bool = True, states: Any = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        found = map(_as_complete, study._get_trials(deepcopy, None, use_cache))
        return [trial for trial in found if states is None or trial.state in states]

    view._get_trials = trials  # type: ignore[method-assign]
    return view


def _as_complete(trial: FrozenTrial) -> FrozenTrial:
    if trial.state != TrialState.PRUNED or not trial.values:
        return trial
    seen = copy.copy(trial)
    seen.state = TrialState.COMPLETE
    return seen


class AskTellSampler(BaseSampler):
    """A contender that is asked and told, and knows of no other trials."""

    def __init__(self, contender: Contender, problem: Problem) -> None:
        self._contender, self._problem = contender, problem
        self._asked: dict[int, tuple[Any, dict[str, Any]]] = {}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All genes."""
        return dict(self._problem.distributions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the contender proposes, told of what has ended; nothing for a known-good point."""
        if trial.system_attrs.get("fixed_params"):
            return {}
        trials = study.get_trials(deepcopy=False)
        values = [t.values[0] for t in trials if t.values]
        for ended in trials:
            if ended.number in self._asked and ended.state.is_finished() and values:
                key, params = self._asked.pop(ended.number)
                self._contender.tell(key, params, (ended.values or [min(values)])[0])
        self._asked[trial.number] = self._contender.ask()
        return self._asked[trial.number][1]

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Nothing is: the contender left out a gene that is on.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"trial {trial.number} has no value of the active gene {param_name!r}")
