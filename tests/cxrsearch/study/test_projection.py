"""What a search will cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cxrsearch.learn.networks.architectures import NETWORKS
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.study.projection import COPIES_PAUSED, disk_need, weight_bytes
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
