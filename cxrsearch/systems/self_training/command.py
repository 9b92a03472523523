"""From a study to a student: the stages of `cxrsearch self-train`, and the folder they leave.

Until the model folder is there, all lies in ``.<name>.work`` beside it. A stage that was finished
before a kill is not repeated, and a training that was cut off goes on from its checkpoint.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.errors import InputError
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.metrics import judge
from cxrsearch.learn.networks.weights.report import loaded_in
from cxrsearch.learn.pseudo import (
    PSEUDO_FILE,
    TABLE,
    Pseudo,
    beyond,
    extra,
    load_pseudo,
    save_pseudo,
    select,
    write_table,
)
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.learn.train import CURVE
from cxrsearch.model.card import predicting, taught
from cxrsearch.model.folder import ModelMeta, check_out, network_of, save_model
from cxrsearch.model.validation import ITS_OWN, ValidationScores
from cxrsearch.study.data import training_pictures
from cxrsearch.study.starting.origins import also_seen
from cxrsearch.writing import alone, claim
from search.files import write_json
from search.reading import read_json
from search.seeds import derive

from .job import Job, Options, plain, prepare_job, renew
from .page import SELF_TRAINING_PAGE, SELF_TRAINING_REPORT, self_training_page
from .precision import judge_pseudo, paired_difference
from .stages import HIDDEN, Lines, check, control_of, fitted, student_of, teach, validation_scores

__all__ = ["Options", "self_train"]

CHECK = "check.json"


def self_train(study: Path, out: Path, options: Options, **moved: Any) -> Lines:
    """Label, check, train the student, and write its model folder with a page.

    Args:
        study: whose best trial, or trials, are the teacher.
        out: the model folder to write.
        options: how.
        moved: ``data``, ``labels`` and ``cache``, where they lie elsewhere now, and what else
            `cxrsearch.study.folder.load_alone` takes.

    Yields:
        lines that say how far it is.

    Returns:
        the content of ``self-training.json``.

    Raises:
        InputError: before anything is trained, where something cannot work.
    """
    if (done := _done(Path(study), out, options)) is not None:
        yield f"{out}: done before, by this very command; nothing is left to do"
        return done
    job = prepare_job(Path(study), out, options, moved)
    with alone(job.work):
        check_out(out)  # again: another run may have ended while data were read
        renew(job.work)
        claim(job.work, job.wanted)
        report = yield from _run(job)
        _finish(job, out, report)
    return report


def _done(study: Path, out: Path, options: Options) -> dict[str, Any] | None:
    """The report of a self-training with the same options that has been written to ``out``."""
    if not (out / SELF_TRAINING_REPORT).is_file():
        return None
    report = dict(read_json(out / SELF_TRAINING_REPORT, "the report"))
    same = (report.get("study"), report.get("options")) == (str(study.resolve()), plain(options))
    return report if same else None


def _run(job: Job) -> Lines:
    """The stages, one after another."""
    for note in job.found.notes:
        yield f"note: {note}"
    pseudo = _labelled(job)
    labels = _judged(job, pseudo)
    yield f"pseudo-labels of {len(pseudo.names)} images: " + ", ".join(
        f"{sum(d[end] for d in labels['counts'])} {end}" for end in ("positive", "negative")
    )
    added = _added(job, pseudo)  # before minutes are spent: there may be none
    checked = yield from _checked(job)
    trained = yield from _trained(job, replace(job.data, pseudo=pseudo, pseudo_rows=job.rows))
    trained["student"]["pseudo_images"] = added
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": str(job.study.resolve()),
        "teachers": [t.number for t in job.teachers],
        "options": plain(job.options),
        "unlabelled": {"images": len(pseudo.names), "side": job.found.side},
        "notes": list(job.found.notes),
        "check": checked,
        "labels": labels,
        **trained,
    }


def _checked(job: Job) -> Lines:
    """What pseudo-labels are worth where labels were hidden."""
    path = job.work / CHECK
    if path.is_file():
        yield "check on hidden labels: done before"
        return dict(read_json(path, "what the check found"))
    options = job.options
    found = yield from check(
        job.teachers, job.data, job.config.compute, job.work, hidden=options.hidden,
        share=options.share, wanted=options.wanted_precision, seed=job.seed,
    )  # fmt: skip
    write_json(path, found)
    return found


def _labelled(job: Job) -> Pseudo:
    """What the teachers say of the unlabelled images and of those they learnt from, as files."""
    path = job.work / PSEUDO_FILE
    if not path.is_file():
        rows, new = np.concatenate([job.rows, job.data.train]), len(job.rows)
        scores, calibration = teach(
            job.teachers, job.data, rows, job.config.compute, job.options.wanted_precision
        )
        folder = job.options.unlabelled
        pseudo = Pseudo(
            np.array(job.found.names), scores[:new], calibration,
            job.prepared.splits.fingerprint, job.data.label_names,
            str(folder.resolve()) if folder else "", job.data.names[job.data.train], scores[new:],
        )  # fmt: skip
        write_table(job.work / TABLE, pseudo, _chosen(job, pseudo))
        save_pseudo(path, pseudo)
    return load_pseudo(path)


def _chosen(job: Job, pseudo: Pseudo) -> np.ndarray:
    """(m, k) labels 1, 0 and NaN that are made of ``pseudo``."""
    ends = select(pseudo.scores, job.options.share)
    sure = job.options.kind == "calibrated"
    return beyond(ends, pseudo.scores, pseudo.calibration) if sure else ends


def _judged(job: Job, pseudo: Pseudo) -> dict[str, Any]:
    """How many pseudo-labels there are, and how many are right where that is known."""
    chosen = _chosen(job, pseudo)
    counts = [
        {"label": name, "positive": int((c == 1).sum()), "negative": int((c == 0).sum())}
        for name, c in zip(job.data.label_names, chosen.T, strict=True)
    ]
    if job.truth is None:
        return {"counts": counts, "truth": None}
    at, labels, patients = job.truth
    draws = derive(job.seed, "bootstrap")
    right = judge_pseudo(chosen[at], labels, patients, job.data.label_names, draws)
    return {"counts": counts, "truth": {"images": len(at), "labels": right}}


def _recipe(job: Job) -> Recipe:
    """The student's."""
    options = job.options
    return student_of(job.teachers[0].recipe, options.kind, options.share, options.weight)


