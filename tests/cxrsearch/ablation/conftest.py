"""A tiny network and a tiny study for whole cells within milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.data.splits import Splits
from cxrsearch.equal_compute.cell import Cell
from cxrsearch.equal_compute.plan import Plan
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.objective import TrialConfig, load_trial_data
from cxrsearch.learn.saved.arrays import Labels, save_labels
from cxrsearch.systems.gan import arm as generated
from cxrsearch.systems.pretrain import arm as unlabelled

FRAME, IMAGES, FREE = 32, 60, 20


class Drawn:
    """Pictures that are brighter the more diseases they show."""

    def __init__(self, level: dict[str, int]) -> None:
        self.level = level

    def decode(self, name: str, size: int) -> np.ndarray:
        rng = np.random.default_rng(int(name[:3]))
        noise = rng.integers(0, 80, (size, size))
        return (noise + 20 * self.level[name]).clip(0, 255).astype(np.uint8)

    def stamp(self, name: str) -> str:
        return f"{name}-{self.level[name]}"


@pytest.fixture
def make_cell(
    tmp_path: Path, tiny_model: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Cell]:
    """Cells over one set of 60 drawn pictures: 30 to train on, 15 of each other part."""
    # Beside so small a network a decoder or a GAN would cost more than the whole budget.
    monkeypatch.setattr(unlabelled, "passes", lambda method, recipe, n_classes: 2.0)
    monkeypatch.setattr(generated, "costs", lambda side, recipe, n_classes: (1.5, 0.1))
    rng = np.random.default_rng(0)
    labels = (rng.random((IMAGES, 14)) < 0.4).astype(np.uint8)
    names = tuple(f"{i:03d}.png" for i in range(IMAGES))
    patients = np.array([f"p{i // 2}" for i in range(IMAGES)])
    free = tuple(f"{i:03d}.png" for i in range(IMAGES, IMAGES + FREE))
    level = {name: int(row.sum()) for name, row in zip(names, labels, strict=True)}
    source: Any = Drawn(level | dict.fromkeys(free, 5))
    dataset = Dataset(names, labels, patients, free, source, label="drawn", source_side=FRAME)
    splits = Splits(names[:30], names[30:46], names[46:], names[30:46], seed=0)
    splits.save(tmp_path / "splits.json")
    save_labels(tmp_path / "labels.npz", Labels(np.array(names), labels, np.array(patients)))
    every = (*names, *dataset.unlabelled)
    cache = open_cache(dataset, FRAME, root=tmp_path / "cache", workers=1, names=every)
    config = TrialConfig(
        cache, tmp_path / "splits.json", tmp_path / "labels.npz", splits.fingerprint,
        ComputeOptions("cpu", 1, "float32"), objective=("Mass", "Nodule"), resamples=10,
    )  # fmt: skip
    held = {"epochs": 2, "input_size": 32, "batch_size": 10}
    genes = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}
    space = {"name": "s", "genes": genes, "fixed": held}
    plan = Plan(("baseline",), 2, {**held, "lr": 0.01}, 60, 30, 2, space, 0, FREE)

    def make(name: str = "cell", **changes: Any) -> Cell:
        data = load_trial_data(config)
        rows, free = np.arange(46, IMAGES), np.arange(IMAGES, IMAGES + FREE)
        folder = tmp_path / "trials" / name
        return Cell(replace(plan, **changes), config, data, rows, 7, folder, free)

    return make
