"""What a search will cost."""

from __future__ import annotations

import pytest

from cxrsearch.learn.models import MODELS
from cxrsearch.learn.recipe import gene_limits
from cxrsearch.projection import disk_need, weight_bytes
from cxrsearch.settings import Settings
from search.space import SearchSpace


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_size_on_disk(model: str) -> None:
    plain = {"name": "s", "genes": {"lr": {"low": 1e-4, "high": 1e-2}}, "fixed": {"model": model}}
    space = SearchSpace.from_dict(plain, "s", known=gene_limits())
    few = Settings(trials=10, concurrent=1, keep_checkpoints="best:1")
    more = Settings(trials=10, concurrent=1, keep_checkpoints="best:3")
    assert disk_need(space, more) - disk_need(space, few) == 2 * weight_bytes(model, "full")


def test_the_dense_head_of_vgg16_is_counted() -> None:
    assert 500e6 < weight_bytes("vgg16", "full") < 600e6
    assert 50e6 < weight_bytes("vgg16", "pooled") < 70e6
