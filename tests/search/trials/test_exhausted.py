"""A search that only its time limits ends when there is nothing new to try, and not before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from search.budget import Budget
from search.events import Event
from search.objective import Outcome, Step, Steps, Task
from search.phases import Searching
from search.serial import run_serial
from search.space import SearchSpace
from search.study import Study, StudyConfig
from search.trials.exhausted import ASKED, IN_A_ROW, REPEATED, TRIED, Exhaustion
from search.trials.halving import Halving
from search.trials.marks import same_as
from search.trials.repeats import Repeats

FOUR = {"genes": {"a": {"choices": ["x", "y"]}, "b": {"choices": ["x", "y"]}}}
HOURS = Budget(seconds=3600.0)


class Known:
    """Repeats are those with the same parameters; of some recipes every training fails."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails

    def identity(self, params: Mapping[str, Any]) -> str:
        return str(sorted(params.items()))

    def __call__(self, task: Task) -> Steps:
        yield Step(1, 0.25)
        if task.params.get("a") == self.fails:
            raise RuntimeError("not this one")
        return Outcome(0.5)


class Collapsed(Known):
    """All recipes are one."""

    def identity(self, params: Mapping[str, Any]) -> str:
        return "the same"


def make(folder: Path, space: dict[str, Any], sampler: str = "random", **changes: Any) -> Study:
    config = StudyConfig("s", sampler, 3, **changes)
    return Study.create(folder / "s", SearchSpace.from_dict(space, "s"), config)


def trained(study: Study) -> int:
    return sum(same_as(t) is None for t in study.trials())


@pytest.mark.parametrize("sampler", ["random", "genetic", "tpe"])
def test_a_small_space_that_is_used_up_ends_a_search_by_time(tmp_path: Path, sampler: str) -> None:
    events: list[Event] = []
    with make(tmp_path, FOUR, sampler) as study:
        run_serial(study, Known(), HOURS, events.append)
        assert trained(study) == 4
        assert study.counts()["complete"] == 4
        count = len(study.trials())
        assert [e.text for e in events if e.kind == "note"] == [TRIED]
        run_serial(study, Known(), HOURS)
        assert len(study.trials()) == count, "a resume asks for nothing either"
        run_serial(study, Known(), Budget(trials=count + 3))
        assert len(study.trials()) == count + 3, "trials that are asked for by number come"


@pytest.mark.ray
def test_so_it_does_on_workers(tmp_path: Path, ray_session: None) -> None:
    import sys

    from ray import cloudpickle

    from search.tune import run_tune

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    events: list[Event] = []
    with make(tmp_path, FOUR) as study:
        run_tune(study, Known(), HOURS, on_event=events.append)
        assert {tuple(t.params.values()) for t in study.trials()} == {
            (a, b) for a in "xy" for b in "xy"
        }
        assert study.counts()["running"] == study.counts()["interrupted"] == 0
        assert [e.text for e in events if e.kind == "note"] == [TRIED]


def test_what_is_paused_is_settled_and_what_fails_is_tried_twice(tmp_path: Path) -> None:
    halving = Halving(1, 2, 2, promote=True)
    with make(tmp_path, FOUR, halving=halving) as study:
        run_serial(study, Known(fails="y"), HOURS)
        assert study.counts()["paused"] == 0
        failed = [tuple(t.params.values()) for t in study.trials() if t.state.name == "FAIL"]
    assert sorted(set(failed)) == [("y", "x"), ("y", "y")]
    assert all(failed.count(recipe) >= 2 for recipe in failed)


def test_a_space_without_end_ends_after_many_repeats_in_a_row(tmp_path: Path) -> None:
    with make(tmp_path, {"genes": {"x": {"low": 0.0, "high": 1.0}}}) as study:
        events: list[Event] = []
        run_serial(study, Collapsed(), HOURS, events.append)
        assert len(study.trials()) == 1 + IN_A_ROW
        assert [e.text for e in events if e.kind == "note"] == [REPEATED]


def test_habit_ends_nothing_while_recipes_are_new_now_and_then() -> None:
    space = SearchSpace.from_dict({"genes": {"x": {"low": 0.0, "high": 1.0}}}, "s")
    stock = Exhaustion(space, Repeats(Known()), [])
    for _ in range(3):
        for _ in range(IN_A_ROW - 1):
            stock.asked(True)
            assert stock.look([], running=False) == "open"
        stock.asked(False)
    for _ in range(ASKED):
        assert stock.look([], running=True) == "open"
        stock.asked(True)
    assert stock.look([], running=True) == "waits"
    stock.happened()
    assert stock.look([], running=True) == "open"


