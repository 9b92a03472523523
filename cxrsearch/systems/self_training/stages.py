"""Self-training: a teacher labels what has no label, and a student learns from both.

Lee's pseudo-labels (ICML workshop 2013), with the check that tells what they are worth: the
labels of some patients of the training part are hidden, the teacher's recipe is trained without
them, and what it makes of their images is held against the truth. Each training has a folder of
its own and leaves a result there: one that is there is not trained again.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.splits import make_splits
from cxrsearch.errors import InputError
from cxrsearch.learn.calibrate import Calibration, calibrate
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.pseudo import beyond, select
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import load_arrays, save_arrays
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.learn.train import CURVE, PREDICTIONS, train
from cxrsearch.model.folder import trial_model
from search.files import write_json
from search.objective import TrialError
from search.reading import read_json
from search.seeds import derive

from .precision import SHARES, by_share, judge_pseudo

RESULT, HIDDEN = "result.json", "hidden.npz"

Lines = Generator[str, None, dict[str, Any]]
"""Lines that say how far it is; what comes out is JSON-able."""


@dataclass(frozen=True)
class Teacher:
    """One trained trial.

    Args:
        number: of the trial.
        recipe: what it trained, without pseudo-labels of its own.
        seed: it trained with.
        folder: of the trial, with its weights and its scores of the validation part.
        micro: images that went through its network at once; None: not known.
    """

    number: int
    recipe: Recipe
    seed: int
    folder: Path
    micro: int | None = None


def fitted(
    recipe: Recipe, data: TrainData, seed: int, folder: Path, compute: ComputeOptions, what: str
) -> Lines:
    """Train ``recipe`` in ``folder``, go on with it there, or take its result as it is.

    Args:
        recipe: what to train.
        data: what to train on.
        seed: of the training.
        folder: gets what `train` writes, and the result.
        compute: where and how fast.
        what: the training's name in messages.

    Returns:
        ``value``, ``best_epoch``, ``images_seen``, ``seconds``, ``auroc``, ``interval``,
        ``notes`` and the rest of `cxrsearch.learn.train.Result.attrs`; ``curve``; ``seed``.

    Raises:
        InputError: where training fails.
    """
    path = folder / RESULT
    if path.is_file():
        yield f"{what}: done before"
        return dict(read_json(path, "the result of a training"))
    steps = train(recipe, data, seed=seed, folder=folder, compute=compute)
    try:
        with closing(steps):
            while True:
                step = next(steps)
                yield f"{what}: epoch {step.number}/{recipe.epochs}, AUROC {step.value:.3f}"
    except StopIteration as end:
        result = end.value
    except TrialError as error:
        raise InputError(f"{what}: training failed: {error}") from error
    curve = read_json(folder / CURVE, "a training's curve")
    found = {"value": result.value, "seed": seed, **result.attrs, "curve": curve}
    write_json(path, found)
    return found


def hide(data: TrainData, share: float, seed: int) -> tuple[TrainData, np.ndarray]:
    """``data`` without the labels of some patients of its training part, and their rows.

    The patients are drawn as those of a study's parts are, stratified over the labels.

    Raises:
        InputError: where there are too few patients.
    """
    names = data.names[data.train].tolist()
    parts = make_splits(
        names, data.labels[data.train], data.patients[data.train],
        seed=derive(seed, "hidden"), test_share=0, val_share=share,
    )  # fmt: skip
    away = np.isin(data.names[data.train], parts.val)
    return replace(data, train=data.train[~away]), data.train[away]


def check(
    teachers: Sequence[Teacher],
    data: TrainData,
    compute: ComputeOptions,
    folder: Path,
    *,
    hidden: float,
    share: float,
    wanted: float,
    seed: int,
) -> Lines:
    """Train the teachers without the labels of some patients; judge what they make of those.

    Args:
        teachers: whose recipes are trained, with their own seeds.
        data: the study's.
        compute: as for `fitted`.
        folder: gets a folder a teacher, and the hidden images' scores.
        hidden: share of the training part's patients.
        share: of the hidden images, taken at each end.
        wanted: precision of the calibrated thresholds.
        seed: of hiding and bootstrap.

    Returns:
        ``images``, ``patients``, ``trained_on`` (images), ``ends`` and ``calibrated`` (as
        `judge_pseudo`), ``by_share`` (as `by_share`), ``auroc`` (validation, by trial).
    """
    rest, rows = hide(data, hidden, seed)
    scores, known, values = [], [], {}
    for teacher in teachers:
        place = folder / f"check-{teacher.number}"
        what = f"trial {teacher.number} without {len(rows)} hidden labels"
        found = yield from fitted(
            teacher.recipe, rest, teacher.seed, place, replace(compute, micro=teacher.micro), what
        )
        values[str(teacher.number)] = found["value"]
        scores.append(predicted(place / BEST, teacher.recipe, data, rows, compute))
        known.append(validation_scores(place, data))
    truth, mean = data.labels[rows], np.mean(scores, axis=0)
    patients = data.patients[rows]
    save_arrays(
        folder / HIDDEN, names=data.names[rows], patients=patients, labels=truth, scores=mean
    )
    ends = select(mean, share)
    calibration = calibrate(data.labels[data.val], np.mean(known, axis=0), wanted)
    sure = beyond(ends, mean, calibration)
    draws = derive(seed, "bootstrap")
    return {
        "images": len(rows),
        "patients": len(np.unique(patients)),
        "trained_on": len(rest.train),
        "auroc": values,
        "ends": judge_pseudo(ends, truth, patients, data.label_names, draws),
        "calibrated": judge_pseudo(sure, truth, patients, data.label_names, draws),
        "by_share": by_share(mean, truth, (*SHARES, share)),
    }


def predicted(
    weights: Path, recipe: Recipe, data: TrainData, rows: np.ndarray, compute: ComputeOptions
) -> np.ndarray:
    """(m, k) probabilities of ``rows`` by the weights that a training kept."""
    model = trial_model(weights, recipe, data.label_names, data.images.shape[1], compute)
    return model.predict(data.images, rows)


def validation_scores(folder: Path, data: TrainData) -> np.ndarray:
    """(v, k) scores of the validation part that a training in ``folder`` left, in its order.

    Raises:
        InputError: where they are of other images.
    """
    found = load_arrays(folder / PREDICTIONS, ("names", "scores"))
    if found["names"].tolist() != data.names[data.val].tolist():
        raise InputError(
            f"{folder / PREDICTIONS}: not of the validation images as they can be read now; "
            "restore the images, or start a new study"
        )
    scores: np.ndarray = found["scores"]
    return scores


def teach(
    teachers: Sequence[Teacher],
    data: TrainData,
    rows: np.ndarray,
    compute: ComputeOptions,
    wanted: float,
) -> tuple[np.ndarray, Calibration]:
    """What the teachers together say of ``rows``, and what that is worth.

    Returns:
        (m, k) float32 mean probabilities, and their calibration on the validation part.
    """
    every = [predicted(t.folder / BEST, t.recipe, data, rows, compute) for t in teachers]
    known = np.mean([validation_scores(t.folder, data) for t in teachers], axis=0)
    scores = np.mean(every, axis=0).astype(np.float32)
    return scores, calibrate(data.labels[data.val], known, wanted)


def student_of(teacher: Recipe, kind: str, share: float, weight: float) -> Recipe:
    """The teacher's recipe, with pseudo-labels."""
    return replace(teacher, pseudo=kind, pseudo_share=share, pseudo_weight=weight)


def control_of(teacher: Recipe, images: int, data: TrainData) -> Recipe:
    """The teacher's recipe with as many whole epochs as see ``images`` images, or a few more."""
    each = max(1, round(teacher.epoch_share * len(data.train)))
    return replace(teacher, epochs=max(1, math.ceil(images / each)))
