"""What a search will cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cxrsearch.learn.networks.architectures import NETWORKS
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.study.cost.recipe_kinds import (
    KINDS,
    image_flops,
    kind_of,
    sample_recipes,
    trial_seconds,
    weightiest,
)
from cxrsearch.study.projection import COPIES_PAUSED, by_network, disk_need, weight_bytes
from cxrsearch.study.settings import Settings
from search.space import SearchSpace


@pytest.mark.parametrize("model", NETWORKS)
def test_every_model_has_a_size_on_disk(model: str) -> None:
    plain = {"name": "s", "genes": {"lr": {"low": 1e-4, "high": 1e-2}}, "fixed": {"model": model}}
    space = SearchSpace.from_dict(plain, "s", known=gene_limits())
    few = Settings(trials=10, concurrent=1, keep_checkpoints="best:1", halving="stop")
    more = Settings(trials=10, concurrent=1, keep_checkpoints="best:3", halving="stop")
    weights = weight_bytes(Recipe(model=model), 14)
    assert disk_need(space, more, 14) - disk_need(space, few, 14) == 2 * weights
    pausing = replace(few, halving="promote")
    assert disk_need(space, pausing, 14) - disk_need(space, few, 14) == 8 * COPIES_PAUSED * weights
    assert disk_need(space, replace(pausing, early_stopping=False), 14) == disk_need(space, few, 14)


def test_what_is_kept_of_each_epoch_is_counted_up_to_its_bound() -> None:
    def need(epochs: int, **changes: object) -> int:
        plain = {"name": "s", "genes": {"lr": {"low": 1e-4, "high": 1e-2}},
                 "fixed": {"epochs": epochs}}  # fmt: skip
        space = SearchSpace.from_dict(plain, "s", known=gene_limits())
        return disk_need(space, replace(asked, **changes), 14)

    asked = Settings(trials=100, concurrent=1, early_stopping=False, val_seed=1000)
    each = 10 * (1000 * 14 * 2 + 14 * 4 + 8)
    assert need(20) - need(10) == 100 * each
    assert need(20, trials=50_000) == need(10, trials=50_000)
    every = need(20, trials=50_000, keep_checkpoints="all")
    assert every - need(10, trials=50_000, keep_checkpoints="all") == 50_000 * each


def test_the_dense_head_of_vgg16_is_counted() -> None:
    assert 500e6 < weight_bytes(Recipe(model="vgg16"), 14) < 600e6
    assert 50e6 < weight_bytes(Recipe(model="vgg16", vgg_head="pooled"), 14) < 70e6


def test_reruns_keep_no_weights_unless_all_do() -> None:
    plain = {"name": "s", "genes": {"lr": {"low": 1e-4, "high": 1e-2}}}
    space = SearchSpace.from_dict(plain, "s", known=gene_limits())
    asked = Settings(trials=50, concurrent=1, early_stopping=False)
    weights = weight_bytes(Recipe(), 14)
    for keep, extra in (("best:5", 0), ("all", 0)):
        confirming = replace(asked, keep_checkpoints=keep, confirm=0.2)
        need = disk_need(space, confirming, 14)
        assert need - disk_need(space, replace(confirming, confirm=0.0), 14) == extra * weights
    paused = replace(asked, early_stopping=True)
    saved = disk_need(space, paused, 14) - disk_need(space, replace(paused, confirm=0.2), 14)
    assert saved == 10 * COPIES_PAUSED * weights  # ten fewer that pause


def test_each_network_of_a_space_is_timed_and_the_rest_scaled_by_operations() -> None:
    names = ["resnet18", "vgg16", "mobilenet_v3_small"]
    plain = {"name": "s", "genes": {"model": {"choices": names},
             "input_size": {"choices": [32, 48, 64]}, "epochs": {"low": 1, "high": 4}},
             "fixed": {"vgg_head": "pooled"}}  # fmt: skip
    recipes = sample_recipes(SearchSpace.from_dict(plain, "s", known=gene_limits()))
    chosen = weightiest(recipes)
    assert len(chosen) == KINDS
    assert {kind.model for kind in list(chosen)[:3]} == set(names)
    assert str(next(iter(chosen))) == "vgg16 pooled 64x64"
    timed = dict.fromkeys(chosen, 0.5)
    small = Recipe(model="resnet18", input_size=32, epochs=1)
    large = next(kind for kind in chosen if kind.model == "resnet18")
    share = image_flops(kind_of(small)) / image_flops(large)
    assert 0.2 < share < 0.3
    assert trial_seconds(small, timed, 10, 0) == pytest.approx(0.5 * share * 10)
    rows = by_network(recipes, [2.0] * len(recipes), timed)
    assert sum(row.drawn for row in rows) == pytest.approx(1)
    assert sum(row.of_time for row in rows) == pytest.approx(1)
    assert {row.kind for row in rows if row.timed} == set(map(str, chosen))
    assert all(row.seconds_per_trial == 2.0 for row in rows)


def test_operations_are_those_of_the_layers() -> None:
    kind = kind_of(Recipe(model="vgg16", vgg_head="pooled", input_size=32))
    first = 2 * 9 * 64 * 32 * 32 * (1 + 1 / 2)  # the stem: once an image, and once for both
    sizes = [(64, 64, 32), (64, 128, 16), (128, 128, 16), (128, 256, 8), *[(256, 256, 8)] * 2,
             (256, 512, 4), *[(512, 512, 4)] * 2, *[(512, 512, 2)] * 3]  # fmt: skip
    rest = sum(2 * 9 * a * b * side * side for a, b, side in sizes)
    assert image_flops(kind) == first + rest + 2 * 512 * 2
