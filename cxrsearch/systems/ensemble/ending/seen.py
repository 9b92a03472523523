"""How what a study ends in looks at images: test-time augmentation, chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from optuna.trial import FrozenTrial

from cxrsearch.data.marks import absent, present
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.isolate import isolated
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.model.card import predicting
from cxrsearch.model.folder import LoadedModel, trial_model
from cxrsearch.model.views import FLIP, NONE, SHIFTED, SHIFTED_FLIP
from cxrsearch.study.folder import load_alone, trial_config
from cxrsearch.study.settings import AUTO
from search.optimism import gain, influence


class ChosenViews(NamedTuple):
    """What an ending predicts the mean over.

    Args:
        tta: one of `cxrsearch.model.views.TTA`.
        reason: why, in a sentence; empty where it was asked for.
    """

    tta: str
    reason: str = ""


def choose_views(
    study: Path, trials: Sequence[FrozenTrial], asked: str = NONE, **moved: Any
) -> ChosenViews:
    """The views that trials, averaged, gain by on the validation part.

    Mirror images are tried where every recipe mirrors in training. Other views than the plain one
    are taken where their gain is above its standard error over patients: each makes predicting
    slower, and the highest of a few small gains flatters.

    Args:
        study: its folder.
        trials: whose kept weights are judged.
        asked: one of `cxrsearch.model.views.TTA`, which is taken; or ``auto``.
        moved: as for `cxrsearch.study.folder.load_alone`.

    Raises:
        InputError: where data or weights cannot be used.
    """
    if asked != AUTO:
        return ChosenViews(asked)
    folders = {t.number: study / "trials" / str(t.number) / BEST for t in trials}
    kept = [t for t in trials if folders[t.number].is_file()]
    if not kept:
        return ChosenViews(NONE, "views: the plain one, as no weights are kept to choose others by")
    prepared = load_alone(study, **moved)
    config = trial_config(study, prepared)
    data = load_trial_data(config)
    compute = replace(config.compute, precision=predicting(prepared.settings.precision))
    recipes = [Recipe.from_params(t.user_attrs["params"]) for t in kept]
    try:
        models = kept_models(study, kept, data, compute)
    except InputError as error:
        told = [f"{problem}, or name the views with --tta" for problem in error.problems]
        raise InputError(told) from error
    mirror = all(recipe.horizontal_flip for recipe in recipes)
    names = (NONE, SHIFTED, *((FLIP, SHIFTED_FLIP) if mirror else ()))
    marks = np.asarray(data.labels[data.val])
    truth = np.where(present(marks), 1.0, np.where(absent(marks), 0.0, np.nan))
    with isolated(compute, 0):
        scores = {name: mean_of(models, data.images, data.val, name) for name in names}
    try:
        found = {
            name: influence(truth, each, data.patients[data.val], data.columns)
            for name, each in scores.items()
        }
    except ValueError as error:
        raise InputError(f"--tta auto: the validation part cannot judge: {error}") from error
    plain = found.pop(NONE)
    return by_gain({name: gain(one, plain) for name, one in found.items()})


def kept_models(
    study: Path, trials: Sequence[FrozenTrial], data: TrainData, compute: ComputeOptions
) -> list[LoadedModel]:
    """The models that trials are by the weights that they have kept.

    Raises:
        InputError: where weights are missing or damaged.
    """
    return [
        trial_model(
            study / "trials" / str(t.number) / BEST, Recipe.from_params(t.user_attrs["params"]),
            data.label_names, int(data.images.shape[1]), compute,
        )
        for t in trials
    ]  # fmt: skip


def mean_of(
    models: Sequence[LoadedModel], images: Any, rows: np.ndarray, tta: str = NONE
) -> np.ndarray:
    """(m, k) mean probabilities of the images ``rows``."""
    scores = [replace(one, tta=tta).predict(images, rows) for one in models]
    return np.asarray(np.mean(scores, axis=0))


def by_gain(gains: dict[str, tuple[float, float]]) -> ChosenViews:
    """The views to take.

    Args:
        gains: over the plain view on validation, with its standard error, by name.
    """
    said = ", ".join(f"{n} {ahead:+.4f} (se {error:.4f})" for n, (ahead, error) in gains.items())
    sure = [name for name, (ahead, error) in gains.items() if ahead > error]
    if not sure:
        reason = "the plain one, as none gains more than a standard error on validation"
        return ChosenViews(NONE, f"views: {reason}: {said}")
    best = max(sure, key=lambda name: gains[name][0])
    return ChosenViews(best, f"views: {best}, by its gain on validation: {said}")
