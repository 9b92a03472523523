"""The benchmark of confirmation: traces, ways to choose, and simulated reruns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.confirmation import choices, traces
from benchmarks.confirmation.choices import BEST_FIVE, NAIVE, Way, choose
from benchmarks.confirmation.simulated import World, confirm
from benchmarks.confirmation.traces import Trace

TRUE = (0.5, 0.7, 0.6, 0.8, 0.1)
OBSERVED = (0.9, 0.7, 0.6, 0.8, 0.1)


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> Trace:
    """A search whose first trial was lucky; its reruns score what is true."""
    params = tuple({"x": k} for k in range(5))
    made = Trace("genetic", "1", "p", 0, params, OBSERVED, TRUE)
    monkeypatch.setattr(choices, "rerun_value", lambda s, p, seed, n, r, i: TRUE[n] + 0.001 * r)
    return made


def test_the_naive_choice_is_the_best_observed_and_reruns_see_through_it(trace: Trace) -> None:
    assert choose(trace, NAIVE, 5) == 0
    assert choose(trace, Way(0.4, 2, raced=False), 5) == 1  # of the first three trials
    tail = (0.0,) * 5
    longer = replace(
        trace,
        observed=(*OBSERVED, *tail),
        true=(*TRUE, *tail),
        params=tuple({"x": k} for k in range(10)),
    )
    assert choose(longer, Way(0.4, 3), 10) == 3


def test_a_recipe_is_a_finalist_once(trace: Trace) -> None:
    twice = replace(trace, params=({"x": 0}, {"x": 1}, {"x": 2}, {"x": 0}, {"x": 4}))
    assert choose(twice, Way(0.0, 1), 5) == 0
    assert choices._distinct(twice, [3, 0, 1], 2) == [3, 1]


def test_the_plain_rule_repeats_five_trials_four_times() -> None:
    assert BEST_FIVE.parts(100) == (80, 20)
    asked: list[tuple[int, int]] = []

    def score(number: int, round_: int) -> float:
        asked.append((number, round_))
        return float(number)

    assert choices._best_of_alike([4, 2, 7, 1, 3], 20, score) == 7
    assert sorted(asked) == sorted((n, r) for n in (4, 2, 7, 1, 3) for r in range(4))


def test_traces_are_kept_and_a_torn_line_is_none(trace: Trace, tmp_path: Path) -> None:
    traces.append(trace, tmp_path)
    traces.append(replace(trace, seed=1), tmp_path)
    with traces.path_of("genetic", tmp_path).open("a") as file:
        file.write('{"sampler": "gen')
    assert traces.read("genetic", tmp_path) == {("p", 0): trace, ("p", 1): replace(trace, seed=1)}


@pytest.mark.parametrize("seeds", [0.002, 0.03])
@pytest.mark.parametrize("known", [True, False])
def test_intervals_of_simulated_reruns_hold_the_truth(seeds: float, known: bool) -> None:
    rng = np.random.default_rng(int(seeds * 1000) + 10 * known)
    found = [confirm(World(seeds=seeds), 16, known, rng) for _ in range(60)]
    assert np.mean([one.held for one in found]) >= 0.88  # 95% but for the luck of 60 runs
    assert np.mean([one.together for one in found]) >= 0.88
    assert np.mean([one.dropped for one in found]) <= 0.05
