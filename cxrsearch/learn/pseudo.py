"""Pseudo-labels: what a teacher says of images without a label, as far as it is believed.

A *teacher* is a model, or several whose probabilities are averaged, trained on the labelled
images. Of each label the share of the images that it puts nearest to 1 count as positives,
as large a share nearest to 0 as negatives, and the rest stay unknown (`select`). The teacher's
probabilities of all images are kept, so that share and kind can be genes of a recipe.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.labels.table_text import csv_text, image_cell, number_cell
from cxrsearch.errors import InputError
from search.files import write_text

from .calibrate import Calibration
from .recipe import SELECTING, Recipe
from .saved.arrays import load_some, save_arrays

PSEUDO_FILE, TABLE = "pseudo.npz", "pseudo.csv"
TABLE_HEAD = ("image", "disease", "label", "probability", "calibrated")
"""A teacher's probabilities, for programs; the pseudo-labels made of them, for people."""


@dataclass(frozen=True)
class Pseudo:
    """What a teacher says of images without a label.

    Args:
        names: (m,) of the images.
        scores: (m, k) float32, its probabilities.
        calibration: of these scores, on images whose labels are known.
        split: fingerprint of the split that the teacher was trained on: it has seen the images
            of its training part, and was chosen by those of its validation part.
        label_names: (k,) what the columns are.
        folder: where the images lie, when they are not among the data's own; "" when they are.
        taught: (t,) names of the labelled images that the teacher learnt from.
        taught_scores: (t, k) float32, its probabilities of these, for `distilled`.
    """

    names: NDArray[np.str_]
    scores: NDArray[np.float32]
    calibration: Calibration
    split: str
    label_names: tuple[str, ...]
    folder: str = ""
    taught: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, np.str_))
    taught_scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    @property
    def fingerprint(self) -> str:
        """16 hex digits that stand for names, scores, calibration and labels.

        Those of NIH's labels are what they were before labels had names.
        """
        digest = hashlib.sha256("\n".join(self.names.tolist()).encode("utf-8", "backslashreplace"))
        for array in (self.scores.astype(np.float32), *self.calibration):
            digest.update(np.ascontiguousarray(array).tobytes())
        if len(self.taught):
            digest.update("\n".join(self.taught.tolist()).encode("utf-8", "backslashreplace"))
            digest.update(np.ascontiguousarray(self.taught_scores, np.float32).tobytes())
        if self.label_names != DISEASES:
            digest.update("\n".join(self.label_names).encode("utf-8", "backslashreplace"))
        return digest.hexdigest()[:16]

    def taking(self, positions: NDArray[np.int64]) -> Pseudo:
        """The same of the images at ``positions`` alone."""
        return replace(self, names=self.names[positions], scores=self.scores[positions])


def teaching(
    names: NDArray[np.str_],
    scores: NDArray[np.floating],
    split: str,
    label_names: tuple[str, ...],
) -> Pseudo:
    """What a teacher says of training images, and of no image without a label.

    Args:
        names: (t,) of the images.
        scores: (t, k) its probabilities.
        split: fingerprint of the split that it was trained on.
        label_names: (k,) what the columns are.
    """
    labels = len(label_names)
    unknown = Calibration(*np.full((4, labels), np.nan))
    nobody, nothing = np.zeros(0, np.str_), np.zeros((0, labels), np.float32)
    return Pseudo(
        nobody, nothing, unknown, split, label_names,
        taught=names, taught_scores=scores.astype(np.float32),
    )  # fmt: skip


NO_TEACHER = (
    "no teacher says anything of the training images; name what `cxrsearch self-train` wrote with "
    "--pseudo (what earlier versions wrote says nothing of them)"
)
"""What is said where a recipe asks for a teacher that is not there."""


