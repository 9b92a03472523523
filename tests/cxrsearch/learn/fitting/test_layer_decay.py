from __future__ import annotations

from typing import Any

import pytest
import torch

from cxrsearch.learn.networks.architectures import NETWORKS
from cxrsearch.learn.networks.models import Network, build_model
from cxrsearch.learn.optim import build_optimizer, build_schedule
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.registry import taken


def rates(model: Network, recipe: Recipe) -> dict[str, float]:
    optimizer = build_optimizer(model, recipe)
    rate = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    return {n: rate[id(p)] for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_of_a_network_is_of_some_stage(name: str) -> None:
    recipe = Recipe(model=name)
    with torch.device("meta"):
        parts = NETWORKS[name](3, **taken(NETWORKS[name], recipe))
    model = Network(parts)
    assert model.from_head.keys() == dict(model.named_parameters()).keys()
    assert set(model.from_head.values()) == set(range(len(parts.blocks) + 1))
    for name, away in model.from_head.items():
        assert (away == 0) == name.startswith(f"net.{parts.head}."), name
    for number, block in enumerate(parts.blocks):
        ids = {id(p) for module in block for p in module.parameters()}
        own = [model.from_head[n] for n, p in model.named_parameters() if id(p) in ids]
        assert set(own) == {len(parts.blocks) - number}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_the_rate_falls_with_every_stage_from_the_head(tiny_model: Any, optimizer: str) -> None:
    model = build_model(Recipe(), n_classes=2)
    recipe = Recipe(optimizer=optimizer, lr=0.1, layer_decay=0.5, weight_decay=0.3)
    found = rates(model, recipe)
    assert found["net.classifier.weight"] == found["net.classifier.bias"] == 0.1
    assert found["net.conv.weight"] == found["net.conv.bias"] == 0.05
    assert found["net.stem.weight"] == found["net.norm.weight"] == 0.025
    built = build_optimizer(model, recipe)
    assert built.param_groups[0]["lr"] == 0.1  # which a curve shows
    build_schedule(built, recipe, 10)
    first = built.param_groups[0]["lr"]
    assert built.param_groups[-1]["lr"] == pytest.approx(0.25 * first)
    decayed = {id(p) for g in built.param_groups if g["weight_decay"] == 0.3 for p in g["params"]}
    for parameter in model.parameters():
        assert (id(parameter) in decayed) == (optimizer == "adam" or parameter.ndim > 1)


def test_frozen_blocks_are_left_out(tiny_model: Any) -> None:
    model = build_model(Recipe(freeze=1), n_classes=2)
    assert set(rates(model, Recipe(layer_decay=0.5))) == {
        "net.conv.weight", "net.conv.bias", "net.classifier.weight", "net.classifier.bias",
    }  # fmt: skip


def test_without_it_groups_are_as_earlier_versions_had_them(tiny_model: Any) -> None:
    model = build_model(Recipe(), n_classes=2)
    counts = {n: len(build_optimizer(model, Recipe(optimizer=n)).param_groups)
              for n in ("adam", "adamw", "sgd")}  # fmt: skip
    assert counts == {"adam": 1, "adamw": 2, "sgd": 2}
