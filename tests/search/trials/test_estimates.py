"""What a stopped trial is taken to come to."""

from __future__ import annotations

import datetime
import math
from random import Random
from typing import Any

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.trials.estimates import LATEST, estimates


def trial(
    number: int,
    values: list[float],
    state: str = "PRUNED",
    final: float | None = None,
    **attrs: Any,
) -> FrozenTrial:
    kind = TrialState[state]
    now = datetime.datetime(2026, 1, 1)
    return FrozenTrial(
        number=number, state=kind, value=final, datetime_start=now,
        datetime_complete=now if kind.is_finished() else None, params={}, distributions={},
        user_attrs=attrs, system_attrs={}, trial_id=number,
        intermediate_values=dict(enumerate(values, 1)),
    )  # fmt: skip


def parallel(count: int, gain: float = 0.2) -> list[FrozenTrial]:
    """Complete trials whose final value lies ``gain`` above that of step 1."""
    starts = [0.5 + 0.1 * k for k in range(count)]
    return [trial(k, [v, v + gain], "COMPLETE", v + gain) for k, v in enumerate(starts)]


def test_curves_that_rise_in_parallel_are_continued_in_parallel() -> None:
    found = estimates([*parallel(4), trial(4, [0.45]), trial(5, [0.6])])
    assert found == {4: (pytest.approx(0.65), pytest.approx(0.0, abs=1e-9)),
                     5: (pytest.approx(0.8), pytest.approx(0.0, abs=1e-9))}  # fmt: skip


def test_curves_that_meet_leave_doubt_that_grows_with_the_distance() -> None:
    complete = [trial(k, [0.5 + k / 10], "COMPLETE", 0.9) for k in range(3)]
    found = estimates([*complete, trial(3, [0.5]), trial(4, [0.2])])
    assert found[3][0] == pytest.approx(0.85)  # halfway between 0.9 and 0.8
    assert found[4][0] == pytest.approx(0.70)
    assert found[4][1] - found[3][1] == pytest.approx(0.15, abs=0.05)


def test_more_at_a_rung_is_never_estimated_as_less() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        xs, ys = rng.normal(size=(2, int(rng.integers(3, 12))))
        complete = [
            trial(k, [x], "COMPLETE", y) for k, (x, y) in enumerate(zip(xs, ys, strict=True))
        ]
        asked = [trial(100 + k, [v]) for k, v in enumerate(np.linspace(-4, 4, 9))]
        found = [estimates([*complete, *asked])[t.number][0] for t in asked]
        assert found == sorted(found)
        assert max(found) <= max(ys)


def test_minimising_mirrors_maximising() -> None:
    rng = np.random.default_rng(4)
    up = [trial(k, [a, a + b], "COMPLETE", a + b) for k, (a, b) in enumerate(rng.random((6, 2)))]
    up += [trial(6, [0.1]), trial(7, [0.2, 0.9]), trial(8, [0.3], "RUNNING")]
    down = [
        trial(t.number, [-v for v in t.intermediate_values.values()], t.state.name,
              None if t.value is None else -t.value)
        for t in up
    ]  # fmt: skip
    expected = {n: (pytest.approx(-v), pytest.approx(sd)) for n, (v, sd) in estimates(up).items()}
    assert set(expected) == {6, 7, 8}
    assert estimates(down, maximize=False) == expected


def test_each_step_has_its_own_witnesses_and_too_few_translate_nothing() -> None:
    complete = [*parallel(3), trial(3, [0.1, 0.2, 0.9], "COMPLETE", 0.9)]
    found = estimates([*complete, trial(4, [0.4]), trial(5, [0.4, 0.45, 0.5])])
    assert found[4][0] > 0.5
    assert found[5][0] == 0.5, "one complete trial has made three steps"
    assert found[5][1] > 0.1
    assert estimates([trial(0, [0.4])]) == {0: (0.4, 0.0)}


