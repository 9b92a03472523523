from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.budget import Budget, Clock, parse_duration


class Memory:
    def __init__(self) -> None:
        self.attrs: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.attrs.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.attrs[key] = value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8h", 28800), ("90m", 5400), ("45s", 45), ("1h30m", 5400), ("2d", 172800), ("0.5h", 1800),
     (" 1H 30M ", 5400)],
)  # fmt: skip
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "8", "h", "1h1h", "0s", "-1h", "1w", "1e3s", "nan", "9" * 400 + "h"]
)
def test_what_is_no_duration_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|unit twice|no time"):
        parse_duration(text)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_duration(text) > 0


def test_the_clock_counts_all_runs_but_not_the_time_between() -> None:
    memory, now = Memory(), [100.0]
    clock = Clock(memory, 60, now=lambda: now[0])
    now[0] += 40
    assert clock.elapsed == 40
    assert clock.left == 20
    clock.save()
    now[0] += 1000
    again = Clock(memory, 60, now=lambda: now[0])
    assert again.left == 20
    now[0] += 21
    assert again.over
    assert again.left == 0


def test_without_a_limit_the_time_is_never_up() -> None:
    clock = Clock(Memory(), None)
    assert clock.left is None
    assert not clock.over


@pytest.mark.parametrize(
    "arguments", [(None, None), (-1, None), (None, -1.0), (None, float("nan"))]
)
def test_a_budget_that_means_nothing_is_refused(arguments: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(*arguments)
