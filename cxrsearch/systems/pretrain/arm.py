"""The arms of an ablation that learn starting weights from images without using their labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cxrsearch.equal_compute.arm import Arm
from cxrsearch.equal_compute.cell import Cell, CellRun, Fit
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.networks import models
from cxrsearch.learn.recipe import Recipe, size_of
from cxrsearch.model.pretrain_record import PRETRAINED
from search.seeds import derive

from .run import PRETRAIN_METHODS, PretrainPlan, pretrain

PRETRAIN_SHARE = 1 / 3
"""Share of the budget that goes into pre-training."""


PRETRAIN_BATCH = 64
"""Images a step of a pre-training."""


def pretrained(method: str) -> Callable[[Cell], CellRun]:
    """The network is trained without labels first, then as the baseline for what is left."""

    def train(cell: Cell) -> CellRun:
        weights = pretrained_on(cell, method, cell.data, pool_of(cell))
        return (yield from fitted_from(cell, weights))

    return train


def pool_of(cell: Cell) -> np.ndarray:
    """Rows of all images whose labels a pre-training does without: the training part's too."""
    return np.concatenate([cell.data.train, cell.unlabelled])


def portion(cell: Cell, pool: np.ndarray, images: float, name: str) -> tuple[np.ndarray, int]:
    """Which rows of ``pool``, for how many epochs, make ``images`` images in all.

    As many as can be, so that no image is seen again before all have been.
    """
    epochs = max(1, int(np.ceil(images / len(pool))))
    count = max(2, min(len(pool), round(images / epochs)))
    rng = np.random.default_rng(cell.seed_of(name))
    return np.sort(rng.choice(pool, count, replace=False)), epochs


def pretrained_on(cell: Cell, method: str, data: TrainData, pool: np.ndarray) -> Path:
    """Weights of a pre-training on rows ``pool`` of ``data``, for its share of what is left."""
    folder = cell.folder / "pretraining"
    each = passes(method, cell.recipe, len(data.label_names))
    rows, epochs = portion(cell, pool, cell.images * PRETRAIN_SHARE / each, "pool")
    cell.count(each * epochs * len(rows))
    if not (folder / PRETRAINED).is_file():  # written whole, or not at all
        _pretrain(cell, method, replace(data, train=rows), epochs)
    return folder / PRETRAINED


def fitted_from(cell: Cell, weights: Path) -> Fit:
    """The baseline from other starting weights, for what is left of the budget."""
    recipe = replace(cell.recipe, init=str(weights.resolve()))
    return (yield from cell.fit("model", recipe))


def _pretrain(cell: Cell, method: str, data: TrainData, epochs: int) -> None:
    """Train, or go on with, a pre-training on the training part of ``data``."""
    recipe, rows = cell.recipe, data.train
    plan = PretrainPlan(
        method, recipe.model, recipe.init, recipe.input_size, recipe.crop, epochs,
        batch_size=min(PRETRAIN_BATCH, len(rows)),
    )  # fmt: skip
    for _ in pretrain(
        plan, data, seed=cell.seed_of("pretraining"),
        folder=cell.folder / "pretraining", about={"trained_on": str(derive(*rows.tolist()))},
        compute=cell.config.compute,
    ):  # fmt: skip
        pass


def passes(method: str, recipe: Recipe, n_classes: int) -> float:
    """What an image of a pre-training costs, in images of the classifier's training.

    By the arithmetic of a forward pass: a decoder or an embedder comes on top of the network,
    and two views are two images.
    """
    with torch.random.fork_rng(devices=[]):
        network = models.build_model(replace(recipe, init="none"), n_classes=n_classes)
        whole = PRETRAIN_METHODS[method].around(network)
    shape = (1, *size_of(recipe.input_size))
    return PRETRAIN_METHODS[method].passes * flops(whole, shape) / flops(network, shape)


def flops(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Of a forward pass of one input of ``shape``."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.eval()(torch.zeros(1, *shape))
    total: int = counter.get_total_flops()
    return total


ARMS: dict[str, Arm] = {
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
}
