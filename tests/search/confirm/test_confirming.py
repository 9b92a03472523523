from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.confirm.confirming import Confirming
from search.confirm.reruns import FINALISTS, finalists_of, reruns
from search.trials.marks import CONFIRMS, ROUND

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def trial(number: int, value: float | None = 0.5, **attrs: Any) -> FrozenTrial:
    state = TrialState.FAIL if value is None else TrialState.COMPLETE
    made = create_trial(state=state, value=value, user_attrs=attrs)
    made.number = number
    return made


def rerun(number: int, finalist: int, place: int, value: float | None, **attrs: Any) -> FrozenTrial:
    return trial(number, value, **{CONFIRMS: finalist, ROUND: place}, **attrs)


SEARCHED = [trial(number, 0.1 * number) for number in range(4)]
TWO = Confirming(lambda trials: [3, 2], 6)


@given(JSON)
def test_finalists_are_whole_numbers_or_none(stored: Any) -> None:
    assert finalists_of({FINALISTS: stored}) == ()
    assert finalists_of({FINALISTS: {"numbers": [1, stored]}}) == (
        (1, stored) if type(stored) is int else ()
    )
    assert TWO.plan(SEARCHED, stored)["numbers"] == [3, 2]


def test_a_plan_holds_until_a_trial_of_the_search_has_ended_or_others_are_asked_for() -> None:
    plan = TWO.plan(SEARCHED)
    assert plan == {"after": 4, "reruns": 6, "top": None, "numbers": [3, 2]}
    kept = {**plan, "numbers": [1]}
    begun = [*SEARCHED, rerun(4, 1, 0, 0.3)]
    assert TWO.plan(begun, kept) == kept
    assert TWO.plan([*begun, trial(5)], kept)["numbers"] == [3, 2]
    assert Confirming(TWO.finalists, 7).plan(begun, kept)["numbers"] == [3, 2]
    assert Confirming(TWO.finalists, 6, top=2).plan(begun, kept)["numbers"] == [3, 2]


def test_a_finalist_that_is_no_trial_of_the_search_is_refused_before_it_is_kept() -> None:
    with pytest.raises(ValueError, match="finalists 4, 9: not among the 4 trials"):
        Confirming(lambda trials: [9, 3, 4], 6).plan([*SEARCHED, rerun(4, 1, 0, 0.3)])


def test_reruns_of_former_finalists_take_no_place() -> None:
    plan = TWO.plan(SEARCHED)
    former = [rerun(4 + k, 0, k, 0.9) for k in range(9)]
    assert TWO.next([*SEARCHED, *former], plan) == (3, 0)


@pytest.mark.parametrize(("retries", "times"), [(0, 1), (2, 3)])
def test_what_the_machine_ends_is_run_again_as_often_as_a_trial_is(
    retries: int, times: int
) -> None:
    plan = TWO.plan(SEARCHED)
    trials = list(SEARCHED)
    for _ in range(times):
        assert TWO.next(trials, plan, retries) == (3, 0)
        trials.append(rerun(len(trials), 3, 0, None, reason="killed"))
    assert TWO.next(trials, plan, retries) == (2, 0)
    assert reruns(trials) == []


def test_what_failed_by_its_own_fault_is_not_run_again() -> None:
    plan = TWO.plan(SEARCHED)
    trials = [*SEARCHED, rerun(4, 3, 0, None, reason="crash")]
    assert TWO.next(trials, plan, 2) == (2, 0)
    (failed,) = reruns(trials)
    assert failed.value is not None
    assert math.isnan(failed.value)
