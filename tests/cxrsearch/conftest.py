"""A tiny set of drawn X-rays and a tiny space, shared by the tests of the application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torch import Tensor, nn

from cxrsearch.cli import main
from cxrsearch.data.phantom import phantom_dataset, write_phantom
from cxrsearch.learn import models
from cxrsearch.learn.models import Parts
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.stem import GreyStem

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
    """With one core there is nothing to measure before a search, and a trial has one thread."""
    patch = pytest.MonkeyPatch()
    patch.setattr("cxrsearch.sharing.detect_cpus", lambda: 1)
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


class SmallNet(nn.Module):
    """Two convolutions and a layer."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = GreyStem(nn.Conv2d(3, 8, 3, stride=4, padding=1, bias=False))
        self.norm = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, n_classes)

    def features(self, grey: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.stem(grey)).relu()
        return maps

    def forward(self, grey: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(grey).mean(dim=(2, 3)))
        return out


@pytest.fixture
def small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called densenet121 becomes a network of one convolution."""

    def build(recipe: Recipe, n_classes: int) -> Parts:
        net = SmallNet(n_classes)
        return Parts(net, [[net.stem, net.norm]], "stem", SmallNet.features)

    monkeypatch.setitem(models.MODELS, "densenet121", build)


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
def finished_study(xrays: Path, tiny_space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three trials, run by the serial runner. Read only: copy it to change it."""
    from cxrsearch.experiment import Settings, search

    settings = Settings(
        data=str(xrays), space=str(tiny_space), trials=3, population=2, runner="serial", seed=1
    )
    return search(settings, tmp_path_factory.mktemp("studies") / "finished")
