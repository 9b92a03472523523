"""What a new trial is given: its seed, its labels and its parameters."""

from __future__ import annotations

import time
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from .json_values import plain
from .prior import PRIOR, Prior, index_of
from .samplers.warm import proposal
from .seeds import derive
from .space import SearchSpace
from .store.storage import DriverStorage
from .study_config import StudyConfig


def build_sampler(config: StudyConfig, space: SearchSpace) -> BaseSampler:
    """The study's sampler, made anew for every ask."""
    from . import samplers

    return samplers.build(
        config.sampler,
        # The sampler mixes the trial's number in; some need different trials' points to match.
        seed=config.seed,
        distributions=space.distributions(),
        options=config.sampler_options,
        n_trials=config.n_trials,
        length=config.halving.length if config.halving else None,
    )


def check_sampler(config: StudyConfig) -> None:
    """Refuse a sampler that does not take the study's number of objectives.

    Raises:
        SearchError: naming those that do.
    """
    from . import samplers

    samplers.check_objectives(config.sampler, len(config.directions))


def birth_attrs(config: StudyConfig, space: SearchSpace, number: int) -> dict[str, Any]:
    """The user attributes that trial ``number`` is made with."""
    attrs: dict[str, Any] = {
        "seed": derive(config.seed, "trial", number),
        "generation": number // config.population,
        "attempt": 0,
        "started": round(time.time(), 3),
    }
    if number < len(space.points):
        attrs["point"] = space.points[number].name
    return attrs


def complete(storage: DriverStorage, config: StudyConfig, space: SearchSpace, number: int) -> None:
    """Give a running trial its parameters, those that it has already excepted.

    The first trials are the known-good points. Of those after them some repeat what earlier
    studies found, where there are any; all others are the sampler's.
    """
    trial_id = storage.trials[number]._trial_id
    if number < len(space.points):
        storage.set_trial_system_attr(trial_id, "fixed_params", dict(space.points[number].params))
    elif config.prior is not None:
        _repeat_earlier(storage, config.prior, number, len(space.points))
    study = optuna.Study(
        storage.name,
        storage,
        sampler=build_sampler(config, space),
        pruner=optuna.pruners.NopPruner(),
    )
    params = space.suggest(optuna.trial.Trial(study, trial_id))
    storage.set_trial_user_attr(trial_id, "params", plain(params))


def _repeat_earlier(storage: DriverStorage, prior: Prior, number: int, start: int) -> None:
    """Fix the genes of trial ``number`` to those of a prior point, if it is to repeat one."""
    trial = storage.trials[number]
    index = index_of(trial, prior)
    if index is None:
        index = proposal(prior, storage.trials, number, start=start)
    if index is not None:
        storage.set_trial_user_attr(trial._trial_id, PRIOR, prior.mark(index))
        params = dict(prior.points[index].params)
        storage.set_trial_system_attr(trial._trial_id, "fixed_params", params)
