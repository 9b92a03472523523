from __future__ import annotations

import pytest

from benchmarks.search import asks
from benchmarks.search.asks import Crowd, Row, parse, workers


def test_a_crowd_of_workers_runs_to_its_end_and_everything_is_counted() -> None:
    options = parse(["workers", "--workers", "10", "--legs", "30", "--genes", "3"])
    found, wrong = workers(options)
    assert wrong == []
    assert found["asked"] + found["went on"] == found["legs"] == 30
    assert found["complete"] + found["stopped at a rung"] == found["asked"]
    assert found["busy until the last start"] == pytest.approx(1)


def test_a_step_that_is_reported_twice_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(Crowd):
        def advance(self, number: int) -> float | None:
            task, *_ = self._running[number]
            self.steps[task.number, 1] += 1
            return super().advance(number)

    monkeypatch.setattr(asks, "Crowd", Forgetful)
    options = parse(["workers", "--workers", "3", "--legs", "5", "--genes", "3"])
    _, wrong = workers(options)
    assert len(wrong) == 1
    assert "reported twice" in wrong[0]


def test_a_ratio_is_that_of_the_medians() -> None:
    assert Row("went on", 100, [3.0, 2.0, 9.0], [1.0, 2.0, 2.0]).ratio == 1.5
