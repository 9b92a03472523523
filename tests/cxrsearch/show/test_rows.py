from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxrsearch.show.rows import STATES, best_row, count_states, pair, row

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = [
    "generation",
    "params",
    "point",
    "lineage",
    "reason",
    "detail",
    "attempt",
    "spans",
    "started",
    "split",
    "auroc",
    "interval",
    "intervals",
    "best_epoch",
    "epochs_run",
    "images_seen",
    "seconds",
    "exposure",
    "notes",
    "device",
    "seed",
]


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from(NAMES), JUNK))
def test_any_attributes_make_a_row(make: SimpleNamespace, attrs: dict) -> None:
    found = row(make.trial(3, attrs=attrs), False)
    assert found.state == "complete"
    assert all(isinstance(p, int) for p in found.parents)


def test_unfinished_trials_run_only_while_a_driver_lives(make: SimpleNamespace) -> None:
    trial = make.trial(0, "running")
    assert row(trial, True).state == "running"
    assert row(trial, False).state == "interrupted"


def test_a_trial_that_waits_at_a_rung_is_paused_with_or_without_a_driver(
    make: SimpleNamespace,
) -> None:
    trial = make.trial(0, "running", attrs={"paused": 2})
    assert row(trial, True).state == row(trial, False).state == "paused"
    assert row(make.trial(0, "running", attrs={"paused": None}), True).state == "running"
    assert row(make.trial(0, "pruned", attrs={"paused": 2}), True).state == "pruned"


def test_value_of_a_trial_that_is_not_complete_is_its_best_epoch(make: SimpleNamespace) -> None:
    pruned, failed = (
        row(make.trial(0, "pruned", value=0.7), False),
        row(make.trial(1, "failed"), False),
    )
    assert pruned.value == pytest.approx(0.69)
    assert failed.value is None


def test_best_is_complete_and_the_first_of_equals(make: SimpleNamespace) -> None:
    trials = [
        make.trial(0, "pruned", value=0.9),
        make.trial(1, value=0.7),
        make.trial(2, value=0.7),
    ]
    best = best_row(row(t, False) for t in trials)
    assert best is not None
    assert best.number == 1
    assert best_row([]) is None


def test_states_are_counted_and_add_up(make: SimpleNamespace) -> None:
    counts = count_states(row(t, True) for t in make.mixed())
    assert counts == {
        "complete": 24, "pruned": 2, "failed": 2, "repeated": 0, "running": 2, "paused": 0,
        "interrupted": 0, "reruns": 0, "total": 30
    }  # fmt: skip
    assert list(counts) == [*STATES, "reruns", "total"]


@pytest.mark.parametrize("value", [None, "ab", [1], [1, None], [1, math.nan], [True, 1], {}])
def test_what_is_no_interval_is_none(value: object) -> None:
    assert pair(value) is None
