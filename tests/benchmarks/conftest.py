"""Drawn X-rays on disk, a few of them, and how the training benchmarks are set up on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor, nn

from benchmarks.training.material import Setup, setup
from cxrsearch.learn.networks import models
from cxrsearch.learn.networks.architectures import Parts
from cxrsearch.learn.networks.stem import GreyStem
from cxrsearch.phantom.dataset import phantom_dataset, write_phantom


@pytest.fixture(scope="session")
def xrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 images of side 64 with their label table."""
    folder = tmp_path_factory.mktemp("xrays") / "data"
    write_phantom(folder, phantom_dataset(60, seed=0), 64)
    return folder


class Small(nn.Module):
    """A convolution, a norm and a layer."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = GreyStem(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False))
        self.norm = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, n_classes)

    def features(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) -> (b, 8, h, w)."""
        maps: Tensor = self.norm(self.stem(grey)).relu()
        return maps

    def forward(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) -> (b, n_classes)."""
        out: Tensor = self.classifier(self.features(grey).mean(dim=(2, 3)))
        return out


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called densenet121 becomes a network of one layer, so that epochs take no time."""

    def build(n_classes: int) -> Parts:
        net = Small(n_classes)
        return Parts(net, [[net.stem, net.norm]], "stem", Small.features)

    monkeypatch.setitem(models.NETWORKS, "densenet121", build)


@pytest.fixture
def where(xrays: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """One thread, two rounds, a cache that all tests share."""
    cache = tmp_path_factory.getbasetemp() / "bench-cache"
    return setup(
        device="cpu", threads=1, rounds=2, out=tmp_path / "out", data=xrays, cache=cache, fast=True
    )
