"""Variants of the genetic sampler on short searches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import early_asks
from experiments.early_asks import KEPT, PEER, PLAIN, VARIANTS, copula, power, ratios, read


def test_values_keep_their_order_and_slopes_are_the_transform_s() -> None:
    values = np.array([-3.0, -1.0, -0.2, 0.1, 0.4, 1.5])
    assert (np.diff(copula(values)[0]) > 0).all()
    moved, slope = power(values)
    assert (np.diff(moved) > 0).all()
    # The mean value theorem: each difference lies between the slopes at its ends.
    steps = np.diff(moved) / np.diff(values)
    assert (np.minimum(slope[1:], slope[:-1]) <= steps + 1e-9).all()
    assert (np.maximum(slope[1:], slope[:-1]) >= steps - 1e-9).all()


@pytest.fixture(scope="module")
def plain() -> dict[str, float]:
    """The regret of the sampler as it is after each number of trials up to 16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(early_asks, "BUDGETS", range(1, 17))
        return early_asks.regrets(PLAIN, "ellipsoid-log", 1)


@pytest.mark.parametrize("name", sorted(VARIANTS.keys() - {PLAIN}))
def test_a_variant_searches_otherwise(
    name: str, plain: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_asks, "BUDGETS", range(1, 17))
    assert early_asks.regrets(name, "ellipsoid-log", 1) != plain


def test_a_ratio_is_of_mean_regrets_on_shared_cells(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    rows = [(PLAIN, 1, 0.4), (PLAIN, 2, 0.2), ("copula", 1, 0.2), ("copula", 2000, 0.1)]
    lines = [
        {"variant": v, "problem": "models-two", "seed": s, "regret": {"15": 1.0, "25": r}}
        for v, s, r in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ((name, count, words),) = ratios(path, fresh=False)
    assert (name, count, words[1][:4]) == ("copula", 1, "0.50")
    assert list(ratios(path, fresh=True)) == []


def test_the_kept_cells_are_of_variants_that_are_still_there() -> None:
    assert read(KEPT).keys() <= {*VARIANTS, PEER}