class Extra(NamedTuple):
    """Images that a recipe trains on beside the labelled ones.

    Args:
        rows: (e,) rows of the images.
        targets: (e, k) float32 in [0, 1]; NaN where nothing is known.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.float32]


def select(scores: NDArray[np.floating], share: float) -> NDArray[np.float32]:
    """The images of each label at both ends of ``scores``.

    Args:
        scores: (m, k), more is more positive.
        share: of the m images, taken at each end; one image at least, half of them at most.

    Returns:
        (m, k) 1 nearest to 1, 0 nearest to 0, NaN between.
    """
    count = len(scores)
    taken = min(max(1, round(share * count)), count // 2)
    ends = np.full(scores.shape, np.nan, np.float32)
    if taken:
        order = np.argsort(scores, axis=0, kind="stable")
        np.put_along_axis(ends, order[:taken], np.float32(0), axis=0)
        np.put_along_axis(ends, order[-taken:], np.float32(1), axis=0)
    return ends


def beyond(
    ends: NDArray[np.float32], scores: NDArray[np.floating], calibration: Calibration
) -> NDArray[np.float32]:
    """Of the ends that `select` found, those beyond the calibrated thresholds."""
    sure = ((ends == 1) & (scores >= calibration.floor)) | (
        (ends == 0) & (scores <= calibration.ceiling)
    )  # nothing is beyond a NaN
    return np.where(sure, ends, np.float32(np.nan))


def targets_of(pseudo: Pseudo, recipe: Recipe) -> NDArray[np.float32]:
    """(m, k) targets in [0, 1] that ``recipe`` makes of ``pseudo``; NaN where it makes none."""
    if recipe.pseudo not in SELECTING:
        return np.full(pseudo.scores.shape, np.nan, np.float32)
    ends = select(pseudo.scores, recipe.pseudo_share)
    if recipe.pseudo == "calibrated":
        return beyond(ends, pseudo.scores, pseudo.calibration)
    if recipe.pseudo == "soft":
        likely = pseudo.calibration.probabilities(pseudo.scores).astype(np.float32)
        return np.where(np.isnan(ends), ends, likely)
    return ends


def extra(pseudo: Pseudo | None, rows: NDArray[np.int64] | None, recipe: Recipe) -> Extra | None:
    """What ``recipe`` trains on beside the labelled images; None: nothing.

    Args:
        pseudo: what a teacher says, where there is one.
        rows: (m,) where its images are in the data.
        recipe: genes ``pseudo`` and ``pseudo_share``.

    Raises:
        InputError: where the recipe wants pseudo-labels and there are none.
    """
    if recipe.pseudo == "none":
        return None
    if pseudo is None or rows is None:
        raise InputError(
            f"pseudo: {recipe.pseudo} needs images without a label; name what "
            "`cxrsearch self-train` wrote with --pseudo, or use pseudo: none"
        )
    targets = targets_of(pseudo, recipe)
    if recipe.pseudo == "mean_teacher":
        return Extra(rows, targets)
    known = ~np.isnan(targets).all(axis=1)
    return Extra(rows[known], targets[known]) if known.any() else None


def distilled(
    marks: NDArray[np.float32], names: NDArray[np.str_], pseudo: Pseudo | None, recipe: Recipe
) -> NDArray[np.float32]:
    """Training targets, part of the way towards what a teacher says of the same images.

    Of each mark ``distill`` is the teacher's probability and the rest the mark (Hinton et al.,
    2015, section 2, at temperature 1): a loss that mixes its values for 1 and for 0 is then as
    much of agreeing with the teacher, and the rest of the label's own. What is not known stays so,
    and an image that the teacher says nothing of has its marks.

    Args:
        marks: (t, k) in [0, 1], NaN where nothing is known.
        names: (t,) of the images.
        pseudo: what a teacher says.
        recipe: gene ``distill``.

    Raises:
        InputError: where the recipe wants a teacher and none says anything of training images.
    """
    if not recipe.distill:
        return marks
    if pseudo is None or not len(pseudo.taught):
        raise InputError(f"distill: {NO_TEACHER}, or use distill: 0")
    place = {name: row for row, name in enumerate(pseudo.taught.tolist())}
    rows = np.array([place.get(name, -1) for name in names.tolist()], np.int64)
    said = np.where((rows >= 0)[:, None], pseudo.taught_scores[rows], marks)
    mixed: NDArray[np.float32] = marks + np.float32(recipe.distill) * (said - marks)
    return mixed


def save_pseudo(path: Path, pseudo: Pseudo) -> None:
    """Write ``pseudo`` to ``path`` (.npz), atomically."""
    save_arrays(
        path,
        names=np.asarray(pseudo.names, np.str_),
        scores=np.asarray(pseudo.scores, np.float32),
        calibration=np.stack(pseudo.calibration),
        split=np.array(pseudo.split),
        folder=np.array(pseudo.folder),
        label_names=np.asarray(pseudo.label_names, np.str_),
        taught=np.asarray(pseudo.taught, np.str_),
        taught_scores=np.asarray(pseudo.taught_scores, np.float32),
    )


def load_pseudo(path: Path) -> Pseudo:
    """What `save_pseudo` wrote; without names of labels they are NIH's, as they were once.

    Raises:
        InputError: where the file is missing, damaged or of another shape.
    """
    found = load_some(path, ("names", "scores", "calibration", "split", "folder"))
    scores, calibration = found["scores"], found["calibration"]
    label_names = tuple(map(str, found.get("label_names", np.array(DISEASES)).tolist()))
    wanted = (found["names"].size, len(label_names))
    if found["names"].ndim != 1 or scores.shape != wanted or calibration.shape != (4, wanted[1]):
        raise InputError(
            f"{path}: scores of shape {scores.shape} and a calibration of {calibration.shape} for "
            f"{wanted[0]} names do not fit together; make it again with `cxrsearch self-train`"
        )
    taught = found.get("taught", np.zeros(0, np.str_))
    said = found.get("taught_scores", np.zeros((0, 0), np.float32))
    if taught.ndim != 1 or (len(taught) and said.shape != (len(taught), len(label_names))):
        raise InputError(
            f"{path}: scores of shape {said.shape} for {taught.size} images that a teacher learnt "
            "from do not fit together; make it again with `cxrsearch self-train`"
        )
    numbers = scores.dtype.kind == calibration.dtype.kind == said.dtype.kind == "f"
    if not numbers or not np.isfinite(scores).all() or not np.isfinite(said).all():
        raise InputError(f"{path}: scores that are no finite numbers; make it again")
    return Pseudo(
        found["names"], scores, Calibration(*calibration), str(found["split"]),
        label_names, str(found["folder"]), taught, said,
    )  # fmt: skip


def write_table(path: Path, pseudo: Pseudo, targets: NDArray[np.float32]) -> None:
    """Write one line an image and label: its pseudo-label (0, 1 or none) and probabilities.

    Args:
        path: the CSV file; written atomically.
        pseudo: what the teacher says.
        targets: (m, k) as from `select` or `beyond`.
    """
    likely = pseudo.calibration.probabilities(pseudo.scores)
    rows = (
        [
            image_cell(name), label,
            "none" if np.isnan(targets[row, column]) else int(targets[row, column]),
            number_cell(pseudo.scores[row, column]),
            "" if np.isnan(likely[row, column]) else number_cell(likely[row, column]),
        ]
        for row, name in enumerate(pseudo.names.tolist())
        for column, label in enumerate(pseudo.label_names)
    )  # fmt: skip
    write_text(path, csv_text(TABLE_HEAD, rows))
