"""Drawn X-rays on disk, a few of them, and how the training benchmarks are set up on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.training.material import Setup, setup
from cxrsearch.phantom.dataset import phantom_dataset, write_phantom


@pytest.fixture(scope="session")
def xrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 images of side 64 with their label table."""
    folder = tmp_path_factory.mktemp("xrays") / "data"
    write_phantom(folder, phantom_dataset(60, seed=0), 64)
    return folder


@pytest.fixture
def where(xrays: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """One thread, two rounds, a cache that all tests share."""
    cache = tmp_path_factory.getbasetemp() / "bench-cache"
    return setup(
        device="cpu", threads=1, rounds=2, out=tmp_path / "out", data=xrays, cache=cache, fast=True
    )
