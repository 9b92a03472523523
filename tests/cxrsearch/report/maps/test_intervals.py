from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.report.maps.intervals import mean_figure, rate_figure


@pytest.mark.parametrize("kind", ["mean", "rate"])
def test_intervals_cover_the_truth_with_images_in_patients(kind: str) -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        patients = np.repeat(np.arange(50), rng.integers(1, 4, 50))
        if kind == "mean":
            values = rng.normal(0, 1, 50)[patients] + rng.normal(0, 1, len(patients)) + 3
            figure, truth = mean_figure(values, patients, "test"), 3.0
        else:
            chance = rng.beta(1.5, 3.5, 50)[patients]
            values = (rng.random(len(patients)) < chance).astype(float)
            figure, truth = rate_figure(values, patients, "test"), 0.3
        assert figure.low is not None
        assert figure.high is not None
        inside += figure.low <= truth <= figure.high
    assert 0.93 <= inside / 1000 <= 0.97


def test_all_hits_have_an_interval_by_patients() -> None:
    few = rate_figure(np.ones(20), np.repeat(np.arange(4), 5), "test")
    many = rate_figure(np.ones(20), np.arange(20), "test")
    assert few.value == many.value == few.high == 1
    assert few.low is not None
    assert many.low is not None
    assert few.low < many.low < 1


def test_nothing_to_count_is_said() -> None:
    figure = rate_figure(np.full(3, np.nan), np.arange(3), "test")
    assert figure.value is None
    assert figure.reason == "no image with a box"