def _added(job: Job, pseudo: Pseudo) -> int:
    """How many images without a label the student trains on.

    Raises:
        InputError: where there are none.
    """
    found = extra(pseudo, job.rows, _recipe(job))
    if found is None:
        wanted = job.options.wanted_precision
        raise InputError(
            f"--kind {job.options.kind}: no pseudo-label reaches --wanted-precision {wanted:g} on "
            "the validation part; ask for less, or use --kind soft"
        )
    return len(found.rows)


def _trained(job: Job, data: TrainData) -> Lines:
    """The student, its control, and how they do beside the teacher."""
    options, first, recipe = job.options, job.teachers[0], _recipe(job)
    seed = derive(job.seed, "student")
    compute = replace(job.config.compute, micro=first.micro)
    found = {
        "teacher": _teacher(job),
        "student": (yield from fitted(
            recipe, data, seed, job.work / "student", compute, "student")),
    }  # fmt: skip
    if options.control:
        images = found["student"]["images_seen"] * recipe.epochs
        control = control_of(first.recipe, images // found["student"]["epochs_run"], job.data)
        found["control"] = yield from fitted(
            control, job.data, seed, job.work / "control", compute, "control"
        )
    return {**found, "differences": _differences(job)}


def _teacher(job: Job) -> dict[str, Any]:
    """The teachers' own score on the validation part, and the first one's curve."""
    data, scores = job.data, _scores(job, "teacher")
    value, details, _ = judge(
        data.labels[data.val], scores, data.patients[data.val], data.columns, 1000,
        derive(job.seed, "bootstrap"), data.label_names,
    )  # fmt: skip
    first = job.teachers[0]
    attrs = job.record.trials[first.number].user_attrs
    curve = read_json(first.folder / CURVE, "the teacher's curve")
    return {
        "value": value, **details, "curve": curve, "selected_from": _selected_from(job),
        "best_epoch": attrs.get("best_epoch"), "images_seen": attrs.get("images_seen"),
    }  # fmt: skip


def _scores(job: Job, who: str) -> np.ndarray:
    """(v, k) scores of the validation part by teacher, student or control."""
    if who == "teacher":
        every = [validation_scores(t.folder, job.data) for t in job.teachers]
        return np.asarray(np.mean(every, axis=0))
    return validation_scores(job.work / who, job.data)


def _differences(job: Job) -> dict[str, Any]:
    """The student's mean AUROC minus the teacher's, and minus the control's."""
    data = job.data
    return {
        who: paired_difference(
            data.labels[data.val], (_scores(job, who), _scores(job, "student")),
            data.patients[data.val], data.columns, data.label_names, derive(job.seed, "paired"),
        )
        for who in (("teacher", "control") if job.options.control else ("teacher",))
    }  # fmt: skip


def _selected_from(job: Job) -> int:
    return job.record.counts()["complete"] if job.options.trial is None else 1


def _finish(job: Job, out: Path, report: dict[str, Any]) -> None:
    """Write the model folder, and remove what led to it."""
    write_json(job.work / SELF_TRAINING_REPORT, report)
    self_training_page(report, job.work / SELF_TRAINING_PAGE)
    student, prepared, recipe = report["student"], job.prepared, _recipe(job)
    network = network_of(recipe, job.work / "student" / BEST, len(job.data.label_names))
    meta = ModelMeta(
        frame=prepared.cache.frame,
        data_fingerprint=prepared.dataset.fingerprint,
        split_fingerprint=prepared.splits.fingerprint,
        source_side=prepared.dataset.source_side,
        study=report["study"],
        trial=None,  # no look at a student is one at its teacher
        labels=prepared.dataset.label_names,
        objective=prepared.judged,
        description=prepared.dataset.description,
        validation={
            "value": student["value"],
            "interval": student["interval"],
            "selected_from": _selected_from(job),
        },
        training={
            "rows": "train, and pseudo-labelled images",
            "labels": taught(job.data, recipe),
            "images": len(job.data.train) + student["pseudo_images"],
            "epochs": student["best_epoch"],
            "seed": student["seed"],
            "teachers": report["teachers"],
            "notes": student["notes"],
            "weights": loaded_in(student["notes"]),
        },
        also_seen=also_seen(recipe, job.work / PSEUDO_FILE, job.found.cache.contents),
        precision=predicting(prepared.settings.precision),
        seen=training_pictures(prepared.cache, prepared.splits),
    )
    beside = [
        job.work / name
        for name in (PSEUDO_FILE, TABLE, SELF_TRAINING_REPORT, SELF_TRAINING_PAGE, HIDDEN)
    ]
    data = job.data
    validation = ValidationScores(
        data.names[data.val], data.labels[data.val], _scores(job, "student"),
        data.patients[data.val], data.label_names, ITS_OWN,
    )  # fmt: skip
    save_model(out, network, recipe, meta, job.study / "splits.json", beside, validation)
    shutil.rmtree(job.work, ignore_errors=True)
