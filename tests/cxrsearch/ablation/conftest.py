"""A tiny network and a tiny study for whole cells within milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrsearch.ablation.cell import Cell
from cxrsearch.ablation.plan import Plan
from cxrsearch.data.cache import open_cache
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.splits import Splits
from cxrsearch.learn.arrays import save_labels
from cxrsearch.learn.trial import TrialConfig, load_trial_data

FRAME, IMAGES = 32, 60


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
def make_cell(tmp_path: Path, tiny_model: None) -> Callable[..., Cell]:
    """Cells over one set of 60 drawn pictures: 30 to train on, 15 of each other part."""
    rng = np.random.default_rng(0)
    labels = (rng.random((IMAGES, 14)) < 0.4).astype(np.uint8)
    names = tuple(f"{i:03d}.png" for i in range(IMAGES))
    patients = np.array([f"p{i // 2}" for i in range(IMAGES)])
    source: Any = Drawn({n: int(row.sum()) for n, row in zip(names, labels, strict=True)})
    dataset = Dataset(names, labels, patients, (), source, label="drawn", source_side=FRAME)
    splits = Splits(names[:30], names[30:46], names[46:], names[30:46], seed=0)
    splits.save(tmp_path / "splits.json")
    save_labels(tmp_path / "labels.npz", names, labels, patients)
    cache = open_cache(dataset, FRAME, root=tmp_path / "cache", workers=1)
    config = TrialConfig(
        cache, tmp_path / "splits.json", tmp_path / "labels.npz", splits.fingerprint,
        device="cpu", diseases=("Mass", "Nodule"), resamples=10, precision="float32", threads=1,
    )  # fmt: skip
    held = {"epochs": 2, "input_size": 32, "batch_size": 10}
    genes = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}
    space = {"name": "s", "genes": genes, "fixed": held}
    plan = Plan(("baseline",), 2, {**held, "lr": 0.01}, 60, 30, 2, space, seed=0)

    def make(name: str = "cell", **changes: Any) -> Cell:
        data = load_trial_data(config)
        rows = np.arange(46, IMAGES)
        return Cell(replace(plan, **changes), config, data, rows, 7, tmp_path / "trials" / name)

    return make
