"""The benchmark of the genes of images makes the batches that a training makes."""

from __future__ import annotations

import pytest
import torch

from benchmarks.augmentation import GENES, batch_of
from cxrsearch.learn.recipe import Recipe


@pytest.mark.parametrize("name", GENES)
def test_every_gene_makes_a_batch(name: str) -> None:
    pixels = torch.randint(0, 256, (8, 64, 64), dtype=torch.uint8)
    images, targets = batch_of(Recipe(**{"input_size": 64, **GENES[name]}), pixels, 4)()
    side = 32 if "start_size" in GENES[name] else 64
    assert images.shape == (4, 1, side, side)
    assert targets.shape == (4, 14)