@pytest.mark.parametrize(
    ("genes", "recipes"),
    [
        ({"a": {"choices": [1, 2, 3]}, "n": {"type": "int", "low": 1, "high": 9, "step": 4}}, 9),
        ({"x": {"low": 0.0, "high": 1.0, "step": 0.25}}, 5),
        ({"a": {"choices": [1, 2]}, "b": {"choices": [3, 4], "when": {"a": 1}}}, 3),
        ({"n": {"type": "int", "low": 1, "high": 4097}}, None),
        ({"a": {"choices": [1, 2]}, "x": {"low": 0.0, "high": 1.0}}, None),
    ],
)
def test_recipes_of_a_space_are_listed_where_they_are_few(
    genes: dict[str, Any], recipes: int | None
) -> None:
    space = SearchSpace.from_dict({"genes": genes}, "s")
    found = Exhaustion(space, Repeats(Known()), [])._all
    assert (None if found is None else len(found)) == recipes
    assert Exhaustion(space, Repeats(), [])._all is None


@pytest.mark.parametrize("sampler", ["random", "genetic", "cmaes"])
def test_steps_of_a_float_are_listed_however_a_sampler_rounds_them(
    tmp_path: Path, sampler: str
) -> None:
    space = {
        "genes": {"s": {"low": -0.3, "high": 0.6, "step": 0.3}, "a": {"choices": ["x", "y"]}},
        "points": [{"name": "by-hand", "params": {"s": 0.3, "a": "x"}}],
    }
    with make(tmp_path, space, sampler) as study:
        run_serial(study, Known(), HOURS)
        assert len({(round(t.params["s"], 3), t.params["a"]) for t in study.trials()}) == 8
        assert len(study.trials()) < 200


@pytest.mark.parametrize("reason", ["killed", "out of memory", "crash"])
def test_a_recipe_that_fails_each_time_is_not_trained_for_ever(tmp_path: Path, reason: str) -> None:
    class Failing(Known):
        def __call__(self, task: Task) -> Steps:
            yield Step(1, 0.25)
            return Outcome.failed(reason, "so") if task.params["a"] == "y" else Outcome(0.5)

    with make(tmp_path, FOUR) as study:
        run_serial(study, Failing(), HOURS)
        assert study.counts()["complete"] == 2
        assert study.counts()["failed"] < 20


def test_the_search_ends_where_another_program_added_the_last_trial(tmp_path: Path) -> None:
    import optuna

    with make(tmp_path, FOUR) as study:
        run_serial(study, Known(), HOURS)
    url = f"sqlite:///{tmp_path / 's' / 'history.db'}"
    other = optuna.load_study(study_name="s", storage=url)
    other.add_trial(optuna.trial.create_trial(value=0.1, user_attrs={"by": "hand"}))
    with Study.open(tmp_path / "s") as study:
        count = len(study.trials())
        run_serial(study, Known(), HOURS, lambda event: None)
        assert len(study.trials()) == count


def test_workers_wait_where_all_that_is_not_known_is_running(tmp_path: Path) -> None:
    with make(tmp_path, FOUR) as study:
        study.repeats = Repeats(Known())
        stock = Exhaustion(study.space, study.repeats, [])
        while len({tuple(t.params.values()) for t in study.trials()}) < 4:
            assert stock.look(study.trials(), running=True) == "open"
            study.ask()
        assert stock.look(study.trials(), running=True) == "waits"
        assert stock.look(study.trials(), running=False) == "open"


def test_a_worker_that_is_free_waits_for_the_last_trials(tmp_path: Path) -> None:
    from search.tune.driver import Driver
    from search.tune.worker import Report

    with make(tmp_path, FOUR) as study:
        study.repeats = Repeats(Known())
        driver = Driver(study, Searching(study, HOURS), lambda: 2)
        waited = False
        running: list[tuple[str, Task]] = []
        for turn in range(500):
            task = driver.next_task(str(turn))
            if task is not None:
                driver.began(str(turn), "w")
                running.append((str(turn), task))
            else:
                waited |= bool(running)
                if not running:
                    break
                key, done = running.pop(0)
                driver.report(key, Report(done.number, "w", 1.0, 2.0, outcome=Outcome(0.5)))
        assert waited
        assert driver.done
        assert len(study.trials()) < 200
