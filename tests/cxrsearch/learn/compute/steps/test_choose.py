from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.compute.steps import choose
from cxrsearch.learn.compute.steps.choose import faster_way
from cxrsearch.learn.compute.steps.compiled import PIXELS
from cxrsearch.learn.recipe import Recipe

MODEL = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
SMALL = Recipe(input_size=64, epochs=20)
GPU = ComputeOptions("cuda")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "pick_device", lambda name: torch.device(name))


@pytest.mark.usefixtures("gpu")
def test_small_batches_on_a_gpu_are_recorded_and_a_cpus_steps_are_taken_as_they_are() -> None:
    assert faster_way(MODEL, SMALL, GPU, 16, 100) == "graph"
    assert faster_way(MODEL, SMALL, GPU, 16, 2) == "eager", "too short a training"
    assert faster_way(MODEL, SMALL, replace(GPU, device="cpu"), 16, 100) == "eager"


@pytest.mark.usefixtures("gpu")
def test_the_compilers_work_counts_for_all_trials_of_a_search() -> None:
    kind = f"{SMALL.model} 64x64"
    for pixels, way in ((PIXELS, "compiled"), (PIXELS - 1, "graph")):
        assert faster_way(MODEL, SMALL, replace(GPU, search_pixels={kind: pixels}), 16, 100) == way
    other = replace(GPU, search_pixels={f"{SMALL.model} 128x128": PIXELS})
    assert faster_way(MODEL, SMALL, other, 16, 100) == "graph"


def test_what_is_asked_for_is_done_unless_layers_compute_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = ComputeOptions("cpu", steps="graph")
    assert faster_way(MODEL, SMALL, asked, 16, 1) == "graph"
    monkeypatch.setattr(choose, "recomputes", lambda module: True)
    assert faster_way(MODEL, SMALL, asked, 16, 1) == "eager"
