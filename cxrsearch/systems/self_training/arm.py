"""The self-training arm of an ablation: a teacher, pseudo-labels, a student, within the budget."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cxrsearch.equal_compute.arm import Arm
from cxrsearch.equal_compute.cell import Cell, CellRun, Fitted
from cxrsearch.equal_compute.plan import Plan
from cxrsearch.learn.pseudo import Pseudo, load_pseudo, save_pseudo

from .stages import Teacher, student_of, teach

TEACHER_SHARE = 1 / 2
"""Share of the budget that trains the teacher; labelling and the student have the rest."""

PSEUDO_SHARE = 0.05
"""The report's: of the unlabelled images, those nearest to 0 and to 1."""

WANTED_PRECISION = 0.8
"""What the calibrated thresholds are to reach; the hard labels of the report take none."""


def self_trained(cell: Cell) -> CellRun:
    """A teacher labels what it is surest of among the unlabelled images, a student learns all.

    The report's way: of each label the 5% nearest to 1 count as positives, the 5% nearest to 0
    as negatives.
    """
    data, rows = cell.data, cell.unlabelled
    seed = cell.seed_of("teacher")
    teacher = yield from cell.fit(
        "teacher", cell.recipe, cell.images * TEACHER_SHARE, seed=seed, keep=True
    )
    cell.count(cell.forward(len(rows)))
    path = cell.folder / "pseudo.npz"
    names = data.names[rows]
    if not path.is_file():
        save_pseudo(path, _labelled(cell, teacher, seed, names))
    pseudo = load_pseudo(path)
    cell.forget("teacher")
    recipe = student_of(cell.recipe, "hard", PSEUDO_SHARE, 1.0)
    taught = replace(data, pseudo=pseudo, pseudo_rows=rows)
    return (yield from cell.fit("student", recipe, data=taught))


def _labelled(cell: Cell, teacher: Fitted, seed: int, names: np.ndarray) -> Pseudo:
    one = Teacher(0, teacher.recipe, seed, teacher.folder)
    scores, calibration = teach(
        [one], cell.data, cell.unlabelled, cell.config.compute, WANTED_PRECISION
    )
    return Pseudo(names, scores, calibration, cell.data.split, label_names=cell.data.label_names)


def _no_images(plan: Plan) -> str | None:
    return None if plan.unlabelled else "there are no images without a label"


ARMS: dict[str, Arm] = {
    "self-training": Arm(
        "+ self-training",
        "Half of the budget for a teacher; its surest 5% of the unlabelled images at each end "
        "join a student's training.",
        self_trained,
        _no_images,
    ),
}
