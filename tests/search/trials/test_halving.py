from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.trials.halving import (
    Halving,
    credit,
    default_halving,
    goes_on,
    length_of,
    paused_at,
    peers_at,
    value_at,
)
from search.trials.pausing import promotable


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


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 2, 1),
        (1, 1, 1),
        (1, 2, 0),
        (1, 2, 1, True, -1.0),
        (1, 2, 1, True, 0.0, 0),
        (1, 2, 1, True, 0.0, None, "epochs"),
        (1, 2, 1, True, 0.0, None, None, -0.5),
    ],
)
def test_a_policy_that_means_nothing_is_refused(arguments: Any) -> None:
    with pytest.raises(ValueError, match="halving "):
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


@pytest.mark.parametrize(("promote", "share"), [(True, 20), (False, 3)])
def test_the_default_halves_and_its_rungs_leave_a_quarter(promote: bool, share: int) -> None:
    assert default_halving(2, promote=promote) is None
    for epochs in range(3, 60):
        policy = default_halving(epochs, promote=promote)
        assert policy is not None
        assert policy.promote == promote
        assert policy.grace >= max(2, epochs / share)
        assert policy.reduction == 2
        assert all(rung <= 0.75 * epochs for rung in policy.rungs(epochs))
    assert default_halving(52, promote=promote).rungs(52) == (
        [3, 6, 12, 24] if promote else [18, 36]
    )  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [
        (3, [2]),
        (5, [2]),
        (9, [2, 4]),
        (20, [2, 4, 8]),
        (52, [3, 6, 12, 24]),
        (100, [5, 10, 20, 40]),
    ],
)
def test_the_default_has_rungs_for_short_and_long_trials(epochs: int, rungs: list[int]) -> None:
    policy = default_halving(epochs)
    assert policy is not None
    assert policy.rungs(epochs) == rungs


def test_beyond_the_first_rung_who_still_rises_is_worth_more() -> None:
    policy = Halving(1, 4, slope=0.5)
    rising, flat = trial(0, {1: 0.1, 2: 0.4, 4: 0.6}), trial(1, {1: 0.65, 4: 0.65})
    assert [policy.score(rising, k) for k in range(3)] == [0.1, pytest.approx(0.7), None]
    assert [policy.score(flat, k) for k in range(2)] == [0.65, 0.65]
    assert policy.score(trial(2, {3: 0.2, 4: 0.6}), 1) == 0.6, "nothing known of half-way"
    assert peers_at(policy, [rising, flat], 1, 1) == [pytest.approx(0.7)]


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
    policy = Halving(grace=1, reduction=2)
    assert peers_at(policy, trials, 3, 1) == [0.3]
    assert peers_at(policy, trials, 0, 0) == [0.9], "a failed trial is nobody's peer"
    assert peers_at(policy, trials, 1, 0) == [0.3]


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


def test_credit_counts_the_share_of_its_own_length_where_trials_differ() -> None:
    half = trial(0, {1: 0.2, 3: 0.3}, TrialState.PRUNED, 0.3)
    tenth = trial(1, {1: 0.2, 5: 0.9}, TrialState.PRUNED, 0.9)
    half.user_attrs, tenth.user_attrs = {"params": {"epochs": 6}}, {"params": {"epochs": 50}}
    assert credit(half, "epochs") == (0.5, 0.3)
    assert credit(half, "epochs") > credit(tenth, "epochs")  # type: ignore[operator]
    assert credit(half) < credit(tenth)  # type: ignore[operator]
    assert credit(half, "other") == (3.0, 0.3)


@pytest.mark.parametrize("told", [None, True, 0, -3, math.nan, math.inf, "6", [6]])
def test_a_length_that_is_no_number_of_steps_says_nothing(told: Any) -> None:
    one = trial(0, {1: 0.2})
    one.user_attrs = {"params": {"epochs": told}}
    assert length_of(one, "epochs") is None
    one.user_attrs = {"params": told}
    assert length_of(one, "epochs") is None
    assert length_of(one, None) is None


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


def random_history(rng: np.random.Generator, policy: Halving, size: int) -> list[FrozenTrial]:
    """Trials that ran, paused or ended as ``policy`` might have let them."""
    found = []
    for number in range(size):
        steps = int(rng.integers(1, 9))
        curve = {s: float(v) for s, v in enumerate(np.cumsum(rng.normal(0.1, 0.3, steps)), 1)}
        states = (TrialState.RUNNING, TrialState.PRUNED, TrialState.COMPLETE)
        state = states[int(rng.integers(3))]
        made = trial(number, curve, state, max(curve.values()) if state.is_finished() else None)
        if state == TrialState.RUNNING and steps in policy.rungs(9):
            made.user_attrs = {"paused": steps}
        found.append(made)
    return found


