"""What is shown while a cache is built."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from cxrsearch.data import decoding
from cxrsearch.data.decoding import DecodingView, describe_estimate
from cxrsearch.data.pixels import cache_decode
from cxrsearch.data.pixels.cache_decode import DecodingEstimate

ESTIMATE = DecodingEstimate(
    total=112_120, left=112_120, frame=224, size=112_120 * 224 * 224, folder=Path("caches/one"),
    workers=2, timed=16, seconds=312.0,
)  # fmt: skip


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(decoding, "time", found)
    return found


def shown(steps: list[tuple[float, int]], clock: Clock, total: int = 1000) -> list[str]:
    text = io.StringIO()
    with DecodingView(Console(file=text, width=200)) as view:
        for seconds, done in steps:
            clock.now = 1000.0 + seconds
            view.progress(done, total)
    return text.getvalue().splitlines()


def test_the_estimate_names_images_time_and_room() -> None:
    text = describe_estimate(ESTIMATE)
    for part in ("112,120, to 224 x 224", "about 5:12 with 2 threads", "5.63 GB in caches/one"):
        assert part in text


def test_a_build_that_goes_on_says_how_much_is_left_of_how_much() -> None:
    left = DecodingEstimate(**{**vars(ESTIMATE), "left": 100, "workers": 1})
    assert "100 of 112,120, to" in describe_estimate(left)
    assert "with 1 thread (" in describe_estimate(left)


def test_a_log_gets_a_line_a_minute_with_the_time_left(clock: Clock) -> None:
    lines = shown([(0, 0), (30, 50), (61, 100), (90, 150), (130, 215)], clock)
    assert lines == [
        "decoding images: 100 of 1,000 (10%) | 1:01 gone, about 9:09 left",
        "decoding images: 215 of 1,000 (22%) | 2:10 gone, about 7:51 left",
        "decoded 215 images in 2:10",
    ]


def test_time_left_follows_the_speed_of_the_last_minute(clock: Clock) -> None:
    """Rows that were copied, or there before, came at another speed."""
    first, second, _ = shown([(0, 400), (100, 800), (200, 810)], clock)
    assert "about 0:50 left" in first
    assert "about 31:40 left" in second


def test_nothing_is_shown_where_nothing_is_built(clock: Clock) -> None:
    assert shown([], clock) == []
    assert shown([(0, 1000)], clock) == []


def test_a_terminal_gets_a_bar(clock: Clock) -> None:
    text = io.StringIO()
    console = Console(file=text, width=100, force_terminal=True)
    with DecodingView(console) as view:
        view.progress(0, 40)
        view.estimate(ESTIMATE)
        view.progress(40, 40)
    assert "decoding images" in text.getvalue()
    assert "40/40" in text.getvalue()
    assert "112,120" in text.getvalue()


def test_a_search_tells_what_decoding_takes_before_it_does(
    run: object, xrays: Path, tiny_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_decode, "SAMPLE", 1)
    monkeypatch.setattr("cxrsearch.data.pixels.cache._cpus", lambda: 1)
    timed = lambda kinds, *_, **options: (dict.fromkeys(kinds, 0.01), True)  # noqa: E731
    monkeypatch.setattr("cxrsearch.study.projection.timed", timed)
    words = ["ga", "--data", xrays, "--space", tiny_space, "--trials", 1, "--dry-run"]
    code, out, err = run(*words, "--cache", tmp_path / "cache")  # type: ignore[operator]
    assert code == 0
    assert "images to decode: 80, to 32 x 32; about 0:" in err
    assert f"in {tmp_path / 'cache'}" in err
    assert "decoded 80 images" in err
    assert "image cache: 0.00 GB" in out
    code, _, err = run(*words, "--cache", tmp_path / "cache")  # type: ignore[operator]
    assert code == 0
    assert "decod" not in err
