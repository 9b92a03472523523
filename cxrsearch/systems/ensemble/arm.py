"""The arms of an ablation that predict by more than one look: several networks, several views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cxrsearch.equal_compute.arm import Arm
from cxrsearch.equal_compute.cell import Cell, CellRun, Scores
from cxrsearch.learn.compute.isolate import isolated
from cxrsearch.learn.ensemble import fit, logits_of
from cxrsearch.learn.saved.arrays import load_arrays, save_arrays
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.model.views import SHIFTED, views

ARM_MEMBERS = 3
"""Networks of the ensemble."""
VIEWED = "viewed.npz"
"""What is said of both parts by several views."""


def _ensemble(cell: Cell) -> CellRun:
    """Some networks with a share of the budget each, weighted on validation."""
    share, members = cell.images / ARM_MEMBERS, []
    for index in range(ARM_MEMBERS):
        name = f"member-{index}"
        members.append((yield from cell.fit(name, cell.recipe, share, seed=cell.seed_of(name))))
    data, rows = cell.data, cell.data.val
    val = np.stack([logits_of(member.val) for member in members])
    found = fit(
        val, data.labels[rows], data.patients[rows], "auto", columns=data.columns, seed=cell.seed
    )
    cell.notes.append(f"ensemble: {found.method} of {ARM_MEMBERS}")
    test = np.stack([logits_of(member.test) for member in members])
    return Scores(found.apply(val).astype(np.float32), found.apply(test).astype(np.float32))


def _viewed(cell: Cell) -> CellRun:
    """The baseline, which says the mean over small shifts. What is charged for is scoring: each
    view beyond the plain one takes the images of both parts forward."""
    seen = len(views(SHIFTED, cell.data.images.shape[1], cell.recipe.crop))
    rows = {"val": cell.data.val, "test": cell.test}
    looks = cell.forward((seen - 1) * sum(map(len, rows.values())))
    cell.count(looks)
    fitted = yield from cell.fit("model", cell.recipe, keep=True)
    path = fitted.folder / VIEWED
    if not path.is_file():
        model = replace(cell.model(fitted.recipe, fitted.folder / BEST), tta=SHIFTED)
        with isolated(cell.config.compute, cell.seed):
            found = {part: model.predict(cell.data.images, each) for part, each in rows.items()}
        save_arrays(path, **found)
    cell.forget("model")
    scores = load_arrays(path, tuple(rows))
    return Scores(scores["val"], scores["test"])


ARMS: dict[str, Arm] = {
    "ensemble": Arm(
        "ensemble of 3",
        "Three networks of other seeds with a third of the budget each, weighted on validation.",
        _ensemble,
    ),
    "views": Arm(
        "+ small shifts when predicting",
        "The baseline says the mean over five views of an image: as it is, and a little moved.",
        _viewed,
    ),
}
