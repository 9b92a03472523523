"""The arms of an ablation: what is compared with the baseline, one system each.

A system's arm lies in its folder (`cxrsearch.systems`); here are those that only change the recipe
or search it. An arm is a generator that trains a `Cell` within its budget and returns `Scores`.
Compute is counted by `Cell.fit` and, for what is no fit, by `Cell.count`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cxrsearch.equal_compute.arm import Arm, changed
from cxrsearch.equal_compute.cell import Cell, CellRun, Scores
from cxrsearch.equal_compute.plan import Plan
from cxrsearch.learn.recipe import AUGMENTATION, group_of
from cxrsearch.systems import ARM, modules

from .searching import FoundBySearch, scores_of, search

BASELINE = "baseline"

CROP = {"crop": "600x800"}
AUGMENTED = {
    gene: limits["report"] for gene, limits in group_of(AUGMENTATION).items() if "report" in limits
}
TEAM = 5
"""Trials of a search that are put together."""
PROPORTIONAL = {"train_seed": 0.5, "balance": 1.0}
"""The report's own values; of seed & proportional data a middle share and full balance."""


def _half(cell: Cell) -> CellRun:
    return (yield from cell.fit("model", cell.recipe, cell.images / 2))


def _searched(sampler: str) -> Callable[[Cell], CellRun]:
    """Trials of a search, then the best one's recipe for what is left of the budget."""

    def train(cell: Cell) -> CellRun:
        found: FoundBySearch = yield from search(cell, sampler)
        return (yield from cell.fit("winner", found.recipe))

    return train


def _own_trials(cell: Cell) -> CellRun:
    """All of the budget for the trials of a search, and their best put together.

    What ``train --ensemble`` does: the trials' weights are there, so nothing is charged for them
    again.
    """
    found: FoundBySearch = yield from search(cell, "genetic", share=1.0, keep=True)
    members = [scores_of(cell, number) for number in found.best[:TEAM]]
    cell.notes.append(f"ensemble of the search's best {len(members)} trials")
    val, test = (np.stack(each) for each in zip(*((m.val, m.test) for m in members), strict=True))
    return Scores(val.mean(axis=0), test.mean(axis=0))


def _no_weights(plan: Plan) -> str | None:
    return None if plan.recipe.init != "none" else "the baseline starts from random weights already"


_SYSTEMS: dict[str, Arm] = {
    name: arm for module in modules(ARM) for name, arm in module.ARMS.items()
}

ARMS: dict[str, Arm] = {
    BASELINE: Arm(
        "baseline",
        "The whole image, no augmentation, every image once an epoch.",
        changed(),
    ),
    "crop": Arm(
        "+ crop",
        "The report's central window of 600 x 800 out of 1024 x 1024, at the same input size.",
        changed(**CROP),
    ),
    "augmentation": Arm(
        "+ augmentation",
        "The report's rotation by 10 degrees, shifts by 0.05, shear and zoom of 0.04, and flip.",
        changed(**AUGMENTED),
    ),
    "proportional": Arm(
        "+ seed & proportional",
        "Half of the images an epoch, every label equally likely to be drawn; twice the epochs.",
        changed(**PROPORTIONAL),
    ),
    "report": Arm(
        "+ crop, augmentation, seed & proportional",
        "The three together, as the report had them in the end.",
        changed(**CROP, **AUGMENTED, **PROPORTIONAL),
    ),
    "scratch": Arm(
        "random weights",
        "The baseline without its pretrained weights.",
        changed(init="none"),
        _no_weights,
    ),
    **_SYSTEMS,
    "half": Arm(
        "baseline, half the budget",
        "What the winner of a search is trained with: the price of searching.",
        _half,
    ),
    "ga": Arm(
        "searched by GA",
        "Half of the budget for short trials of the genetic algorithm, half for their best recipe.",
        _searched("genetic"),
    ),
    "ga-ensemble": Arm(
        "GA's own trials together",
        "All of the budget for trials of the genetic algorithm, the five best of which are put "
        "together: their weights are there, and cost nothing again.",
        _own_trials,
    ),
    "tpe": Arm(
        "searched by TPE",
        "Half of the budget for short trials of Optuna's TPE, half for their best recipe.",
        _searched("tpe"),
    ),
}
"""Every arm by its name, in the order in which they are shown and trained."""
