from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.trials.marks import CONFIRMS, LINEAGE, by_turn, is_rerun, searched, under_turn


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


def test_a_trial_and_its_parents_go_by_their_turns() -> None:
    trials = trials_of([False, False, True, True, False, True, False])
    trials[6].user_attrs[LINEAGE] = {"parents": [4, 1], "operator": "crossover"}
    seen = under_turn(trials[6], 3, [2, 3, 5])
    assert (trials[6].number, seen.number) == (6, 3)
    assert seen.user_attrs == {"seed": 6, LINEAGE: {"parents": [2, 1], "operator": "crossover"}}
    assert trials[6].user_attrs[LINEAGE]["parents"] == [4, 1]
    assert under_turn(trials[1], 1, [2, 3, 5]) is trials[1]
