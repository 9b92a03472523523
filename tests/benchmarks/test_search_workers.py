"""The simulated clock against schedules worked out by hand, and what is made of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.search import workers, workers_report
from benchmarks.search.problems import problem
from benchmarks.search.simulator import Schedule, simulate


class Listed:
    """A driver with given seconds for each trial, and a barrier every ``group`` trials."""

    def __init__(self, seconds: list[list[float]], group: int = 0) -> None:
        self.seconds = [list(parts) for parts in seconds]
        self.group = group
        self.asked = self.ended = 0
        self.log: list[str] = []

    def ready(self) -> bool:
        return not self.group or self.ended >= self.asked // self.group * self.group

    def ask(self) -> tuple[int, float]:
        self.asked += 1
        self.log.append(f"ask {self.asked - 1}")
        return self.asked - 1, self.seconds[self.asked - 1].pop(0)

    def advance(self, number: int) -> float | None:
        left = self.seconds[number]
        self.ended += not left
        self.log.append(f"{'step' if left else 'end'} {number}")
        return left.pop(0) if left else None


def test_a_free_worker_takes_the_next_trial() -> None:
    driver = Listed([[3.0], [1.0], [1.0], [4.0]])
    schedule = simulate(driver, 2, 4)
    # Worker 0 is in trial 0 until 3, so worker 1 takes the others one after another.
    assert schedule.spans == {0: (0, 0, 3), 1: (1, 0, 1), 2: (1, 1, 2), 3: (1, 2, 6)}
    assert schedule.ended == [1, 2, 0, 3]
    assert (schedule.last_start, schedule.makespan) == (2, 6)
    assert schedule.utilisation(2) == 1.0
    assert schedule.utilisation(6) == pytest.approx((3 + 1 + 1 + 4) / 12)


def test_at_a_barrier_workers_wait_for_the_slowest() -> None:
    driver = Listed([[3.0], [1.0], [2.0], [2.0]], group=2)
    schedule = simulate(driver, 2, 4)
    assert [schedule.spans[n][1:] for n in range(4)] == [(0, 3), (0, 1), (3, 5), (3, 5)]
    assert schedule.utilisation(schedule.last_start) == pytest.approx(4 / 6)
    assert driver.log[:5] == ["ask 0", "ask 1", "end 1", "end 0", "ask 2"]


def test_a_trial_may_report_before_it_ends() -> None:
    driver = Listed([[1.0, 1.5], [2.0]])
    schedule = simulate(driver, 2, 2)
    assert driver.log == ["ask 0", "ask 1", "step 0", "end 1", "end 0"]
    assert schedule.end(0) == 2.5


def test_events_at_one_time_keep_the_order_in_which_they_were_made() -> None:
    driver = Listed([[1.0], [1.0], [1.0], [1.0]])
    simulate(driver, 2, 4)
    assert driver.log == ["ask 0", "ask 1", "end 0", "ask 2", "end 1", "ask 3", "end 2", "end 3"]


def test_a_driver_that_is_charged_makes_workers_queue(monkeypatch: Any) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("benchmarks.search.simulator.time.perf_counter", lambda: next(clock))
    # Each call of the driver takes 1 real second, here 10 simulated ones: two asks until 20,
    # then the end of trial 0 (it came at 15) until 30, then the third ask until 40.
    schedule = simulate(Listed([[5.0], [50.0], [1.0]]), 2, 3, charge=10.0)
    assert [schedule.spans[n][1:] for n in range(3)] == [(10, 15), (20, 70), (40, 41)]
    assert schedule.charged == [2, 2, 2]


def test_a_driver_that_never_gets_ready_is_an_error() -> None:
    driver = Listed([[1.0], [1.0]], group=1)
    driver.ended = -1
    with pytest.raises(RuntimeError, match="every worker waits after 0 of 2 trials"):
        simulate(driver, 1, 2)


def test_no_time_at_all_has_no_utilisation() -> None:
    assert math.isnan(Schedule(3, {0: (0, 0.0, 1.0)}).utilisation(0.0))


def cell(**changes: Any) -> workers.Cell:
    settings = {
        "sampler": "genetic", "problem": "models-two", "times": "lognormal", "workers": 4,
        "seed": 1, "trials": 30,
    }  # fmt: skip
    return workers.Cell(**{**settings, **changes})


def outcome(result: workers.Result) -> Any:
    """All but the real seconds."""
    return result.started, result.seconds, result.best, result.proposed


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    assert outcome(workers.run(cell())) == outcome(workers.run(cell()))
    assert outcome(workers.run(cell())) != outcome(workers.run(cell(seed=2)))


def test_steady_workers_are_always_busy_and_generational_ones_wait() -> None:
    assert workers.run(cell(workers=8)).started == pytest.approx(1.0)
    assert workers.run(cell(workers=8, sampler="generational")).started < 0.8


def test_lognormal_times_have_the_mean_asked_for() -> None:
    drawn = [workers.lognormal(3, 60.0)(number, {}) for number in range(4000)]
    assert sum(drawn) / len(drawn) == pytest.approx(60.0, rel=0.1)


def test_the_choice_is_by_the_observed_score_in_the_order_of_the_ends() -> None:
    found = problem("models-two")
    driver = workers.StudyDriver(found, workers.SAMPLERS["random"](0, 1), lambda n, p: 1.0, 0)
    driver.scores = {0: (0.1, -3.0), 1: (0.3, -2.0), 2: (0.2, -1.0)}
    schedule = Schedule(1, {n: (0, n, n + 1.0) for n in range(3)}, [2, 0, 1])
    assert workers.improvements(driver, schedule) == [
        (1, 3.0, found.regret(-1.0)),
        (3, 2.0, found.regret(-2.0)),
    ]


def result(sampler: str, count: int, regret: float, at: float) -> workers.Result:
    made = cell(sampler=sampler, workers=count, trials=200)
    best = [(1, 1.0, 1.0), (50, at, regret)]
    return workers.Result(made, 0.9, 0.8, 400.0, 2.0, (0.01, 0.02), 0.1, best, 0.0, 0.0)


def test_the_report_measures_from_random_search_and_from_one_worker(tmp_path: Path) -> None:
    runs = [result("random", 1, 0.5, 100.0), result("genetic", 1, 0.2, 60.0)]
    runs.append(result("genetic", 8, 0.3, 10.0))
    figures = workers_report.figures(runs)
    row = next(r for r in figures["rows"] if r["workers"] == 8)
    assert row["regret_100"] == pytest.approx(0.3)
    assert row["to_target"] == pytest.approx(10.0 / 2.0)
    assert row["reached"] == 1.0
    assert row["more_100"] is None  # one pair has no spread
    assert not workers_report.targets_met(figures)  # 0.9 is busy too little
    text = workers_report.page(tmp_path / "page.html", figures).read_text(encoding="utf-8")
    assert text.count("<table>") == 1
    assert "missed" in text
    assert "cdn.plot" not in text.split("plotly.js v")[0]


def test_a_target_that_is_never_reached_counts_as_infinite() -> None:
    runs = [result("random", 1, 0.5, 100.0), result("tpe", 1, 0.6, 60.0)]
    row = next(r for r in workers_report.figures(runs)["rows"] if r["sampler"] == "tpe")
    assert (row["to_target"], row["reached"]) == (math.inf, 0.0)
    assert workers_report.plain(row)["to_target"] is None
