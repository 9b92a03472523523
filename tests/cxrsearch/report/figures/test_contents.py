"""The figures of a report as a whole: each has an interval or a reason, counts and its part."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from cxrsearch.errors import InputError
from cxrsearch.report.figures.comparison import Beside
from cxrsearch.report.figures.contents import figures_of

KEYS = {"value", "low", "high", "n", "positives", "part", "chosen_on"}


def figures(found: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every figure in a report's content."""
    if isinstance(found, dict):
        if found.keys() >= KEYS:
            yield path, found
        else:
            for name, inner in found.items():
                yield from figures(inner, f"{path}/{name}")
    elif isinstance(found, list):
        for place, inner in enumerate(found):
            yield from figures(inner, f"{path}/{place}")


def test_every_figure_has_an_interval_or_a_reason_and_its_counts(drawn: Callable[..., Any]) -> None:
    other = drawn(seed=9, unknown=0.0)
    groups = {"sex": np.tile(["F", "M", ""], 80)}
    content = figures_of(
        drawn("external"), drawn("validation", seed=4), rule="sensitivity=0.9", prevalence=0.05,
        groups=groups, against=Beside("second", other.scores), resamples=50, seed=0,
    )  # fmt: skip
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    every = dict(figures(content))
    assert len(every) > 50
    for path, figure in every.items():
        assert figure.keys() - {"reason"} == KEYS, path
        whole = None not in (figure["value"], figure["low"], figure["high"])
        assert whole != ("reason" in figure), path
        assert figure["n"] >= figure["positives"] >= 0, path
        assert figure["part"] in ("external", "validation"), path
        if whole:
            assert figure["low"] <= figure["value"] <= figure["high"], path
    assert every["/labels/Mass/recalibrated_brier"]["chosen_on"] == "validation"
    assert every["/labels/Mass/cross_fitted_ece"]["chosen_on"] == "external"
    assert every["/labels/Mass/ece"]["chosen_on"] is None
    assert every["/labels/Mass/sensitivity"]["chosen_on"] == "validation"
    assert every["/labels/Mass/auroc"]["chosen_on"] is None


def test_the_same_seed_gives_the_same_report(drawn: Callable[..., Any]) -> None:
    one, same, other = (
        figures_of(drawn(), None, rule="threshold=0.3", resamples=30, seed=seed)
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one["labels"]["Mass"]["auroc"] != other["labels"]["Mass"]["auroc"]


def test_the_mean_is_over_the_labels_that_the_search_was_for(drawn: Callable[..., Any]) -> None:
    content = figures_of(
        drawn(), None, rule="threshold=0.3", objective=["Mass"], resamples=20, seed=0
    )
    assert content["mean"]["auroc"]["value"] == content["labels"]["Mass"]["auroc"]["value"]
    assert content["macro"]["auroc"]["value"] != content["mean"]["auroc"]["value"]


def test_a_wrong_rule_is_an_error_of_the_users(drawn: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="no rule"):
        figures_of(drawn(), None, rule="recall=0.9", seed=0)
