"""Optuna's samplers without their memory, so that an interrupted ask can be made again."""

from __future__ import annotations

import copy
import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.seeds import derive
from search.trials.halving import length_of

_WARNINGS = threading.Lock()


class ReplayedSampler(BaseSampler):
    """A sampler that is made anew for every draw, with a seed from the draw's name.

    Optuna's samplers hold a random stream that runs on from gene to gene and from trial to
    trial, and some hold caches. A trial that was asked for, killed with half of its genes
    stored and asked for again would get other genes. Made anew with a seed from ``(seed,
    number)`` for the genes sampled together and from ``(seed, number, name)`` for those
    sampled alone, each draw is a function of the seed, the number and the history.

    Args:
        make: makes the sampler from a seed.
        seed: the study's.

    Raises:
        ValueError: whatever ``make`` objects to.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self.seed = seed
        self._fresh()  # what can't be made should fail here, not at the first ask

    def _fresh(self, *parts: str | int) -> BaseSampler:
        # Warnings about features that Optuna calls experimental say nothing that a user of
        # this package could act on. `catch_warnings` swaps module globals, hence the lock.
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self._make(derive(self.seed, "replayed", *parts))

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The genes that the sampler samples together."""
        return self._fresh(trial.number).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The genes that are sampled together."""
        sampler = self._fresh(trial.number)
        # Grouped TPE remembers the groups it found here.
        sampler.infer_relative_search_space(study, trial)
        return sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A gene that is sampled alone."""
        sampler = self._fresh(trial.number, param_name)
        return sampler.sample_independent(study, trial, param_name, param_distribution)


class Nsga2Sampler(NSGAIISampler):
    """NSGA-II whose parents come in the same order at every look.

    Optuna's own returns a generation's parents in the order of selection at the first look
    and in the order of their numbers at every later one. The next draw then picks another
    parent if the first look was cut off by a kill.
    """

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """The parents of ``generation``, by number."""
        parents = super().get_parent_population(study, generation)
        return sorted(parents, key=lambda trial: trial.number)


class GaussianProcessSampler(GPSampler):
    """Optuna's GP sampler that doesn't take an earlier ask of the same trial for a rival.

    Optuna's own leaves its proposal with the trial, for other processes to see and to keep
    away from. When the ask is made again it finds that proposal and keeps away from itself.
    """

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The genes that are sampled together."""
        for key in trial.system_attrs:
            if key.startswith("gp:relative_params"):
                study._storage.set_trial_system_attr(trial._trial_id, key, "")
        return super().sample_relative(study, trial, search_space)


class TreeSampler(TPESampler):
    """Optuna's TPE that takes pruned trials of any study for what they are.

    Optuna's own ranks them by how many steps they made, which says little where trials have
    different lengths. And in a study of several objectives it ranks them by their last report in
    the study's one direction, which there is none: it raises. Here they lose their reports for the
    look, so that all of them rank alike, below every complete trial.

    Args:
        length: the parameter that holds a trial's number of steps: who has done a greater share
            of them ranks above.
        options: of Optuna's own.
    """

    def __init__(self, *, length: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._length = length

    def _sample(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if len(study.directions) > 1:
            study = _seen_as(study, _bare)
        elif self._length is not None:
            study = _seen_as(study, functools.partial(_by_share, length=self._length))
        return super()._sample(study, trial, search_space)


def _seen_as(study: Study, look: Callable[[FrozenTrial], FrozenTrial]) -> Study:
    """``study`` with its pruned trials as ``look`` shows them."""
    view = copy.copy(study)

    def trials(*args: Any, **kwargs: Any) -> list[FrozenTrial]:
        found = study._get_trials(*args, **kwargs)
        return [look(t) if t.state == TrialState.PRUNED else t for t in found]

    view._get_trials = trials  # type: ignore[method-assign]
    return view


def _bare(trial: FrozenTrial) -> FrozenTrial:
    bare = copy.copy(trial)
    bare.intermediate_values = {}
    return bare


WHOLE_STEPS = 10_000
"""Steps of a whole trial in `_by_share`; Optuna wants whole ones."""


def _by_share(trial: FrozenTrial, length: str) -> FrozenTrial:
    """``trial`` as if it had been cut into `WHOLE_STEPS` steps."""
    own = length_of(trial, length)
    if own is None:
        return trial
    seen = copy.copy(trial)
    reports = trial.intermediate_values.items()
    seen.intermediate_values = {round(step / own * WHOLE_STEPS): value for step, value in reports}
    return seen
