"""The reruns in a history."""

from __future__ import annotations

import math

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.confirm.race import next_rerun
from search.confirm.reruns import reruns
from search.confirm.result import confirmed


def rerun(number: int, finalist: int, round_: int, value: float, first: float) -> FrozenTrial:
    trial = create_trial(
        state=TrialState.COMPLETE,
        value=value,
        intermediate_values={1: first, 2: value},
        user_attrs={"confirms": finalist, "round": round_},
    )
    trial.number = number
    return trial


@pytest.mark.parametrize("diverged", [-1e200, 1e300, math.inf])
def test_a_value_without_a_square_puts_its_finalist_out(diverged: float) -> None:
    pairs = [(n, r) for r in range(2) for n in range(3)]
    trials = [
        rerun(10 + k, n, r, 0.7 + 0.01 * n + 0.001 * k, 0.5) for k, (n, r) in enumerate(pairs)
    ]
    trials[-1] = rerun(15, 2, 1, diverged, 0.5)
    done = reruns(trials)
    assert next_rerun(range(3), done, 9) in [(0, 2), (1, 2)]
    found = confirmed(range(3), done)
    assert found is not None
    assert found.number == 1


def test_a_step_that_diverged_is_not_chosen() -> None:
    done = reruns([rerun(10 + r, 0, r, 0.7, 1e200) for r in range(3)])
    assert [one.curve for one in done] == [{2: 0.7}] * 3
    found = confirmed([0], done)
    assert found is not None
    assert (found.step, found.value) == (2, pytest.approx(0.7))
