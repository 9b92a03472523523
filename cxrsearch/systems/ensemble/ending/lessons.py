"""What a study's best trials teach the model it ends in: ``cxrsearch train STUDY --distill N``.

The model learns what they say together, for the most part in the place of the labels (Hinton et
al., 2015; of networks of one's own size Furlanello et al., "Born-again neural networks", ICML
2018): a label of a small set is often wrong, and never says how sure one can be. The trials have
their weights already, so it costs one look of each at the training images.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cxrsearch.errors import InputError
from cxrsearch.learn.compute.isolate import isolated
from cxrsearch.learn.networks.weights.asked import start_of
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.pseudo import teaching
from cxrsearch.learn.recipe import Recipe
from cxrsearch.model.card import predicting
from cxrsearch.show.chosen import choice_of
from cxrsearch.show.view import view_of
from cxrsearch.study.folder import load_alone, read_study_yaml, trial_config
from cxrsearch.study.settings import Settings
from cxrsearch.study.winner import Lessons, Winner
from cxrsearch.systems.ensemble.pool import ALL, study_pool
from search.store.record import read_study

from .choice import member_candidates
from .seen import kept_models, mean_of

TEACHERS_SHARE = 0.9
"""Of each training target that is what the trials say; see docs/spaces.md for what it gains."""


def lessons_of(study: Path, count: int | None, winner: Winner, **moved: Any) -> Lessons | None:
    """What the trials say that ``train --ensemble`` would put together.

    They were trained on the study's training part and chosen by its validation part. The test part
    has no share in it.

    Args:
        study: its folder.
        count: trials at most; None: nothing is taught.
        winner: who is to learn.
        moved: as for `cxrsearch.study.folder.load_alone`.

    Raises:
        InputError: where fewer than two trials have kept their weights, or the winner's recipe
            cannot be taught.
    """
    if count is None:
        return None
    if problems := _problems(study, count, winner):
        raise InputError(problems)
    pool = study_pool(study, ALL)
    record = read_study(study, Settings.from_dict(read_study_yaml(study)["settings"]).storage)
    there = [int(name) for name in pool.names if name in pool.kept]
    team = member_candidates(record, choice_of(view_of(record)), there)[:count]
    if len(team) < 2:
        raise InputError(
            f"--distill {count}: {len(there)} of the {len(pool.names)} complete trials of {study} "
            "have kept their weights, and two or more teach; leave it out"
        )
    prepared = load_alone(study, **moved)
    config = trial_config(study, prepared)
    data = load_trial_data(config)
    rows = data.with_validation_for_training().train
    compute = replace(config.compute, precision=predicting(prepared.settings.precision))
    models = kept_models(study, [one.trial for one in team], data, compute)
    with isolated(compute, 0):
        scores = mean_of(models, data.images, rows)
    said = teaching(data.names[rows], scores, data.split, data.label_names)
    return Lessons(tuple(one.trial.number for one in team), said, TEACHERS_SHARE)


def _problems(study: Path, count: int, winner: Winner) -> list[str]:
    """Why ``winner`` cannot be taught by ``count`` trials."""
    recipe: Recipe = winner.recipe
    who = f"trial {winner.trial.number} of {study}"
    found = []
    if count < 2:
        found.append(f"--distill {count}: two trials or more teach")
    if recipe.pseudo != "none" or recipe.distill:
        found.append(
            f"--distill {count}: {who} has a teacher of its own (pseudo: {recipe.pseudo}, distill: "
            f"{recipe.distill:g}); leave it out, or name another --trial"
        )
    if start_of(recipe.init).frozen:
        found.append(
            f"--distill {count}: {who} fits a linear probe to features, which learns from labels "
            "alone; leave it out, or name another --trial"
        )
    return found
