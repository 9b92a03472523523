"""What a new trial is given: its seed, its labels and its parameters.

What is drawn for a trial of the search is drawn by its turn, which counts no reruns.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from .json_values import plain
from .prior import PRIOR, Prior, index_of
from .samplers.warm import proposal
from .seeds import derive
from .space import SearchSpace
from .store.storage import DriverStorage
from .study_config import StudyConfig
from .trials.marks import CONFIRMS, LINEAGE, ROUND, by_turn, under_turn


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


def birth_attrs(config: StudyConfig, space: SearchSpace, turn: int) -> dict[str, Any]:
    """The user attributes that a trial of the search is made with.

    Args:
        config: how the study searches.
        space: what it searches.
        turn: the trial's; see `search.trials.marks.by_turn`.
    """
    attrs: dict[str, Any] = {
        "seed": derive(config.seed, "trial", turn),
        "generation": turn // config.population,
        **_begun(),
    }
    if turn < len(space.points):
        attrs["point"] = space.points[turn].name
    return attrs


def rerun_attrs(config: StudyConfig, finalist: FrozenTrial, round: int) -> dict[str, Any]:
    """The user attributes that a rerun of ``finalist`` in ``round`` is made with.

    Its seed is that of no other trial, and does not depend on when it is run.
    """
    return {
        "seed": derive(config.seed, "rerun", finalist.number, round),
        "params": finalist.user_attrs.get("params", finalist.params),
        CONFIRMS: finalist.number,
        ROUND: round,
        **_begun(),
    }


def _begun() -> dict[str, Any]:
    return {"attempt": 0, "started": round(time.time(), 3)}


def complete(storage: DriverStorage, config: StudyConfig, space: SearchSpace, number: int) -> None:
    """Give a running trial its parameters, those that it has already excepted.

    The first trials are the known-good points. Of those after them some repeat what earlier
    studies found, where there are any; all others are the sampler's.
    """
    trial_id, turn = storage.trials[number]._trial_id, storage.turn(number)
    if turn < len(space.points):
        storage.set_trial_system_attr(trial_id, "fixed_params", dict(space.points[turn].params))
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
    _name_parents(storage, number)


def _name_parents(storage: DriverStorage, number: int) -> None:
    """Name the parents of trial ``number`` as the history does: samplers know them by turn."""
    trial = storage.trials[number]
    lineage = trial.user_attrs.get(LINEAGE)
    if storage.reruns and isinstance(lineage, Mapping):
        parents = [storage.number_at(turn) for turn in lineage["parents"]]
        storage.set_trial_user_attr(trial._trial_id, LINEAGE, {**lineage, "parents": parents})


def _repeat_earlier(storage: DriverStorage, prior: Prior, number: int, start: int) -> None:
    """Fix the genes of trial ``number`` to those of a prior point, if it is to repeat one."""
    trial = storage.trials[number]
    index = index_of(trial, prior)
    if index is None:
        reruns = storage.reruns
        own = [under_turn(trial, turn, reruns) for turn, trial in by_turn(storage.trials)]
        index = proposal(prior, own, storage.turn(number), start=start)
    if index is not None:
        storage.set_trial_user_attr(trial._trial_id, PRIOR, prior.mark(index))
        params = dict(prior.points[index].params)
        storage.set_trial_system_attr(trial._trial_id, "fixed_params", params)
