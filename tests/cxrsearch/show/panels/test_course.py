"""Whether more trials still help."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cxrsearch.show.panels.worth import TOLD_FROM, Course, course
from cxrsearch.show.rows import row


@pytest.fixture
def make_course(make: SimpleNamespace) -> Callable[..., Course]:
    """The course of complete trials of given true values, each seen with noise."""

    def build(truths: list[float], noise: float = 0.01) -> Course:
        rng = random.Random(3)
        seen = [truth + rng.gauss(0.0, noise) for truth in truths]
        rows = [row(make.trial(n, value=value), False) for n, value in enumerate(seen)]
        return course(rows, dict(enumerate(truths)))

    return build


def test_a_search_that_still_rises_is_told_to_go_on(make_course: Any) -> None:
    found = make_course([0.6 + 0.004 * n for n in range(30)])
    assert found.since == 20
    assert found.rise == pytest.approx(0.04)
    assert found.sentence == (
        "Since trial 20, in the last third of the search, the expected best has risen by 0.0400, "
        f"where its noise is {found.noise:.4f}: more trials may still help."
    )


def test_a_flat_search_is_told_that_more_trials_no_longer_help(make_course: Any) -> None:
    found = make_course([0.7] * 60)
    assert found.sentence.startswith(
        "Since trial 40, in the last third of the search, the expected best has not risen beyond "
        f"its noise (by 0.0000, where its noise is {found.noise:.4f}): more trials no longer help."
    )
    assert found.points[-1].observed > found.points[-1].expected == 0.7


def test_a_rise_that_is_luck_is_called_that(make: SimpleNamespace) -> None:
    rng = random.Random(1)
    seen = [0.7 + rng.gauss(0.0, 0.005) for _ in range(30)]
    seen[25] = 0.76
    rows = [row(make.trial(n, value=value), False) for n, value in enumerate(seen)]
    found = course(rows, dict.fromkeys(range(30), 0.7))
    gained = 0.76 - max(seen[:20])
    assert found.luck == pytest.approx(gained)
    assert found.sentence.endswith(
        f" The observed best has risen by {gained:.4f} more than is expected of it: that much is "
        "luck."
    )


def test_a_few_trials_say_nothing(make_course: Any) -> None:
    found = make_course([0.7] * (TOLD_FROM - 1))
    assert len(found.points) == TOLD_FROM - 1
    assert found.sentence == ""
    assert course([], {}) == Course([])


def test_only_complete_trials_of_which_something_is_expected_are_on_the_course(
    make: SimpleNamespace,
) -> None:
    rows = [row(t, False) for t in make.mixed()]
    found = course(rows, {r.number: 0.6 for r in rows if r.number != 3})
    assert {4, 7, 13, 22, 28, 29, 3}.isdisjoint({p.number for p in found.points})
    assert len(found.points) == 23