@pytest.mark.parametrize("promote", [True, False])
@pytest.mark.parametrize("margin", [0.0, 2.0])
def test_more_never_stops_earlier_and_places_are_kept(promote: bool, margin: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        reduction, count = int(rng.integers(2, 5)), int(rng.integers(1, 20))
        policy = Halving(1, reduction, 2, promote, margin)
        values = [float(v) for v in rng.normal(size=count).round(1)]
        kept = [
            policy.keep(v, values[:k] + values[k + 1 :], noise=0.2) for k, v in enumerate(values)
        ]
        assert all(
            a or not b
            for a, one in zip(kept, values, strict=True)
            for b, two in zip(kept, values, strict=True)
            if one > two
        ), "who is better goes on wherever the worse does"
        distinct = len(set(values)) == count
        least = count // reduction if promote or count < 2 else max(1, count // reduction)
        assert sum(kept) >= least
        if distinct and count >= 4:
            assert sum(kept) <= max(least, 0.75 * count)
        if distinct and not margin and count >= 2:
            assert sum(kept) == least


def test_who_is_behind_by_less_than_the_wobble_goes_on_but_a_quarter_stays() -> None:
    policy = Halving(1, 2, 2, promote=True, margin=2.0)
    peers = [0.9, 0.8, 0.7]
    assert not policy.keep(0.69, peers)
    assert policy.keep(0.69, [0.9, 0.8, 0.7, 0.1, 0.2], noise=0.1)
    assert not policy.keep(0.1, peers, noise=9.0), "the last quarter stays whatever the noise"


def test_rungs_lie_at_the_same_share_of_a_shorter_trial() -> None:
    policy = Halving(3, 2, longest=52, length="epochs")
    long, short, unknown = trial(0, {}), trial(1, {}), trial(2, {})
    long.user_attrs = {"params": {"epochs": 52}}
    short.user_attrs = {"params": {"epochs": 26}}
    assert policy.own_rungs(long, 52) == [3, 6, 12, 24]
    assert policy.own_rungs(short, 26) == [2, 3, 6, 12]
    assert policy.own_rungs(short, 5) == [2, 3]
    assert policy.own_rungs(unknown, 52) == policy.rungs(52)


def test_trials_are_compared_at_the_same_share_of_their_length() -> None:
    policy = Halving(2, 2, 2, longest=8, length="epochs")
    long = trial(0, {1: 0.1, 2: 0.5, 3: 0.9})
    short = trial(1, {1: 0.6})
    weak = trial(2, {1: 0.4, 2: 0.8})
    for one, epochs in ((long, 8), (short, 4), (weak, 8)):
        one.user_attrs = {"params": {"epochs": epochs}}
    assert peers_at(policy, [long, short, weak], 2, 0) == [0.5, 0.6]
    assert goes_on(policy, [long, short], 1, 1)
    assert goes_on(policy, [long, short, weak], 2, 2), "the best at its own quarter"


def test_the_first_trial_runs_to_its_end_and_is_compared_with_nobody() -> None:
    policy = Halving(1, 2, promote=True)
    trials = [trial(0, {1: 0.0}), trial(1, {1: 0.9}), trial(2, {1: 0.8})]
    assert goes_on(policy, trials, 0, 1)
    assert peers_at(policy, trials, 1, 0) == [0.8]
    assert goes_on(policy, trials, 1, 1)
    assert not goes_on(policy, trials[:2], 1, 1), "one of one is no half"


def test_the_farthest_and_then_the_best_is_promoted_first() -> None:
    policy = Halving(1, 2, promote=True)
    trials = [trial(0, {1: 0.0})]
    trials += [trial(k, {1: k / 10}) for k in range(1, 7)]
    trials += [trial(7, {1: 0.9, 2: 0.9}), trial(8, {1: 0.8, 2: 0.8})]
    for one in trials[1:]:
        one.user_attrs = {"paused": max(one.intermediate_values)}
    assert promotable(policy, trials) == 7
    del trials[7].user_attrs["paused"]
    assert promotable(policy, trials) == 6, "half of two have gone on from the second rung"
    trials[6].user_attrs = {"paused": None, "promoted": 1}
    assert promotable(policy, trials) == 5
    trials[5].user_attrs = {"paused": None}
    assert promotable(policy, trials) is None
    assert goes_on(policy, trials, 6, 1), "a promoted trial is not judged there again"


def test_what_is_promoted_follows_from_the_history_alone_and_ends() -> None:
    policy, rng = Halving(1, 2, promote=True, margin=1.0), np.random.default_rng(2)
    for _ in range(30):
        trials = random_history(rng, policy, 20)
        promotions = 0
        while True:
            number = promotable(policy, trials)
            assert number == promotable(policy, trials)
            if number is None:
                break
            at = trials[number].user_attrs["paused"]
            assert goes_on(policy, trials, number, at)
            trials[number].user_attrs = {"paused": None, "promoted": at}
            promotions += 1
        assert promotions < 20
        waiting = [t for t in trials if paused_at(t) is not None]
        assert not any(goes_on(policy, trials, t.number, paused_at(t) or 0) for t in waiting)


def test_a_search_that_closes_without_a_result_lets_its_best_go_on() -> None:
    policy = Halving(1, 2, promote=True)
    failed = trial(0, {1: 0.9}, TrialState.FAIL)
    one = trial(1, {1: 0.1})
    one.user_attrs = {"paused": 1}
    assert promotable(policy, [failed, one]) is None
    assert promotable(policy, [failed, one], closing=True) == 1
    complete = trial(0, {1: 0.9}, TrialState.COMPLETE, 0.9)
    assert promotable(policy, [complete, one], closing=True) is None
    running = trial(0, {1: 0.9})
    assert promotable(policy, [running, one], closing=True) is None, "a result is on its way"


def test_a_short_trial_whose_rungs_fall_together_holds_nobody_up() -> None:
    """It waits at the later one, where it is the best, and was never compared at the first."""
    policy = Halving(2, 2, promote=True, longest=16, length="epochs")
    short = trial(1, {1: 0.8})
    peers = [trial(k, {2: 0.9}) for k in range(2, 7)]
    peers += [trial(k, {2: 0.1, 4: k / 20}) for k in range(7, 10)]
    for one in (short, *peers):
        one.user_attrs = {"params": {"epochs": 3 if one is short else 16}}
    assert policy.own_rungs(short, 1) == [1, 1]
    for one in (short, *peers):
        one.user_attrs["paused"] = max(one.intermediate_values)
    assert promotable(policy, [short, *peers]) == 1
