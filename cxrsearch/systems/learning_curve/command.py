"""From a study to its learning curve: the trainings, one after another, then page and record.

Until the page is there, all lies in ``.<name>.work`` beside it. A training that was finished before
a kill is not repeated, and one that was cut off goes on from its checkpoint.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.durations import clock
from cxrsearch.errors import InputError
from cxrsearch.learn.saved.arrays import load_arrays
from cxrsearch.learn.saved.keep import BEST, CHECKPOINT, PREVIOUS
from cxrsearch.learn.train import PREDICTIONS, train
from cxrsearch.study.cost.recipe_kinds import kind_of, trial_seconds
from cxrsearch.study.cost.stopwatches import TimingError, timed
from cxrsearch.writing import alone, claim
from search.files import write_json
from search.objective import TrialError
from search.reading import FileError, read_json

from .job import (
    CURVE_FORMAT,
    CURVE_VERSION,
    CurveJob,
    CurveRequest,
    CurveTraining,
    asked_of,
    check_curve_out,
    json_of,
    prepare_curve,
)
from .judging import judged_curve
from .page import write_curve_page

TRAINED = "trained.json"
"""What a training of the curve leaves when it is done."""

CurveLines = Generator[str, None, dict[str, Any]]
"""Lines that say how far it is; what comes out is the record."""


def learning_curve(study: Path, out: Path, request: CurveRequest, **moved: Any) -> CurveLines:
    """Train on growing shares of the patients, fit a curve, and write page and record.

    Cut off and called again with the same arguments, it goes on.

    Args:
        study: with a complete trial.
        out: the page to write; the record goes beside it, see `json_of`.
        request: which recipe, shares, repeats and seed.
        moved: ``data``, ``labels`` and ``cache``, where they lie elsewhere now, and what else
            `cxrsearch.study.folder.load_alone` takes.

    Yields:
        lines that say how far it is.

    Returns:
        the record.

    Raises:
        InputError: before anything is trained, where something cannot work.
    """
    if (done := _done(study, out, request)) is not None:
        write_curve_page(done, out)
        yield f"{json_of(out)}: done before, by this very command; nothing is left to train"
        return done
    job = prepare_curve(study, out, request, moved)
    yield from (*job.winner.reasons, *(f"note: {note}" for note in job.notes))
    with alone(job.work):
        check_curve_out(out)  # again: another run may have ended while data were read
        claim(job.work, job.asked)
        yield _projected(job)
        found = []
        for place, training in enumerate(job.trainings, start=1):
            found.append((yield from _trained(job, training, place)))
        record = {
            CURVE_FORMAT: CURVE_VERSION,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "asked": job.asked,
            **judged_curve(job, found, [_scores(job, training) for training in job.trainings]),
        }
        write_json(json_of(out), record)
        write_curve_page(record, out)
        shutil.rmtree(job.work, ignore_errors=True)
    return record


def _done(study: Path, out: Path, request: CurveRequest) -> dict[str, Any] | None:
    """The record of a curve that the same command has drawn."""
    try:
        record = read_json(json_of(out), "the curve's record")
        asked = dict(record["asked"])
    except (OSError, FileError, LookupError, TypeError, ValueError):
        return None
    wanted = asked_of(study, request)
    ours = record.get(CURVE_FORMAT) == CURVE_VERSION
    same = ours and {name: asked.get(name) for name in wanted} == wanted
    return dict(record) if same else None


def _projected(job: CurveJob) -> str:
    """How long the trainings that are left will take, by a timed step."""
    left = [t for t in job.trainings if not (job.work / t.name / TRAINED).is_file()]
    said = f"{len(job.trainings)} trainings"
    if len(left) < len(job.trainings):
        said += f", {len(left)} of them left,"
    if not left:
        return f"{len(job.trainings)} trainings, all done before"
    recipe, data = job.recipe, job.data
    try:
        kinds = {kind_of(recipe): replace(recipe, sharpness=0.0)}
        steps, _ = timed(kinds, 1, job.compute, n_classes=len(data.label_names))
        each = trial_seconds(recipe, steps, len(data.train), len(data.val_seed))
        by = "by a timed step"
    except TimingError:
        each = float(job.winner.trial.user_attrs.get("seconds") or 0.0)
        by = "as long as the trial took"
    steps_each = recipe.epochs * (data.epoch_images or 0)
    return (
        f"{said} of {steps_each:,} image-steps each: about {clock(each * len(left))} ({by}); "
        "killed, the same command goes on"
    )


def _trained(
    job: CurveJob, training: CurveTraining, place: int
) -> Generator[str, None, dict[str, Any]]:
    """Train in the training's folder, go on there, or take its result as it is.

    Raises:
        InputError: where training fails.
    """
    folder, recipe = job.work / training.name, job.recipe
    what = (
        f"{place}/{len(job.trainings)}: {training.patients} patients, repeat {training.repeat + 1}"
    )
    path = folder / TRAINED
    if path.is_file():
        yield f"{what}: done before"
        return dict(read_json(path, "what a training came to"))
    data = replace(job.data, train=training.rows)
    steps = train(recipe, data, seed=training.seed, folder=folder, compute=job.compute)
    begin, last = time.monotonic(), 0.0
    try:
        with closing(steps):
            while True:
                step = next(steps)
                if step.number == recipe.epochs or time.monotonic() - last > SAY_SECONDS:
                    last = time.monotonic()
                    yield (
                        f"{what}: epoch {step.number}/{recipe.epochs}, AUROC {step.value:.3f}, "
                        f"{clock(last - begin)}"
                    )
    except StopIteration as end:
        result = end.value
    except TrialError as error:
        raise InputError(f"{what}: training failed: {error}") from error
    attrs = result.attrs
    kept = ("auroc", "best_epoch", "images_seen", "seconds", "notes")
    found = {
        "share": training.share, "repeat": training.repeat + 1, "seed": training.seed,
        "patients": training.patients, "images": len(training.rows),
        "not_learnt": list(training.missing),
        "value": None if math.isnan(result.value) else result.value,
        **{name: attrs[name] for name in kept},
    }  # fmt: skip
    write_json(path, found)
    for name in (BEST, CHECKPOINT, PREVIOUS):  # scores are all that is needed from here on
        (folder / name).unlink(missing_ok=True)
    return found


SAY_SECONDS = 5.0
"""A training says how far it is as often as this, and after its last epoch."""


def _scores(job: CurveJob, training: CurveTraining) -> np.ndarray:
    """(v, k) scores of the validation part.

    Raises:
        InputError: where they are of other images.
    """
    path = job.work / training.name / PREDICTIONS
    found = load_arrays(path, ("names", "scores"))
    if not np.array_equal(found["names"], job.data.names[job.data.val]):
        raise InputError(
            f"{path}: not of this study's validation images; delete {path.parent} to train it again"
        )
    scores: np.ndarray = found["scores"]
    return scores
