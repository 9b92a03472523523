from __future__ import annotations

import time

import pytest

from cxrsearch.data import patterns
from cxrsearch.data.patterns import pattern_problem, values_found
from cxrsearch.errors import InputError


def test_a_pattern_finds_its_group_or_its_whole_match_or_nothing() -> None:
    paths = ["train/patient00001/view1.jpg", "other.jpg"]
    assert values_found(r"patient(\d+)", paths) == ["00001", None]
    assert values_found(r"patient\d+", paths) == ["patient00001", None]


@pytest.mark.parametrize("regex", ["", "(", "a{99999999999}", "(a)(b)", "x" * 501])
def test_what_is_no_pattern_is_said_at_once(regex: str) -> None:
    assert pattern_problem(regex)
    with pytest.raises(InputError):
        values_found(regex, ["a"])


def test_a_pattern_that_would_take_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "MATCH_SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(InputError, match="takes too long"):
        values_found(r"(a+)+b", ["a" * 60])
    assert time.monotonic() - start < 10