def test_failed_trials_and_values_that_are_none_are_left_out() -> None:
    bad = [trial(5, [0.1], "FAIL"), trial(6, [math.nan]), trial(7, []), trial(8, [math.nan, 0.4])]
    with_nan = trial(3, [math.nan, 0.3], "COMPLETE", 0.3)
    assert set(estimates([*parallel(3), with_nan, *bad])) == {8}
    assert estimates([]) == {}


def test_the_latest_complete_trials_are_looked_at_whatever_the_order() -> None:
    old = [trial(k, [0.5], "COMPLETE", 5.0) for k in range(50)]
    new = [trial(50 + k, [0.5 + k / 1000], "COMPLETE", 0.7 + k / 1000) for k in range(LATEST)]
    asked = trial(900, [0.5])
    assert estimates([*old, *new, asked])[900][0] == pytest.approx(0.7)
    assert estimates([asked, *new[::-1], *old]) == estimates([*old, *new, asked])


def schedules(name: str = "epochs", scale: int = 1) -> tuple[list[FrozenTrial], dict[int, float]]:
    """Trials that differ in length, the poorer ones stopped after a fifteenth; their true ends."""
    rng = Random(5)
    recipes = sorted(
        (0.1 + 0.14 * rng.random(), rng.choice([6, 10, 16, 22, 30])) for _ in range(40)
    )
    history, true = [], {}
    for number, (quality, length) in enumerate(reversed(recipes)):
        steps = scale * length
        curve = [0.5 + quality * (1 - math.exp(-3 * s / steps)) for s in range(1, steps + 1)]
        told = {"params": {name: length}}
        if number < 14:
            history.append(trial(number, curve, "COMPLETE", max(curve), **told))
        else:
            history.append(trial(number, curve[: math.ceil(steps / 15)], **told))
            true[number] = max(curve)
    return history, true


def agreement(found: dict[int, tuple[float, float]], true: dict[int, float]) -> float:
    return float(np.corrcoef([found[n][0] for n in true], list(true.values()))[0, 1])


@pytest.mark.parametrize(
    ("name", "told"), [("epochs", None), ("epochs", "epochs"), ("rounds", "rounds")]
)
def test_stopped_trials_are_compared_by_the_share_of_their_own_length(
    name: str, told: str | None
) -> None:
    history, true = schedules(name)
    assert agreement(estimates(history, length=told), true) > 0.7
    bare = [trial(t.number, list(t.intermediate_values.values()), t.state.name, t.value)
            for t in history]  # fmt: skip
    assert agreement(estimates(bare), true) < 0.4


def test_the_same_share_is_the_same_step_where_all_are_as_long() -> None:
    history = [*parallel(4), trial(4, [0.45]), trial(5, [0.6])]
    before = estimates(history)
    for one in history:
        one.user_attrs = {"params": {"epochs": 2}}
    assert estimates(history) == estimates(history, length="epochs") == before


def test_epochs_that_are_no_steps_change_nothing_unless_they_are_named() -> None:
    """Five folds are reported, whatever ``epochs`` each is trained for."""
    history = [*parallel(4), trial(4, [0.45])]
    before = estimates(history)
    for one in history:
        one.user_attrs = {"params": {"epochs": 10 + 10 * one.number}}
    assert estimates(history) == before


def test_a_named_length_need_not_count_in_steps() -> None:
    history, true = schedules(scale=4)
    assert agreement(estimates(history, length="epochs"), true) > 0.7


def test_what_the_machine_ended_is_estimated_as_far_as_it_came() -> None:
    killed = trial(4, [0.45], "FAIL", reason="killed")
    assert estimates([*parallel(4), killed])[4] == estimates([*parallel(4), trial(4, [0.45])])[4]
    assert set(estimates([*parallel(2), killed, trial(5, [0.4])])) == {5}, "no witnesses: unknown"
    assert estimates([*parallel(4), trial(4, [0.45], "FAIL", reason="crash")]) == {}
