"""The machine's failures are told from the recipes': a full disk fails no trial."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from search.breaker import Breaker, Suspect
from search.budget import Budget
from search.errors import StudyError
from search.events import Event
from search.objective import Outcome, Step, Steps, Task, drive
from search.phases import Searching
from search.serial import run_serial
from search.space import SearchSpace
from search.study import Study, StudyConfig
from search.tune.driver import Driver
from search.tune.worker import Report

SPACE = SearchSpace.from_dict({"genes": {"x": {"low": 0.0, "high": 1.0}}}, "s")
FULL = OSError(28, "No space left on device")


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    with Study.create(tmp_path / "s", SPACE, StudyConfig("s", "random", 3)) as made:
        yield made


def failing(fails: Callable[[Task], BaseException | None], after: int = 0) -> Any:
    """Trials of two steps; ``fails`` says with what one fails after so many."""

    def objective(task: Task) -> Steps:
        for number in (1, 2):
            if number > after and (error := fails(task)):
                raise error
            yield Step(number, task.params["x"])
        return Outcome(task.params["x"])

    return objective


def suspect(number: int, detail: str = "ValueError: so", reason: str = "crash") -> Suspect:
    return Suspect(Task(number, {}, 0, Path()), Outcome.failed(reason, detail))


@pytest.mark.parametrize(
    "error", [FULL, RuntimeError("CUDA error: unspecified launch failure"), ImportError("no timm")]
)
def test_a_search_whose_trials_all_fail_by_the_machine_stops_and_goes_on_when_it_is_mended(
    study: Study, error: BaseException
) -> None:
    with pytest.raises(StudyError, match=r"3 trials in a row failed .*interrupted, not failed"):
        run_serial(study, failing(lambda task: error), Budget(trials=100))
    assert len(study.trials()) == 3
    assert study.counts()["failed"] == 0
    assert study.counts()["interrupted"] == 3
    run_serial(study, failing(lambda task: None), Budget(trials=5))
    assert study.counts()["complete"] == 5


def test_a_disk_that_fills_up_in_the_middle_costs_no_trial(study: Study) -> None:
    full = failing(lambda task: FULL if task.number >= 4 else None, after=1)
    with pytest.raises(StudyError, match="No space left on device"):
        run_serial(study, full, Budget(trials=100))
    assert study.counts()["complete"] == 4
    assert study.counts()["failed"] == 0


def test_an_error_that_all_recipes_have_stops_the_search_too(study: Study) -> None:
    def broken(task: Task) -> BaseException:
        return RuntimeError(f"trial {task.number} found no 'images'")

    with pytest.raises(StudyError, match="RuntimeError: trial"):
        run_serial(study, failing(broken), Budget(trials=100))
    assert study.counts()["failed"] == 0
    assert len(study.trials()) <= 10
    with pytest.raises(StudyError, match="in a row"):
        run_serial(study, failing(broken), Budget(trials=3))


def test_recipes_that_crash_are_failed_and_stop_nothing(study: Study) -> None:
    def some(task: Task) -> BaseException | None:
        return ValueError("too small") if task.params["x"] < 0.4 else None

    events: list[Event] = []
    run_serial(study, failing(some), Budget(trials=40), events.append)
    small = {t.number for t in study.trials() if t.params["x"] < 0.4}
    assert len(small) > 5
    assert {t.number for t in study.trials() if t.state.name == "FAIL"} == small
    assert study.counts()["complete"] == 40 - len(small)
    assert sorted(e.number for e in events if e.kind == "end") == list(range(40))


def test_errors_of_many_kinds_and_those_of_recipes_stop_nothing(study: Study) -> None:
    kinds = [ValueError("a"), KeyError("b"), MemoryError("c")]
    run_serial(study, failing(lambda task: kinds[task.number % 3]), Budget(trials=30))
    assert study.counts()["failed"] == 30


def test_what_has_passed_is_tried_again_and_not_for_ever(study: Study) -> None:
    seen: dict[int, int] = {}

    def flaky(task: Task) -> BaseException | None:
        seen[task.number] = seen.get(task.number, 0) + 1
        often = {1: 1, 4: 99}.get(task.number, 0)
        return FULL if seen[task.number] <= often else None

    run_serial(study, failing(flaky), Budget(trials=12))
    trials = study.trials()
    assert trials[1].state.name == "COMPLETE"
    assert trials[4].user_attrs["reason"] == "machine"
    assert "failed it 3 times" in trials[4].user_attrs["detail"]
    assert study.counts()["complete"] == 11


def test_more_failures_are_needed_where_they_are_common() -> None:
    rare, common = Breaker(), Breaker()
    for number in range(20):
        rare.alive("here", number)
        common.failed("here", suspect(100 + number, "ValueError: so 7"))
        common.alive("here", number)
    rows = []
    for breaker in (rare, common):
        row = 0
        while breaker.out_of_order("here") is None:
            row += 1
            breaker.failed("here", suspect(200 + row, f"ValueError: so {row}"))
        rows.append(row)
    assert rows == [5, 18]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_recipes_that_fail_by_chance_seldom_stop_a_search(share: float) -> None:
    stopped = 0
    for seed in range(50):
        random, breaker = Random(seed), Breaker()
        for number in range(150):
            if random.random() >= share:
                breaker.alive("here", number)
                continue
            breaker.failed("here", suspect(number))
            if breaker.out_of_order("here"):
                stopped += 1
                break
    assert stopped <= 1


def test_a_node_on_which_nothing_went_well_judges_no_recipe_at_the_end(study: Study) -> None:
    driver = Driver(study, Searching(study, Budget(trials=4)), lambda: 2)
    for key, place in [("0", "good"), ("1", "bad"), ("2", "bad"), ("3", "bad")]:
        task = driver.next_task(key)
        assert task is not None
        driver.began(key, place, place)
        failed = Outcome.failed("crash", "OSError: no such folder: /data")
        outcome = Outcome(0.5) if place == "good" else failed
        driver.report(key, Report(task.number, place, 1.0, 2.0, outcome=outcome))
    assert driver.next_task("4") is None
    assert driver.out_of_order is not None
    assert driver.out_of_order[0] == "bad"
    driver.leave_out("bad", "bad is left out")
    again = driver.next_task("4")
    assert again is not None
    assert again.number == 1
    assert study.counts()["failed"] == 0


def test_one_trial_again_and_again_is_no_row_and_places_are_apart() -> None:
    breaker = Breaker()
    for _ in range(20):
        breaker.failed("a", suspect(1, "No space", "machine"))
    for place in "abcdef":
        breaker.failed(place, suspect(2, "No space", "machine"))
        assert breaker.out_of_order(place) is None


def test_the_reason_of_an_error_is_found_behind_those_that_hide_it() -> None:
    def hidden(task: Task) -> Steps:
        yield Step(1, 0.5)
        try:
            raise FULL
        except OSError as error:
            raise RuntimeError("the checkpoint cannot be written") from error

    steps = drive(hidden, suspect(0).task)
    next(steps)
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value.reason == "machine"
    missing = drive(failing(lambda task: FileNotFoundError(2, "gone")), suspect(0).task)
    with pytest.raises(StopIteration) as stop:
        next(missing)
    assert stop.value.value.reason == "crash"


def test_a_node_that_is_out_of_order_is_named_and_its_trials_run_elsewhere(study: Study) -> None:
    events: list[Event] = []
    driver = Driver(study, Searching(study, Budget(trials=6)), lambda: 2, events.append)
    good = driver.next_task("good")
    assert good is not None
    driver.began("good", "host:1", "good node")
    for key in "abc":
        task = driver.next_task(key)
        assert task is not None
        driver.began(key, "host:2", "bad node")
        outcome = Outcome.failed("machine", "OSError: [Errno 28] No space left on device")
        driver.report(key, Report(task.number, "host:2", 1.0, 2.0, outcome=outcome))
    assert driver.out_of_order is not None
    assert driver.out_of_order[0] == "bad node"
    assert driver.next_task("d") is None, "nothing is asked for before the node is left out"
    driver.scatter()
    driver.leave_out("bad node", "bad is left out")
    assert [e.text for e in events if e.kind == "note"] == ["bad is left out"]
    for number in (0, 1, 2, 3, 4, 5):
        task = driver.next_task(str(number))
        assert task is not None
        assert task.number == number
        driver.began(str(number), "host:1", "good node")
        driver.report(
            str(number), Report(number, "host:1", 1.0, 2.0, outcome=Outcome(task.params["x"]))
        )
    assert driver.done
    assert study.counts()["complete"] == 6
    assert not any(t.user_attrs.get("deaths") for t in study.trials())


def test_the_last_trial_that_kills_its_worker_each_time_has_failed(study: Study) -> None:
    driver = Driver(study, Searching(study, Budget(trials=2)), lambda: 1)
    first = driver.next_task("a")
    assert first is not None
    driver.began("a", "w", "node")
    driver.report("a", Report(first.number, "w", 1.0, 2.0, outcome=Outcome(0.5)))
    for turn in range(10):
        if (task := driver.next_task(str(turn))) is None:
            break
        assert task.number == 1
        driver.began(str(turn), "w", "node")
        driver.lost(str(turn), "out of memory")
    assert driver.done
    assert study.trials()[1].user_attrs["reason"] == "killed"
