"""What networks said of images that they were not trained on: cross-fitted predictions.

A study's trials keep what they say of their validation part, and reruns of finalists, each on a
fresh split, what they say of theirs. So patients of training and validation have predictions by
networks that never learnt from them. The final model learnt from these, but not from the test part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cxrsearch.errors import InputError
from cxrsearch.learn.ensemble import logits_of
from cxrsearch.learn.saved.arrays import load_arrays
from cxrsearch.learn.train import PREDICTIONS
from cxrsearch.study.folder import read_study_yaml
from cxrsearch.study.settings import Settings
from search.confirm.reruns import reruns
from search.errors import StudyError
from search.store.record import read_study

from .evidence import Evidence

BY_OTHERS, BY_THE_MODEL = "networks not trained on it", "the model"


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions of images by networks that were not trained on them.

    Args:
        names: (n,) the images.
        marks: (n, k) see `cxrsearch.data.marks`.
        scores: (n, k) probabilities, the mean of the networks' logits.
        patients: (n,).
        by: (n,) `BY_OTHERS` or `BY_THE_MODEL`: who said it.
        networks: (n,) how many.
        places: (n,) of each in the data set.
        notes: what the user should know.
    """

    names: tuple[str, ...]
    marks: np.ndarray
    scores: NDArray[np.float64]
    patients: np.ndarray
    by: tuple[str, ...]
    networks: NDArray[np.int64]
    places: NDArray[np.int64]
    notes: tuple[str, ...]


def held_out_predictions(evidence: Evidence) -> HeldOut:
    """Those of the images that the report judges and, of a study that is here, of the others.

    A file of a trial that cannot be used is left out with a note.
    """
    judged, seen, dataset = evidence.judged, evidence.seen, evidence.opened.dataset
    study = evidence.opened.study if seen.part == "test" else None
    own, notes = ([], []) if study is None else _trials(study, evidence)
    place = {name: row for row, name in enumerate(dataset.names)}
    judged_places = set(map(int, seen.places))
    columns = [evidence.opened.model.labels.index(name) for name in judged.label_names]
    sums: dict[int, tuple[NDArray[np.float64], int]] = {}
    used = 0
    for path in own:
        try:
            found = load_arrays(path, ("names", "scores"))
        except InputError as error:
            notes.append("; ".join(error.problems))
            continue
        names, scores = found["names"], found["scores"]
        if scores.ndim != 2 or scores.shape != (len(names), len(evidence.opened.model.labels)):
            notes.append(f"{path}: not of this model's labels, and left out")
            continue
        used += 1
        for name, logits in zip(names.tolist(), logits_of(scores)[:, columns], strict=True):
            row = place.get(str(name))
            if row is not None and row not in judged_places:
                total, count = sums.get(row, (np.zeros(len(columns)), 0))
                sums[row] = (total + logits, count + 1)
    rows = sorted(sums)
    theirs = [
        list(dataset.label_names).index(seen.mapped.get(name, name)) for name in judged.label_names
    ]
    others = [expit(sums[row][0] / sums[row][1]) for row in rows]
    if used:
        notes.append(
            f"images outside the test part, {len(rows):,}, are judged by networks that were not "
            f"trained on them, of {used} training{'s' * (used != 1)}; the best epochs were chosen "
            "by these images"
        )
    places = np.concatenate([np.asarray(seen.places, np.int64), np.array(rows, np.int64)])
    missing = len(dataset.names) - len(places)
    if seen.part == "test" and missing:
        notes.append(f"{missing:,} images were held out of no training, and are not judged")
    width = len(columns)
    return HeldOut(
        names=tuple(dataset.names[row] for row in places),
        marks=np.concatenate([judged.marks, np.asarray(dataset.labels)[rows][:, theirs]]),
        scores=np.concatenate(
            [judged.scores.astype(np.float64), np.reshape(others, (len(rows), width))]
        ),
        patients=np.asarray(dataset.patients)[places],
        by=(BY_THE_MODEL,) * len(judged.marks) + (BY_OTHERS,) * len(rows),
        networks=np.array([1] * len(judged.marks) + [sums[row][1] for row in rows], np.int64),
        places=places,
        notes=tuple(notes),
    )


def _trials(study: Path, evidence: Evidence) -> tuple[list[Path], list[str]]:
    """Predictions of the model's own trials and all reruns of finalists; what is not to be had."""
    try:
        settings = Settings.from_dict(read_study_yaml(study)["settings"])
        trials = read_study(study, settings.storage).trials
    except (InputError, StudyError) as error:
        why = "; ".join(error.problems)
        return [], [f"the study's history cannot be read ({why}): its predictions are not used"]
    numbers = {part.card["study"].get("trial") for part in evidence.opened.model.parts}
    numbers |= {rerun.number for rerun in reruns(trials)}
    paths = [
        study / "trials" / str(trial.number) / PREDICTIONS
        for trial in trials
        if trial.number in numbers and trial.state.is_finished() and trial.values
    ]
    return [path for path in paths if path.is_file()], []
