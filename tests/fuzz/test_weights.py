"""Damaged files of starting weights: read as what they were, or refused with a sentence."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from cxrsearch.errors import InputError
from cxrsearch.learn.networks.stem import IMAGENET_MEAN, IMAGENET_STD
from cxrsearch.learn.networks.weights.fitting import starting_weights
from cxrsearch.learn.networks.weights.reading import read_weights
from cxrsearch.learn.networks.weights.renaming import Target
from cxrsearch.learn.saved import checkpoint

STATE = {
    "module.features.conv0.weight": torch.linspace(-1, 1, 54).reshape(2, 3, 3, 3),
    "module.features.norm0.num_batches_tracked": torch.tensor(7),
    "module.classifier.weight": torch.ones(14, 2, dtype=torch.float16),
}

OWN = {
    "features.conv0.weight": torch.zeros(2, 1, 3, 3),
    "features.conv0.offset": torch.zeros(2, 1, 3, 3),
    "features.norm0.num_batches_tracked": torch.tensor(0),
    "classifier.weight": torch.zeros(14, 2),
}
TARGET = Target(
    OWN, "features.conv0", "classifier", ("features", "classifier"), IMAGENET_MEAN, IMAGENET_STD
)


def taken(path: Path) -> dict[str, torch.Tensor]:
    """What a network takes of a file."""
    return starting_weights(TARGET, read_weights(path)).tensors


def _damaged(data: bytes, rng: random.Random) -> bytes:
    """``data`` with some bits flipped, some bytes exchanged, taken out or repeated."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        place = rng.randrange(len(found))
        kind = rng.randrange(5)
        if kind < 2:
            found[place] ^= 1 << rng.randrange(8)
        elif kind == 2:
            found[place] = rng.choice((0, 0x7F, 0xFF, 0x8A, 0x8B, ord("R"), ord("9")))
        elif kind == 3:
            del found[place : place + rng.choice((1, 4, 64, 4096))]
        else:
            found[place:place] = found[place : place + rng.choice((1, 8, 200))]
        if not found:
            break
    return bytes(found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["zip", "old", "safetensors", "ours"])
def test_a_damaged_file_is_read_or_refused(
    tmp_path: Path, kind: str, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    path = tmp_path / ("w.pth" if kind in ("zip", "old") else "w.safetensors")
    if kind in ("zip", "old"):
        content = {"state_dict": STATE, "epoch": 3, "optimizer": {"state": {0: {"step": 1}}}}
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    elif kind == "safetensors":
        save_file(STATE, path)
    else:
        checkpoint.save_tensors(path, STATE, {"epoch": 3})
    whole, wanted = path.read_bytes(), taken(path)
    for number in cases(60):
        path.write_bytes(_damaged(whole, random.Random(f"{kind} {number}")))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ending = guarded(f"{kind} {number}", lambda: taken(path), InputError)
        if ending.refused or ending.value is None:
            continue
        for name, value in ending.value.items():
            assert value.numel() * 4 <= max(4 * len(whole), 1 << 20)
            if kind in ("zip", "ours"):  # the others carry no checksum
                assert torch.equal(value, wanted[name])
