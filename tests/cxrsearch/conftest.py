"""A tiny set of drawn X-rays and a tiny space, shared by the tests of the application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrsearch.cli import main
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.data.splits import Splits
from cxrsearch.learn.data import TrainData, make_data
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import Labels, save_labels
from cxrsearch.phantom.dataset import phantom_dataset, write_phantom

SPACE = """
name: tiny
genes:
  lr: {low: 1.0e-4, high: 1.0e-2, log: true}
  balance: {low: 0.0, high: 1.0}
  horizontal_flip: {choices: [false, true]}
  rotation: {low: 0.0, high: 10.0}
fixed:
  model: densenet121
  input_size: 32
  epochs: 1
  batch_size: 16
"""


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep decoded images out of the user's cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("CXRSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _one_core() -> Iterator[None]:
    """With one core there is nothing to measure before a search, and trainings have one thread."""
    patch = pytest.MonkeyPatch()
    for module in ("cost.sharing", "folder", "one_recipe"):
        patch.setattr(f"cxrsearch.study.{module}.detect_cpus", lambda: 1)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def xrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 80 labelled and 4 unlabelled drawn X-rays, as NIH would ship them."""
    folder = tmp_path_factory.mktemp("xrays") / "data"
    write_phantom(folder, phantom_dataset(images=80, unlabelled=4, seed=3), side=48)
    return folder


@pytest.fixture(scope="session")
def tiny_space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space whose trials take a second."""
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(SPACE)
    return path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line as a user would; gives exit code, output and errors."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["cxrsearch", *map(str, words)])
        code: int = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="session")
def tiny_builder() -> Callable[..., Any]:
    """What builds a network of two layers. Only who asks for it waits for torch."""
    from torch import Tensor, nn

    from cxrsearch.learn.networks.architectures import NetworkParts
    from cxrsearch.learn.networks.head import DropoutLinear
    from cxrsearch.learn.networks.stem import GreyStem

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

    def build(n_classes: int, *, dropout: float) -> NetworkParts:
        net = TinyNet(n_classes, dropout)
        return NetworkParts(net, [[net.stem, net.norm], [net.conv]], "stem", TinyNet.features)

    return build


@pytest.fixture
def tiny_model(tiny_builder: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called densenet121 becomes a network of two layers."""
    from cxrsearch.learn.networks import models

    monkeypatch.setitem(models.NETWORKS, "densenet121", tiny_builder)


@pytest.fixture(scope="module")
def tiny_model_throughout(tiny_builder: Callable[..., Any]) -> Iterator[None]:
    """`tiny_model`, for what is made once for the tests of a module."""
    from cxrsearch.learn.networks import models

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.NETWORKS, "densenet121", tiny_builder)
        yield


@pytest.fixture(scope="session")
def _finished_study(
    xrays: Path,
    tiny_space: Path,
    tiny_builder: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    from cxrsearch.learn.networks import models
    from cxrsearch.study.experiment import Settings, search

    settings = Settings(
        data=str(xrays), space=str(tiny_space), trials=3, population=2, runner="serial", seed=1
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.NETWORKS, "densenet121", tiny_builder)
        return search(settings, tmp_path_factory.mktemp("studies") / "finished")


@pytest.fixture
def finished_study(_finished_study: Path, tiny_model: None) -> Path:
    """A study of three trials of the tiny network, which the test then has too.

    Run once, by the serial runner. Read only: copy it to change it.
    """
    return _finished_study


# A small study, with which whole trainings of the small network take milliseconds.

FRAME, IMAGES = 40, 36


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
        save_labels(folder / "labels.npz", Labels.of(dataset))
        cache = open_cache(dataset, FRAME, root=tmp_path / "cache", workers=1)
        data = make_data(cache, Labels.of(dataset), splits)
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
