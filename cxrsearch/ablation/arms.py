"""The arms of an ablation: what is compared with the baseline, one system each.

To add one, write a generator that trains a `Cell` within its budget and returns `Scores`, and
enter it in `ARMS`. Compute is counted by `Cell.fit` and, for what is no fit, by `Cell.count`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cxrsearch.equal_compute.cell import Answer, Cell, Scores
from cxrsearch.equal_compute.plan import Plan
from cxrsearch.learn.ensemble import fit, logits_of
from cxrsearch.learn.recipe import AUGMENTATION, Recipe, group_of
from cxrsearch.systems.gan.arm import generated
from cxrsearch.systems.per_disease.arm import one_each, shared_backbone
from cxrsearch.systems.pretrain.arm import pretrained
from cxrsearch.systems.self_training.arm import self_trained

from .searching import search

BASELINE = "baseline"

MEMBERS = 3
"""Networks of the ensemble."""

CROP = {"crop": "600x800"}
AUGMENTED = {
    gene: limits["report"] for gene, limits in group_of(AUGMENTATION).items() if "report" in limits
}
PROPORTIONAL = {"train_seed": 0.5, "balance": 1.0}
"""The report's own values; of seed & proportional data a middle share and full balance."""


def _anywhere(plan: Plan) -> str | None:
    return None


@dataclass(frozen=True)
class Arm:
    """One system.

    Args:
        title: its name for people.
        sentence: what it does, in one sentence.
        train: trains a cell and returns its scores.
        missing: why it cannot be had with this plan, or None.
    """

    title: str
    sentence: str
    train: Callable[[Cell], Answer]
    missing: Callable[[Plan], str | None] = _anywhere


def _recipe(**changes: Any) -> Callable[[Cell], Answer]:
    """The baseline with some genes changed, for the whole budget."""

    def train(cell: Cell) -> Answer:
        return (yield from cell.fit("model", replace(cell.recipe, **changes)))

    return train


def _half(cell: Cell) -> Answer:
    return (yield from cell.fit("model", cell.recipe, cell.images / 2))


def _ensemble(cell: Cell) -> Answer:
    """Some networks with a share of the budget each, weighted on validation."""
    share, members = cell.images / MEMBERS, []
    for index in range(MEMBERS):
        name = f"member-{index}"
        members.append((yield from cell.fit(name, cell.recipe, share, seed=cell.seed_of(name))))
    data, rows = cell.data, cell.data.val
    val = np.stack([logits_of(member.val) for member in members])
    found = fit(
        val, data.labels[rows], data.patients[rows], "auto", columns=data.columns, seed=cell.seed
    )
    cell.notes.append(f"ensemble: {found.method} of {MEMBERS}")
    test = np.stack([logits_of(member.test) for member in members])
    return Scores(found.apply(val).astype(np.float32), found.apply(test).astype(np.float32))


def _singles(cell: Cell) -> Answer:
    scores, _ = yield from one_each(cell)
    return scores


def _searched(sampler: str) -> Callable[[Cell], Answer]:
    """Trials of a search, then the best one's recipe for what is left of the budget."""

    def train(cell: Cell) -> Answer:
        recipe: Recipe = yield from search(cell, sampler)
        return (yield from cell.fit("winner", recipe))

    return train


def _no_weights(plan: Plan) -> str | None:
    return None if plan.recipe.init != "none" else "the baseline starts from random weights already"


def _no_images(plan: Plan) -> str | None:
    return None if plan.unlabelled else "there are no images without a label"


ARMS: dict[str, Arm] = {
    BASELINE: Arm(
        "baseline",
        "The whole image, no augmentation, every image once an epoch.",
        _recipe(),
    ),
    "crop": Arm(
        "+ crop",
        "The report's central window of 600 x 800 out of 1024 x 1024, at the same input size.",
        _recipe(**CROP),
    ),
    "augmentation": Arm(
        "+ augmentation",
        "The report's rotation by 10 degrees, shifts by 0.05, shear and zoom of 0.04, and flip.",
        _recipe(**AUGMENTED),
    ),
    "proportional": Arm(
        "+ seed & proportional",
        "Half of the images an epoch, every disease equally likely to be drawn; twice the epochs.",
        _recipe(**PROPORTIONAL),
    ),
    "report": Arm(
        "+ crop, augmentation, seed & proportional",
        "The three together, as the report had them in the end.",
        _recipe(**CROP, **AUGMENTED, **PROPORTIONAL),
    ),
    "scratch": Arm(
        "random weights",
        "The baseline without its pretrained weights.",
        _recipe(init="none"),
        _no_weights,
    ),
    "autoencoder": Arm(
        "+ auto-encoder",
        "A third of the budget trains the network to draw its input, labels unused.",
        pretrained("autoencoder"),
    ),
    "contrastive": Arm(
        "+ contrastive pre-training",
        "A third of the budget brings two views of an image together (VICReg), labels unused.",
        pretrained("contrastive"),
    ),
    "gan": Arm(
        "+ GAN, auto-encoder",
        "A quarter of the budget trains a GAN, which draws as many images as there are real ones; "
        "a third of the rest trains the auto-encoder on both.",
        generated,
    ),
    "self-training": Arm(
        "+ self-training",
        "Half of the budget for a teacher; its surest 5% of the unlabelled images at each end "
        "join a student's training.",
        self_trained,
        _no_images,
    ),
    "per-disease": Arm(
        "a network per disease",
        "One network for each disease, an equal share of the budget each.",
        _singles,
    ),
    "per-disease-shared": Arm(
        "a head per disease",
        "The joint network, then for each disease a head of its own on the frozen features.",
        shared_backbone,
    ),
    "ensemble": Arm(
        "ensemble of 3",
        "Three networks of other seeds with a third of the budget each, weighted on validation.",
        _ensemble,
    ),
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
    "tpe": Arm(
        "searched by TPE",
        "Half of the budget for short trials of Optuna's TPE, half for their best recipe.",
        _searched("tpe"),
    ),
}
"""Every arm by its name, in the order in which they are shown and trained."""
