from __future__ import annotations

import pytest

from cxrsearch.study.cost.recipe_kinds import expected_pixels
from search.space import SearchSpace


def test_pixels_of_a_search_are_those_of_its_kinds_together() -> None:
    space = SearchSpace.from_dict(
        {
            "name": "two",
            "fixed": {"epochs": 10, "train_seed": 1.0},
            "genes": {"input_size": {"choices": [32, 64]}},
        },
        "two",
    )
    found = expected_pixels(space, trials=20, images=100)
    assert set(found) == {"densenet121 32x32", "densenet121 64x64"}
    trials = {name: pixels / (10 * 100 * side**2) for (name, pixels), side in
              zip(sorted(found.items()), (32, 64), strict=True)}  # fmt: skip
    assert sum(trials.values()) == pytest.approx(20)
    assert min(trials.values()) > 5
