"""What a network said of the validation part: beside a model, so that choices can be made by it.

A model that was trained on train and validation has no image left that it did not see. What can
be chosen by is what the same recipe's network, trained on the training part alone, said of the
validation part; so that is kept, and its card says whose words they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.errors import InputError
from cxrsearch.learn.saved.arrays import load_arrays, load_labels, save_arrays
from cxrsearch.learn.train import PREDICTIONS
from search.reading import whole

from .card import check_files
from .predictor import Predictor

VALIDATION_FILE = "validation.npz"
"""Of a model's folder: what a network said of the validation part."""

VALIDATION_SCORES = "validation_scores"
"""What a card says of that file: ``file``, ``part``, ``images``, ``patients`` and ``of``."""

ITS_OWN = "this very network, which was trained on the training part alone"
"""Whose scores they are, where the model never saw the validation part."""


@dataclass(frozen=True, eq=False)
class ValidationScores:
    """What a network said of the validation part, a row an image.

    Args:
        names: (n,) of the images.
        marks: (n, k) see `cxrsearch.data.marks`.
        scores: (n, k) float32 probabilities.
        patients: (n,) whom each shows.
        label_names: (k,) what the columns are.
        of: whose scores they are, in words.
    """

    names: np.ndarray
    marks: np.ndarray
    scores: np.ndarray
    patients: np.ndarray
    label_names: tuple[str, ...]
    of: str

    @property
    def digest(self) -> str:
        """What stands for the images, their marks and scores."""
        content = hashlib.sha256(json.dumps([self.names.tolist(), self.label_names]).encode())
        for array in (np.asarray(self.marks, np.float32), np.asarray(self.scores, np.float32)):
            content.update(array.tobytes())
        return f"sha256:{content.hexdigest()}"

    def described(self) -> dict[str, Any]:
        """As a card says it."""
        return {
            "file": VALIDATION_FILE,
            "part": "validation",
            "images": len(self.names),
            "patients": len(np.unique(self.patients)),
            "of": self.of,
        }

    def save(self, folder: Path) -> None:
        """Write them into a model's folder."""
        save_arrays(
            folder / VALIDATION_FILE,
            names=np.asarray(self.names, np.str_),
            marks=np.asarray(self.marks),
            scores=np.asarray(self.scores, np.float32),
            patients=np.asarray(self.patients, np.str_),
            label_names=np.asarray(self.label_names, np.str_),
        )

    def of_labels(self, names: Sequence[str]) -> ValidationScores:
        """The same of the labels ``names``, in that order.

        Raises:
            InputError: where one is not among them.
        """
        missing = [name for name in names if name not in self.label_names]
        if missing:
            raise InputError(f"{VALIDATION_FILE}: holds no scores of {', '.join(missing)}")
        columns = [self.label_names.index(name) for name in names]
        return ValidationScores(
            self.names, self.marks[:, columns], self.scores[:, columns], self.patients,
            tuple(names), self.of,
        )  # fmt: skip


def read_validation(folder: Path, card: Mapping[str, Any]) -> ValidationScores | None:
    """What ``folder`` keeps of the validation part; None in a folder of an earlier version.

    Args:
        folder: of a model or an ensemble.
        card: its card.

    Raises:
        InputError: where the file is damaged, or not the one that the card was written with.
    """
    path = folder / VALIDATION_FILE
    if not path.is_file():
        return None
    check_files(folder, card, [VALIDATION_FILE])
    found = load_arrays(path, ("names", "marks", "scores", "patients", "label_names"))
    names, marks, scores = found["names"], found["marks"], found["scores"]
    labels = tuple(map(str, found["label_names"].tolist()))
    shape = (len(names), len(labels))
    fits = (
        names.ndim == 1
        and marks.shape == scores.shape == shape
        and found["patients"].shape == names.shape
        and marks.dtype.kind in "biuf"
        and scores.dtype.kind == "f"
    )
    if (
        not fits
        or not np.isfinite(scores).all()
        or scores.min(initial=0) < 0
        or (scores.max(initial=0) > 1)
    ):
        raise InputError(f"{path}: not probabilities of images; restore it from a copy")
    said = card.get(VALIDATION_SCORES)
    of = said.get("of") if isinstance(said, Mapping) else None
    return ValidationScores(
        names, marks, scores, found["patients"], labels, str(of or "a network of the same recipe")
    )


def trial_validation(study: Path, number: int, of: str) -> ValidationScores | None:
    """What a trial's network said of its study's validation part, as the trial left it.

    Args:
        study: its folder.
        number: the trial.
        of: whose scores these are, in words.

    Returns:
        None where the trial left none.

    Raises:
        InputError: where a file is damaged, or of other images.
    """
    path = study / "trials" / str(number) / PREDICTIONS
    if not path.is_file():
        return None
    found = load_arrays(path, ("names", "scores"))
    known = load_labels(study / "labels.npz")
    place = {str(name): row for row, name in enumerate(known.names.tolist())}
    rows = [place.get(str(name), -1) for name in found["names"].tolist()]
    if -1 in rows or found["scores"].shape != (len(rows), len(known.label_names)):
        raise InputError(f"{path}: not of the images in {study / 'labels.npz'}; restore it")
    return ValidationScores(
        found["names"], known.labels[rows], np.asarray(found["scores"], np.float32),
        known.patients[rows], known.label_names, of,
    )  # fmt: skip


def of_trial(number: int) -> str:
    """Whose scores a trial's are, beside a model of its recipe that was trained again."""
    return (
        f"the network of trial {number}, of the same recipe, which was trained on the training "
        "part alone; not of the weights in this folder, which were trained on validation too"
    )


def validation_of(model: Predictor, study: Path | None) -> tuple[ValidationScores | None, str]:
    """What a model has to choose by: out of its folder, or out of its study where that is here.

    Args:
        model: a model or an ensemble.
        study: its study; None where that is not here.

    Returns:
        the scores; or None, and why there are none, with the way out.

    Raises:
        InputError: where a file is damaged.
    """
    kept = read_validation(model.folder, model.card)
    if kept is not None:
        return kept, ""
    number = whole(model.card["study"].get("trial"), 0)
    lacks = f"{model.folder} holds no {VALIDATION_FILE}, as folders of an earlier version do not"
    if number is None:
        return None, f"{lacks}, and it is not of one trial; make the model again"
    if study is None:
        return None, f"{lacks}; name its study with --study, or make the model again"
    found = trial_validation(study, number, of_trial(number))
    if found is None:
        return None, f"{lacks}, and trial {number} of {study} left no {PREDICTIONS}"
    return found, ""
