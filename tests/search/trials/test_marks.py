from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.trials.marks import CONFIRMS, by_turn, is_rerun, numbered, searched


def trials_of(reruns: list[bool]) -> list[FrozenTrial]:
    made = []
    for number, rerun in enumerate(reruns):
        trial = create_trial(
            state=TrialState.RUNNING, user_attrs={CONFIRMS: 0} if rerun else {"seed": number}
        )
        trial.number = number
        made.append(trial)
    return made


@given(st.lists(st.booleans()))
def test_turns_count_the_searchs_own_trials_from_0(reruns: list[bool]) -> None:
    trials = trials_of(reruns)
    found = list(by_turn(trials))
    assert [turn for turn, _ in found] == list(range(reruns.count(False)))
    assert [trial for _, trial in found] == searched(trials)
    assert not any(is_rerun(trial) for _, trial in found)


def test_a_trial_under_another_number_is_a_copy_of_its_own() -> None:
    (trial,) = trials_of([False])
    assert numbered(trial, 0) is trial
    other = numbered(trial, 7)
    assert (trial.number, other.number) == (0, 7)
    assert other.user_attrs == trial.user_attrs
