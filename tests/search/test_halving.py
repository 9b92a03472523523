from __future__ import annotations

import datetime
import math

import pytest
from optuna.trial import FrozenTrial, TrialState

from search.halving import Halving, credit, default_halving, goes_on, peers_at, value_at


def trial(
    number: int,
    steps: dict[int, float],
    state: TrialState = TrialState.RUNNING,
    value: float | None = None,
    others: list[float] | None = None,
) -> FrozenTrial:
    now = datetime.datetime(2026, 1, 1)
    return FrozenTrial(
        number=number, state=state, value=value, datetime_start=now,
        datetime_complete=now if state.is_finished() else None, params={}, distributions={},
        user_attrs={} if others is None else {"others": others}, system_attrs={},
        intermediate_values=steps, trial_id=number,
    )  # fmt: skip


def test_rungs_grow_by_the_reduction_from_the_grace_period() -> None:
    assert Halving(2, 3, 4).rungs(20) == [2, 6, 18]
    assert Halving(5, 2, 4).rungs(4) == []


@pytest.mark.parametrize("arguments", [(0, 2, 1), (1, 1, 1), (1, 2, 0)])
def test_a_policy_that_means_nothing_is_refused(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="halving wants"):
        Halving(*arguments)


def test_the_top_share_goes_on_and_ties_with_it() -> None:
    policy = Halving(1, 3, 3)
    peers = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert policy.keep(0.45, peers)  # second of six, two are kept
    assert not policy.keep(0.35, peers)
    assert policy.keep(0.4, peers)  # a tie for the second place
    assert policy.keep(0.5, [0.5, 0.5, 0.5, 0.5])


def test_with_too_few_peers_everybody_goes_on() -> None:
    policy = Halving(1, 3, 3)
    assert policy.keep(0.0, [1.0])
    assert not policy.keep(0.0, [1.0, 1.0])
    assert policy.keep(1.0, [0.0, 0.0])  # at least one of any number is kept


def test_the_default_waits_for_a_third_of_the_epochs_and_cuts_at_the_median() -> None:
    assert default_halving(2) is None
    for epochs in range(3, 60):
        policy = default_halving(epochs)
        assert policy is not None
        assert policy.grace >= max(2, epochs / 3)
        assert policy.grace < epochs
        assert policy.reduction == 2


def test_a_trial_is_worth_its_best_value_so_far() -> None:
    assert value_at({1: 0.5, 2: 0.9, 3: 0.7}, 3) == 0.9
    assert value_at({1: 0.5, 2: 0.9}, 1) == 0.5
    assert value_at({1: math.nan}, 1) is None
    assert value_at({}, 5) is None


def test_peers_are_those_that_reached_the_rung() -> None:
    trials = [
        trial(0, {1: 0.3, 2: 0.1}),
        trial(1, {1: 0.9}),
        trial(2, {1: 0.2, 2: 0.4, 3: 0.8}, TrialState.FAIL),
        trial(3, {}),
    ]
    assert peers_at(trials, 3, 2) == [0.3, 0.4]
    assert peers_at(trials, 0, 2) == [0.4]


def test_stopping_follows_from_the_history_alone() -> None:
    policy = Halving(grace=2, reduction=2, min_peers=3)
    trials = [trial(k, {1: v, 2: v, 3: v}) for k, v in enumerate((0.9, 0.8))]
    poor = trial(2, {1: 0.1, 2: 0.2})
    assert goes_on(policy, [*trials, trial(2, {1: 0.1})], 2, 1)
    assert not goes_on(policy, [*trials, poor], 2, 2)
    assert goes_on(policy, [*trials, trial(2, {1: 0.1, 2: 0.95})], 2, 2)
    assert goes_on(None, [*trials, poor], 2, 2)
    between = trial(2, {1: 0.1, 2: 0.2, 3: 0.2})
    assert goes_on(policy, [*trials, between], 2, 3), "there is no rung at step 3"
    skipped = trial(2, {1: 0.1, 3: 0.2})
    assert not goes_on(policy, [*trials, skipped], 2, 3), "the rung at 2 was passed on the way"


def test_credit_orders_by_the_rung_reached_and_then_by_value() -> None:
    complete = trial(0, {1: 0.1}, TrialState.COMPLETE, 0.2)
    far = trial(1, {1: 0.5, 4: 0.3}, TrialState.PRUNED, 0.5)
    near = trial(2, {1: 0.9}, TrialState.PRUNED, 0.9)
    found = [credit(t) for t in (complete, far, near)]
    assert found == [(math.inf, 0.2), (4.0, 0.5), (1.0, 0.9)]
    assert sorted(found, reverse=True) == found  # type: ignore[type-var]
    assert credit(trial(3, {1: 0.9}, TrialState.FAIL)) is None
    assert credit(trial(4, {})) is None
    assert credit(trial(5, {1: math.nan})) is None


def test_a_cheap_trial_is_not_stopped_by_dearer_ones() -> None:
    """Better at the rung counts only where no further objective is expected to be worse."""
    peers = [trial(n, {1: 0.9}, others=[100.0]) for n in range(5)]
    cheap, dear, unknown = (
        trial(5, {1: 0.5}, others=[10.0]), trial(5, {1: 0.5}, others=[100.0]), trial(5, {1: 0.5}),
    )  # fmt: skip
    both = ("maximize", "minimize")
    policy = Halving(1, 2, 2)
    assert goes_on(policy, [*peers, cheap], 5, 1, both)
    assert not goes_on(policy, [*peers, dear], 5, 1, both)
    assert not goes_on(policy, [*peers, unknown], 5, 1, both)
    assert not goes_on(policy, [*peers, cheap], 5, 1)
