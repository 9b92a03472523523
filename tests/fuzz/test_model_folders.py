"""Damaged and absurd cards of models and ensembles: the same model, or refused with a sentence."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.splits import Splits
from cxrsearch.errors import InputError
from cxrsearch.learn.ensemble import Ensemble
from cxrsearch.learn.ensemble.scale import Scale
from cxrsearch.learn.recipe import Recipe
from cxrsearch.model.card import ModelMeta, make_card, read_card, read_recipe
from cxrsearch.model.operating import (
    OPERATING,
    LabelPoint,
    OperatingPoints,
    read_points,
    write_points,
)
from cxrsearch.model.rules import parse_rule
from search.errors import SearchError
from search.files import write_json

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, -1e308, 10**39, 10**18, 0.5, "", "a" * 5000, "9" * 5000, "1x", [],
    [[]], {}, {"a": 1}, float("nan"), float("inf"), "224x", "\u0000", "../../x", [1] * 15, [None],
)  # fmt: skip


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) within ``value``."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        found.append((value, key))
        if isinstance(item, dict | list):
            found += _places(item)
    return found


def _absurd(card: dict[str, Any], rng: random.Random) -> str:
    """``card`` with some of its values odd or gone, as JSON."""
    card = json.loads(json.dumps(card))
    for _ in range(rng.choice((1, 1, 2, 5))):
        container, key = rng.choice(_places(card))
        if rng.random() < 0.2:
            del container[key]
        else:
            container[key] = copy.deepcopy(rng.choice(ODD))
        if not card:
            break
    return json.dumps(card)


def _read(path: Path) -> tuple[Any, Any]:
    card = read_card(path)
    return card, read_recipe(path, card["recipe"])


def _ensemble() -> Ensemble:
    weights = np.full((2, 14), 0.5)
    zeros = np.zeros((14, 14)), np.zeros(14)
    scale = Scale("logit", np.empty((0, 2, 14)))
    return Ensemble(("a", "b"), "mean", scale, weights, *zeros, DISEASES)


def test_an_absurd_card_is_refused_or_within_its_limits(
    tmp_path: Path, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    path = tmp_path / "model.json"
    meta = ModelMeta(
        224, "data", "split", DISEASES, study="results/x", trial=3, training={"only": "Hernia"}
    )
    card = make_card(Recipe(), meta, {"model.safetensors": "sha256:" + "0" * 64})
    for number in cases(400):
        path.write_text(_absurd(card, random.Random(number)))
        ending = guarded(f"card {number}", lambda: _read(path), InputError)
        if not ending.refused and ending.value is not None:
            found, recipe = ending.value
            assert 1 <= found["pixels"]["frame"] <= 8192
            assert 0 <= recipe.freeze <= 5
            assert 0 <= recipe.dropout <= 0.95


def test_absurd_weights_of_an_ensemble_are_refused_or_give_scores(
    tmp_path: Path, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    path, scores = tmp_path / "weights.json", np.zeros((2, 3, 14), np.float32)
    plain = _ensemble().to_dict()
    for number in cases(200):
        path.write_text(_absurd(plain, random.Random(number)))
        ending = guarded(f"ensemble {number}", lambda: Ensemble.load(path), InputError)
        if not ending.refused and ending.value is not None and len(ending.value.members) == 2:
            assert np.isfinite(ending.value.apply(scores)).all()


def _points() -> OperatingPoints:
    point = LabelPoint(0.5, 3, 9, 0.9, 0.8, 1.1, -0.2)
    return OperatingPoints(parse_rule("youden"), "a network", "sha256:0", 12, 6, {"Mass": point})


def test_absurd_operating_points_are_refused_or_give_thresholds(
    tmp_path: Path, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    scores = np.full((3, 1), 0.5)
    plain = _points().to_dict()
    for number in cases(200):
        (tmp_path / OPERATING).write_text(_absurd(plain, random.Random(number)))
        ending = guarded(f"points {number}", lambda: read_points(tmp_path), InputError)
        if not ending.refused and ending.value is not None:
            ending.value.thresholds(("Mass",))
            found = ending.value.recalibrated(scores, ("Mass",))
            assert ((found >= 0) & (found <= 1) | np.isnan(found)).all()


@pytest.mark.parametrize("kind", ["model", "ensemble", "splits", "operating"])
def test_a_flipped_bit_in_a_card_is_refused_or_nothing(
    tmp_path: Path, kind: str, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    path = tmp_path / f"{kind}.json"
    read: Callable[[], Any] = {
        "model": lambda: _read(path),
        "ensemble": lambda: Ensemble.load(path).to_dict(),
        "splits": lambda: Splits.load(path).fingerprint,
        "operating": lambda: read_points(tmp_path),
    }[kind]
    if kind == "model":
        write_json(path, make_card(Recipe(), ModelMeta(224, "data", "split", DISEASES)))
    elif kind == "ensemble":
        _ensemble().save(path)
    elif kind == "operating":
        write_points(tmp_path, _points())
    else:
        Splits(("a.png",), ("b.png",), ("c.png",), ("b.png",), seed=3).save(path)
    whole, wanted = path.read_bytes(), read()
    for number in cases(200):
        rng, damaged = random.Random(f"{kind} {number}"), bytearray(whole)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        ending = guarded(f"{kind} {number}", read, SearchError)
        assert ending.refused or ending.value == wanted
