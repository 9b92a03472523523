"""Every file that a finished study and its model keep, damaged: the same figures, or a sentence."""

from __future__ import annotations

import functools
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxrsearch.ablation.page import read_verdict
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.splits import Splits
from cxrsearch.learn.networks import models
from cxrsearch.learn.networks.architectures import NetworkParts
from cxrsearch.learn.networks.head import DropoutLinear
from cxrsearch.learn.networks.stem import GreyStem
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import load_arrays, load_labels
from cxrsearch.learn.saved.checkpoint import CheckpointError, load_tensors
from cxrsearch.learn.saved.epoch_scores import read_epoch_scores
from cxrsearch.model.card import read_card
from cxrsearch.model.folder import ModelMeta, load_model, save_model
from cxrsearch.model.looks import read_looks, record_look
from cxrsearch.phantom.dataset import phantom_dataset, write_phantom
from cxrsearch.show.status import status
from cxrsearch.study.experiment import Settings, search
from cxrsearch.study.folder import read_study_yaml
from search.errors import SearchError
from search.files import write_json
from search.reading import read_json
from search.store.record import read_study

SPACE = """
name: tiny
genes:
  lr: {low: 1.0e-4, high: 1.0e-2, log: true}
  rotation: {low: 0.0, high: 10.0}
fixed: {model: densenet121, input_size: 32, epochs: 1, batch_size: 16}
"""


def _history(path: Path) -> Any:
    record = read_study(path.parent)
    trials = [
        [t.number, t.state, t.values, t.params, t.user_attrs, sorted(t.intermediate_values.items()),
         t.datetime_start, t.datetime_complete]
        for t in record.trials
    ]  # fmt: skip
    return [record.config.to_dict(), record.space.to_dict(), record.attrs, trials]


def _splits(path: Path) -> Any:
    model = (path.parent / "model.json").exists()
    return load_model(path.parent).splits() if model else Splits.load(path)


READERS: dict[str, Callable[[Path], Any]] = {
    "history.db": _history,
    "study.yaml": lambda path: read_study_yaml(path.parent),
    "splits.json": _splits,
    "labels.npz": load_labels,
    "looks.json": lambda path: read_looks(path.parent),
    "chosen.json": read_json,
    "curve.json": read_json,
    "val.npz": lambda path: list(load_arrays(path, ("names", "labels", "scores")).values()),
    "epochs.npz": lambda path: read_epoch_scores(path.parent),
    "best.safetensors": load_tensors,
    "verdict.json": lambda path: read_verdict(path.parent),
    "model.json": read_card,
    "model.safetensors": lambda path: load_model(path.parent).network.state_dict(),
}
"""How each file is read back."""

NOTHING = {"driver.lock", "driver.json", ".looks.json.lock", "README.md"}
"""Files from which no figure is read."""


class TwoLayers(nn.Module):
    """A network whose trial takes a moment."""

    def __init__(self, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.stem = GreyStem(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False))
        self.norm = nn.BatchNorm2d(8)
        self.classifier = DropoutLinear(8, n_classes, dropout)

    def features(self, grey: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.stem(grey)).relu()
        return maps

    def forward(self, grey: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(grey).mean(dim=(2, 3)))
        return out


def _build(n_classes: int, *, dropout: float) -> NetworkParts:
    net = TwoLayers(n_classes, dropout)
    return NetworkParts(net, [[net.stem, net.norm]], "stem", TwoLayers.features)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study of two trials, with a look at its test part and a verdict, and a model's folder."""
    top = tmp_path_factory.mktemp("stored")
    xrays, space, study = top / "xrays", top / "tiny.yaml", top / "study"
    write_phantom(xrays, phantom_dataset(images=60, seed=3), side=48)
    space.write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXRSEARCH_CACHE", str(top / "cache"))
        patch.setitem(models.NETWORKS, "densenet121", _build)
        patch.setattr("cxrsearch.study.cost.sharing.detect_cpus", lambda: 1)
        settings = Settings(
            data=str(xrays), space=str(space), trials=2, population=2, runner="serial", seed=1
        )
        search(settings, study)
        record_look(None, study, {"mean": 0.7})
        status(study)
        write_json(study / "verdict.json", {"arms": [{"name": "a", "gain": 0.25}], "repeats": 3})
        recipe = Recipe(input_size=32)
        meta = ModelMeta(32, "data", Splits.load(study / "splits.json").fingerprint, DISEASES)
        save_model(
            top / "model",
            models.build_model(recipe, n_classes=14),
            recipe,
            meta,
            study / "splits.json",
        )
        yield top


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal, arrays and tensors among them bit for bit."""
    if type(one) is not type(other):
        return False
    if is_dataclass(one):
        return _same(vars(one), vars(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


def _damaged(whole: bytes, rng: random.Random) -> bytes:
    """``whole`` with bits flipped, cut short, or with bytes exchanged, gone, repeated or zeroed."""
    found = bytearray(whole)
    place, length = rng.randrange(len(found)), rng.choice((1, 4, 64, 4096))
    kind = rng.randrange(7)
    if kind <= 1:
        for _ in range(rng.choice((1, 1, 2, 8))):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        del found[place:]
    elif kind == 3:
        other = rng.randrange(len(found))
        found[place], found[other] = found[other], found[place]
    elif kind == 4:
        del found[place : place + length]
    elif kind == 5:
        found[place:place] = found[place : place + length]
    else:
        found[place : place + length] = bytes(len(found[place : place + length]))
    return bytes(found)


def test_every_kind_of_file_is_damaged_here(stored: Path) -> None:
    found = {
        path.name
        for folder in ("study", "model")
        for path in (stored / folder).rglob("*")
        if path.is_file()
    }
    assert found - NOTHING == set(READERS), "say in READERS how each is read back"


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_damaged_file_gives_the_same_figures_or_is_refused(
    name: str, stored: Path, tmp_path: Path, cases: Callable[[int], range],
    guarded: Callable[..., Any],
) -> None:  # fmt: skip
    found = sorted(p for folder in ("study", "model") for p in (stored / folder).rglob(name))
    for index, source in enumerate(found[:2]):
        copy = tmp_path / str(index)
        shutil.copytree(source.parent, copy)
        path = copy / name
        whole, wanted = path.read_bytes(), READERS[name](path)
        for number in cases(12):
            path.write_bytes(_damaged(whole, random.Random(f"{name} {index} {number}")))
            case = f"{name} {index} {number}"
            read = functools.partial(READERS[name], path)
            ending = guarded(case, read, SearchError, CheckpointError)
            if ending.refused:
                assert "\n" not in str(ending.error), case
            elif ending.value is not None:
                assert _same(ending.value, wanted), case
