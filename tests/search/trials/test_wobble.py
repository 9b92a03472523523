"""The noise of one report, read off the curves."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.trials.wobble import CURVES, wobble


def curve(number: int, reports: dict[int, float]) -> FrozenTrial:
    return FrozenTrial(
        number=number, state=TrialState.RUNNING, value=None,
        datetime_start=datetime.datetime(2026, 1, 1), datetime_complete=None, params={},
        distributions={}, user_attrs={}, system_attrs={}, trial_id=number,
        intermediate_values=reports,
    )  # fmt: skip


def curves(noise: float, count: int = 40, steps: int = 20) -> list[FrozenTrial]:
    rng = np.random.default_rng(7)
    x = np.arange(1, steps + 1)
    found = []
    for number in range(count):
        values = 0.8 - rng.uniform(0.1, 0.3) * x**-0.5 + rng.normal(0, noise, steps)
        found.append(curve(number, dict(zip(x.tolist(), values.tolist(), strict=True))))
    return found


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_the_noise_of_noisy_curves_is_found(noise: float) -> None:
    assert wobble(curves(noise)) == pytest.approx(noise, rel=0.15)


def test_smooth_curves_do_not_wobble() -> None:
    assert wobble(curves(0.0)) < 0.001
    assert wobble([curve(0, {1: 0.1, 2: 0.2, 3: 0.3})]) == pytest.approx(0.0, abs=1e-12)


def test_without_three_reports_in_a_row_there_is_nothing_to_see() -> None:
    assert wobble([]) == 0.0
    assert wobble([curve(0, {1: 0.1, 2: 0.9}), curve(1, {1: 0.1, 2: 0.9, 4: 0.1})]) == 0.0
    assert wobble([curve(0, {1: 0.1, 2: math.nan, 3: 0.3})]) == 0.0


def test_the_latest_curves_count() -> None:
    calm = [curve(k, {1: 0.1, 2: 0.2, 3: 0.3}) for k in range(10)]
    wild = [curve(10 + k, {1: 0.1, 2: 0.9, 3: 0.1}) for k in range(CURVES)]
    assert wobble([*calm, *wild]) == wobble(wild) > 0.5
