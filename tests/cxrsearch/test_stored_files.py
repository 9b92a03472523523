"""Every file that a study and a model keep, with single bits of it flipped, through its reader."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.splits import Splits
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.networks import models
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import load_arrays, load_labels
from cxrsearch.learn.saved.checkpoint import CheckpointError, load_tensors
from cxrsearch.learn.saved.epoch_scores import read_epoch_scores
from cxrsearch.model.card import read_card
from cxrsearch.model.folder import ModelMeta, load_model, save_model
from cxrsearch.model.looks import read_looks, record_look
from cxrsearch.show.status import status
from cxrsearch.study.folder import read_study_yaml
from search.errors import SearchError
from search.reading import read_json

CPU = ComputeOptions("cpu")

READERS: dict[str, Callable[[Path], Any]] = {
    "study.yaml": lambda path: read_study_yaml(path.parent),
    "splits.json": lambda path: (
        load_model(path.parent, CPU).splits()
        if (path.parent / "model.json").exists()
        else Splits.load(path)
    ),
    "labels.npz": load_labels,
    "looks.json": lambda path: read_looks(path.parent),
    "chosen.json": read_json,
    "curve.json": read_json,
    "val.npz": lambda path: list(load_arrays(path, ("names", "labels", "scores")).values()),
    "epochs.npz": lambda path: read_epoch_scores(path.parent),
    "best.safetensors": load_tensors,
    "model.json": read_card,
    "model.safetensors": lambda path: load_model(path.parent, CPU).network.state_dict(),
}
"""How each file is read back."""

OTHERS = {"history.db", "driver.lock", "driver.json", ".looks.json.lock", "README.md"}
"""The history has tests of its own; nothing that counts is read from the others."""


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, arrays and tensors among them bit for bit."""
    if is_dataclass(one):
        return same(vars(one), vars(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def test_a_flipped_bit_in_any_stored_file_changes_nothing_or_is_refused(
    finished_study: Path, tmp_path: Path
) -> None:
    study, model = tmp_path / "study", tmp_path / "model"
    shutil.copytree(finished_study, study)
    record_look(None, study, {"mean": 0.7})
    status(study)
    recipe = Recipe(input_size=32)
    split = Splits.load(study / "splits.json").fingerprint
    meta = ModelMeta(32, "data", split, DISEASES)
    save_model(model, models.build_model(recipe, n_classes=14), recipe, meta, study / "splits.json")
    files = sorted(
        path for folder in (study, model) for path in folder.rglob("*") if path.is_file()
    )
    unknown = [path.name for path in files if path.name not in {*READERS, *OTHERS}]
    assert not unknown, "say here how they are read back"
    assert {path.name for path in files} >= set(READERS), "all kinds are there"
    for path in files:
        if path.name in OTHERS:
            continue
        read, whole = READERS[path.name], path.read_bytes()
        wanted, refused = read(path), 0
        rng, count = random.Random(str(path.relative_to(tmp_path))), 24
        for _ in range(count):
            damaged = bytearray(whole)
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            path.write_bytes(damaged)
            try:
                found = read(path)
            except (SearchError, CheckpointError) as error:
                refused += bool(str(error))
            else:
                assert same(found, wanted), path
        path.write_bytes(whole)
        assert refused > count / 2, path
