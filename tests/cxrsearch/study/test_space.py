"""Genes of a space fixed on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import gene_limits
from cxrsearch.study.settings import Settings
from cxrsearch.study.space import fixed_to, load_space
from search.space import SearchSpace

PLAIN: dict[str, Any] = {
    "genes": {
        "model": {"choices": ["densenet121", "vgg16"]},
        "vgg_head": {"choices": ["pooled", "full"], "when": {"model": "vgg16"}},
        "lr": {"low": 1e-4, "high": 1e-2, "log": True},
    },
    "fixed": {"epochs": 3},
    "points": [
        {"name": "dense", "params": {"model": "densenet121", "lr": 1e-3}},
        {"name": "vgg", "params": {"model": "vgg16", "vgg_head": "pooled", "lr": 1e-3}},
    ],
}


def space() -> SearchSpace:
    return SearchSpace.from_dict(PLAIN, "mine", known=gene_limits())


def test_a_fixed_gene_is_no_longer_searched_and_what_hung_on_it_goes() -> None:
    found, notes = fixed_to(space(), {"model": "densenet121", "epochs": 5, "input_size": 64})
    assert list(found.genes) == ["lr"]
    assert found.fixed == {"epochs": 5, "model": "densenet121", "input_size": 64}
    assert [point.params for point in found.points] == [{"lr": 1e-3}]  # both points are the same
    assert notes == []


def test_points_that_lack_what_now_acts_are_left_out_with_a_note() -> None:
    found, notes = fixed_to(space(), {"model": "vgg16"})
    assert list(found.genes) == ["vgg_head", "lr"]
    assert [point.name for point in found.points] == ["vgg"]
    assert notes == ["known-good points that --set leaves incomplete: dense"]


def test_nothing_fixed_is_the_same_space() -> None:
    found, notes = fixed_to(space(), {})
    assert found.fingerprint == space().fingerprint
    assert notes == []


def test_a_space_with_nothing_left_to_search_is_refused() -> None:
    with pytest.raises(InputError, match="nothing is left to search in mine"):
        fixed_to(space(), {"model": "densenet121", "lr": 0.1})


def test_a_search_takes_genes_from_the_command_line() -> None:
    found, _ = load_space(Settings(space="quick", genes=["model=densenet121", "epochs=2"]))
    assert (found.fixed["model"], found.fixed["epochs"]) == ("densenet121", 2)
    assert "model" not in found.genes


def test_every_wrong_gene_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        load_space(Settings(space="quick", genes=["lrr=1", "epochs=0", "model"]))
    assert len(caught.value.problems) == 3
