"""A model for each label: one head and recipe a label, with a backbone each or one for all."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cxrsearch.data.labels.names import folder_part
from cxrsearch.data.marks import known, present
from cxrsearch.equal_compute.arm import Arm
from cxrsearch.equal_compute.cell import SCORES, Cell, CellRun, Fitted, Scores
from cxrsearch.learn.compute.isolate import isolated
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import load_arrays, save_arrays
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.model.folder import stored_weights
from search.objective import Step

from .heads import Head, best_head, features_of, own_head

HEADS = "heads"


def one_each(
    cell: Cell, recipes: Mapping[int, Recipe] | None = None, keep: bool = False
) -> Generator[Step, None, tuple[Scores, dict[int, Fitted]]]:
    """A network for each label of the objective, each with an equal share of the budget.

    Each learns its label alone (the loss is over one output) and keeps the epoch that is best
    for it on validation. Labels that the objective leaves out score 0.

    Args:
        cell: budget, data and seed.
        recipes: by label (its column); the baseline's where it is not named.
        keep: whether the weights stay.

    Returns:
        the scores put together, and each label's fit.
    """
    columns, names = cell.data.columns, cell.data.label_names
    share = cell.images / len(columns)
    val, test = _empty(cell)
    fits = {}
    for column in columns:
        data = replace(cell.data, columns=(column,), learnt=(column,))
        recipe = (recipes or {}).get(column, cell.recipe)
        fitted = yield from cell.fit(
            folder_part(names[column], column), recipe, share, seed=cell.seed_of(names[column]),
            data=data, keep=keep,
        )  # fmt: skip
        val[:, column], test[:, column] = fitted.val[:, column], fitted.test[:, column]
        fits[column] = fitted
    return Scores(val, test), fits


def shared_backbone(cell: Cell) -> CellRun:
    """The joint model, then a head for each label on its frozen features.

    Taking the features counts as a third of an image-step for each training image; fitting the
    heads, which takes seconds, does not count.
    """
    features = cell.forward(len(cell.data.train))
    joint = yield from cell.fit("joint", cell.recipe, max(1.0, cell.images - features), keep=True)
    scores, _ = on_frozen(cell, joint)
    cell.count(features)
    cell.forget("joint")
    return scores


def on_frozen(cell: Cell, joint: Fitted) -> tuple[Scores, dict[str, dict[str, Any] | None]]:
    """Scores of one head a label on the features of ``joint``; kept, and not fitted twice.

    Returns:
        the scores, and by label what its head was fitted with (None: the joint model's own).
    """
    folder: Path = cell.folder / HEADS
    if not (folder / SCORES).is_file():
        val, test, chosen = _heads(cell, joint)
        save_arrays(
            folder / SCORES, val=val, test=test,
            penalty=np.array([head.recipe.penalty if head.recipe else np.nan for head in chosen]),
            balanced=np.array([bool(head.recipe and head.recipe.balanced) for head in chosen]),
            weights=np.stack([head.weights for head in chosen]),
            bias=np.array([head.bias for head in chosen]),
        )  # fmt: skip
    found = load_arrays(folder / SCORES, ("val", "test", "penalty", "balanced"))
    chosen_by: dict[str, dict[str, Any] | None] = {
        cell.data.label_names[column]: None
        if np.isnan(penalty)
        else {"penalty": float(penalty), "balanced": bool(balanced)}
        for column, penalty, balanced in zip(
            cell.data.columns, found["penalty"], found["balanced"], strict=True
        )
    }
    return Scores(found["val"], found["test"]), chosen_by


def replaced_heads(cell: Cell, joint: Fitted) -> dict[str, Tensor]:
    """The weights of ``joint`` with the heads that `on_frozen` chose in the place of its own."""
    found = load_arrays(cell.folder / HEADS / SCORES, ("weights", "bias"))
    state = stored_weights(joint.folder / BEST)
    last = [name for name in state if name.endswith("weight") and state[name].ndim == 2][-1]
    columns = torch.tensor(cell.data.columns)
    for name, array in ((last, "weights"), (last.removesuffix("weight") + "bias", "bias")):
        state[name][columns] = torch.from_numpy(found[array]).to(state[name].dtype)
    return state


def _heads(cell: Cell, joint: Fitted) -> tuple[np.ndarray, np.ndarray, list[Head]]:
    data = cell.data
    with isolated(cell.config.compute, cell.seed):
        model = cell.model(joint.recipe, joint.folder / BEST)
        train, val, test = (
            features_of(model, data.images, rows) for rows in (data.train, data.val, cell.test)
        )
    scores = _empty(cell)
    chosen = []
    for column in data.columns:
        sides = [
            _known(features, data.labels[rows][:, column])
            for features, rows in ((train, data.train), (val, data.val))
        ]
        head = best_head(own_head(model.network, column), *sides)
        scores[0][:, column], scores[1][:, column] = head.score(val), head.score(test)
        chosen.append(head)
    return *scores, chosen


def _known(features: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features and truth of the images of which a label is known."""
    there = known(marks)
    some = features if there.all() else features[there]
    return some, present(marks[there])


def _empty(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Scores of 0 for the validation and the test images."""
    width = len(cell.data.label_names)
    val = np.zeros((len(cell.data.val), width), np.float32)
    return val, np.zeros((len(cell.test), width), np.float32)


def _singles(cell: Cell) -> CellRun:
    scores, _ = yield from one_each(cell)
    return scores


ARMS: dict[str, Arm] = {
    "per-disease": Arm(
        "a network per label",
        "One network for each label, an equal share of the budget each.",
        _singles,
    ),
    "per-disease-shared": Arm(
        "a head per label",
        "The joint network, then for each label a head of its own on the frozen features.",
        shared_backbone,
    ),
}
