"""The arm of an ablation that shares its budget among some networks, put together in the end."""

from __future__ import annotations

import numpy as np

from cxrsearch.equal_compute.arm import Arm
from cxrsearch.equal_compute.cell import Cell, CellRun, Scores
from cxrsearch.learn.ensemble import fit, logits_of

ARM_MEMBERS = 3
"""Networks of the ensemble."""


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


ARMS: dict[str, Arm] = {
    "ensemble": Arm(
        "ensemble of 3",
        "Three networks of other seeds with a third of the budget each, weighted on validation.",
        _ensemble,
    ),
}
