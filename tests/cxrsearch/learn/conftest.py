"""A small network and a small study, so that whole trainings take milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from cxrsearch.data.cache import open_cache
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.splits import Splits
from cxrsearch.learn import models
from cxrsearch.learn.arrays import save_labels
from cxrsearch.learn.data import TrainData, make_data
from cxrsearch.learn.models import DropoutLinear, Parts
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.stem import GreyStem

FRAME, IMAGES = 40, 36


class TinyNet(nn.Module):
    def __init__(self, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.stem = GreyStem(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False))
        self.norm = nn.BatchNorm2d(8)
        self.conv = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.classifier = DropoutLinear(8, n_classes, dropout)

    def features(self, grey: Tensor) -> Tensor:
        maps: Tensor = self.conv(self.norm(self.stem(grey)).relu()).relu()
        return maps

    def forward(self, grey: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(grey).mean(dim=(2, 3)))
        return out


@pytest.fixture
def tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called densenet121 becomes a network of two layers."""

    def build(recipe: Recipe, n_classes: int) -> Parts:
        net = TinyNet(n_classes, recipe.dropout)
        return Parts(net, [[net.stem, net.norm], [net.conv]], "stem", TinyNet.features)

    monkeypatch.setitem(models.MODELS, "densenet121", build)


@dataclass(frozen=True)
class DrawnSource:
    """Pictures whose brightness goes with whether the image is sick."""

    sick: dict[str, bool]

    def decode(self, name: str, size: int) -> np.ndarray:
        rng = np.random.default_rng(int(name[:3]))
        noise = rng.integers(0, 60, (size, size))
        return (noise + 120 * self.sick[name]).astype(np.uint8)

    def stamp(self, name: str) -> str:
        return f"{name}-{self.sick[name]}"


def make_dataset(images: int = IMAGES) -> Dataset:
    names = tuple(f"{i:03d}_{i % 2}.png" for i in range(images))
    rng = np.random.default_rng(0)
    sick = np.arange(images) % 3 == 0
    labels = ((rng.random((images, 14)) < 0.5) & sick[:, None]).astype(np.uint8)
    labels[sick, 0] = 1
    labels[:, 13] = 0  # Hernia has no positives
    patients = np.array([f"p{i // 2}" for i in range(images)])
    source = DrawnSource(dict(zip(names, sick.tolist(), strict=True)))
    return Dataset(names, labels, patients, (), source, label="drawn", source_side=FRAME)


@dataclass(frozen=True)
class Study:
    """A study's files and data, as `experiment` would have made them."""

    folder: Path
    dataset: Dataset
    splits: Splits
    data: TrainData

    @property
    def splits_path(self) -> Path:
        return self.folder / "splits.json"

    @property
    def labels_path(self) -> Path:
        return self.folder / "labels.npz"


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Study]:
    def make(val_seed: int = 8) -> Study:
        dataset = make_dataset()
        names = dataset.names
        splits = Splits(names[:16], names[16:28], names[28:], names[16 : 16 + val_seed], seed=0)
        folder = tmp_path / "study"
        folder.mkdir(exist_ok=True)
        splits.save(folder / "splits.json")
        save_labels(folder / "labels.npz", names, dataset.labels, dataset.patients)
        cache = open_cache(dataset, FRAME, root=tmp_path / "cache", workers=1)
        data = make_data(cache, (np.array(names), dataset.labels, dataset.patients), splits)
        return Study(folder, dataset, splits, data)

    return make


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study()


@pytest.fixture
def recipe() -> Recipe:
    """Everything on that holds state or draws numbers."""
    return Recipe(
        epochs=3, batch_size=5, input_size=32, dropout=0.3, ema=0.9, optimizer="sgd", lr=0.05,
        schedule="onecycle", rotation=10.0, zoom=0.1, horizontal_flip=True, contrast=0.2,
        train_seed=0.8, balance=0.5, loss="focal", label_smoothing=0.1,
    )  # fmt: skip
