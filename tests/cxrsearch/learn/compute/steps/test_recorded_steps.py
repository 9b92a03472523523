"""Whole steps of trainings, recorded without a GPU: their operators on a tape that is played again.

As in a CUDA graph, what comes of the host is on it as it was: a number that Python computed, a
branch that it took. What waits for the device, or copies from the host's memory, is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cxrsearch.learn.augment import draws
from cxrsearch.learn.calibrate import Calibration
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.compute.steps.cuda_graphs import WARM_UPS
from cxrsearch.learn.compute.steps.loss_scale import FIRST_SCALE
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.pseudo import Pseudo
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved import checkpoint
from cxrsearch.learn.student import Student

pytestmark = pytest.mark.usefixtures("tiny_model")

WAITS = (
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal",
    "aten::lift_fresh", "aten::_unique2", "aten::repeat_interleave.Tensor",
)  # fmt: skip


class Tape(TorchDispatchMode):
    """Notes all operators within, and runs them."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[Any, Any, Any, list[Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, given = func.name(), kwargs or {}
        masks = name.startswith("aten::index") and any(
            isinstance(leaf, Tensor) and leaf.dtype in (torch.bool, torch.uint8)
            for leaf in tree_leaves(args[1:2])
        )
        if name.startswith(WAITS) or (masks and "index_select" not in name):
            raise RuntimeError(f"{name}: not permitted when stream is capturing")
        out = func(*args, **given)
        if not func.is_view:
            self.notes.append((func, args, given, tree_leaves(out)))
        return out

    @torch.no_grad()
    def play(self) -> None:
        """Compute again, into the same memory."""
        for func, args, given, before in self.notes:
            for old, new in zip(before, tree_leaves(func(*args, **given)), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Taped:
    """A `Recording` that is a tape."""

    def __init__(
        self,
        function: Callable[[], Tensor],
        generators: Callable[[], list[torch.Generator]],
        pool: object,
    ) -> None:
        for _ in range(WARM_UPS):
            function()
        self.generators, self._tape = generators(), Tape()
        with pytest.MonkeyPatch.context() as patch, self._tape:
            patch.setattr(draws, "recording", lambda device: True)
            self.result = function()

    def replay(self) -> None:
        """Play the tape."""
        self._tape.play()


@pytest.fixture
def data(make_study: Callable[..., Any]) -> TrainData:
    """A study whose test images have a teacher's scores."""
    found: TrainData = make_study().data
    rows = np.arange(28, 36)
    scores = np.random.default_rng(0).random((8, 14)).astype(np.float32)
    line = Calibration(np.ones(14), np.zeros(14), np.full(14, 0.6), np.full(14, 0.4))
    pseudo = Pseudo(found.names[rows], scores, line, found.split, found.label_names)
    return replace(found, pseudo=pseudo, pseudo_rows=rows)


BASE = Recipe(
    epochs=4, batch_size=7, input_size=32, optimizer="sgd", momentum=0.9, lr=0.01,
    schedule="cosine", rotation=10.0, zoom=0.1, horizontal_flip=True, brightness=0.2, dropout=0.1,
)  # fmt: skip
RECIPES = {
    "ranges": BASE,
    "averaged": replace(BASE, ema=0.9),
    "adam": replace(BASE, ema=0.9, optimizer="adam"),
    "measured": replace(BASE, ema=0.9, ema_norms="measured", optimizer="adamw", layer_decay=0.7),
    "tail": replace(BASE, swa=0.5),
    "trivial": replace(BASE, trivial=0.8),
    "erasing": replace(BASE, erasing=0.5),
    "mixup": replace(BASE, mix="mixup", loss="focal"),
    "cutmix": replace(BASE, mix="cutmix", loss="asymmetric"),
    "mosaic": replace(BASE, mix="mosaic", loss="weighted_bce", label_smoothing=0.1),
    "ranks": replace(BASE, loss="auc_margin"),
    "grows": replace(BASE, input_size=48, start_size=0.5),
    "hard": replace(BASE, pseudo="hard", mix="mixup"),
    "mean teacher": replace(BASE, pseudo="mean_teacher", pseudo_weight=10.0, ema=0.5, lr=0.1),
}


def taped(recipe: Recipe, data: TrainData, **compute: Any) -> Learner:
    """A learner whose steps, where they are recorded, are on a tape."""
    make = Student if recipe.pseudo != "none" else Learner
    options = ComputeOptions("cpu", **{"precision": "float32", **compute})
    learner = make(recipe, data, seed=3, compute=options)
    if learner._graphed is not None:
        learner._graphed._record = Taped
    return learner


def trained(recipe: Recipe, data: TrainData, **compute: Any) -> tuple[Learner, list[float]]:
    """A learner after its epochs, and their losses."""
    learner = taped(recipe, data, **compute)
    return learner, [learner.epoch(number) for number in range(1, recipe.epochs + 1)]


@pytest.mark.parametrize("precision", ["float32", "fp16"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_recorded_training_is_the_eager_one(data: TrainData, name: str, precision: str) -> None:
    recipe = RECIPES[name]
    eager, losses = trained(recipe, data, precision=precision, steps="eager")
    replayed, found = trained(recipe, data, precision=precision, steps="graph")
    assert replayed.notes == eager.notes
    assert replayed._graphed is not None
    assert len(replayed._graphed._graphs) >= len({p.stop - p.start for p in replayed.pieces})
    assert found == pytest.approx(losses, rel=1e-3)
    wanted = eager.weights() if recipe.optimizer == "sgd" else {}
    for key, value in replayed.weights().items() if wanted else ():  # Adam's make much of roundings
        torch.testing.assert_close(value, wanted[key], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("early", [True, False])
def test_a_checkpoint_without_a_scale_goes_on_from_the_first(data: TrainData, early: bool) -> None:
    """It is of an early version, or began in another precision."""
    learner = Learner(BASE, data, seed=3, compute=ComputeOptions("cpu", precision="fp16"))
    assert learner.scale is not None
    state = {**learner.state(), "scale": None}
    if early:
        del state["scale"]
    learner.load_state(state)
    assert learner.scale.now() == FIRST_SCALE


@pytest.mark.parametrize("precision", ["float32", "fp16"])
@pytest.mark.parametrize("name", ["averaged", "mean teacher"])
def test_a_recorded_training_goes_on_from_its_checkpoint(
    data: TrainData, name: str, precision: str, tmp_path: Path
) -> None:
    recipe = RECIPES[name]
    whole, losses = trained(recipe, data, precision=precision, steps="graph")
    first = taped(recipe, data, precision=precision, steps="graph")
    found = [first.epoch(1), first.epoch(2)]
    checkpoint.save(tmp_path / "state", first.state())
    second = taped(recipe, data, precision=precision, steps="graph")
    second.load_state(checkpoint.load(tmp_path / "state"))
    found += [second.epoch(3), second.epoch(4)]
    assert found == pytest.approx(losses, rel=1e-5)
    wanted = whole.weights()
    for key, value in second.weights().items():
        torch.testing.assert_close(value, wanted[key], rtol=1e-4, atol=1e-5)
