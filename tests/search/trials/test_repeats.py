"""Repeats of a trial are answered from the history, on each runner, and across a kill."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from search.budget import Budget
from search.events import Event
from search.objective import Outcome, Step, Steps, Task
from search.serial import run_serial
from search.space import SearchSpace
from search.study import Study, StudyConfig, read_study
from search.trials.halving import Halving
from search.trials.marks import SAME_AS, same_as
from search.trials.pareto import judged
from search.trials.repeats import Repeats

Run = Callable[..., Any]
SPACE = SearchSpace.from_dict(
    {
        "genes": {
            "k": {"type": "int", "low": 0, "high": 2},
            "idle": {"low": 0.0, "high": 1.0},
        },
        "points": [{"name": "p", "params": {"k": 1, "idle": 0.5}}],
    },
    "small",
)
"""Three kinds of trials only, as ``idle`` does nothing."""


class Counting:
    """A trial is worth its ``k`` after two steps, and notes that it ran."""

    def __init__(self, fails: int | None = None) -> None:
        self.fails = fails

    def __call__(self, task: Task) -> Steps:
        task.folder.mkdir(parents=True, exist_ok=True)
        with (task.folder / "ran").open("a") as file:
            file.write("once more\n")
        k = int(task.params["k"])
        yield Step(1, k / 2)
        if k == self.fails:
            raise RuntimeError("no good")
        yield Step(2, float(k), last=True)
        return Outcome(float(k), attrs={"best_epoch": 2})

    def identity(self, params: Mapping[str, Any]) -> str | None:
        return str(params["k"])


def config(**changes: Any) -> StudyConfig:
    return StudyConfig(**{"name": "s", "sampler": "random", "seed": 3, **changes})


def ran(study: Study) -> set[int]:
    return {int(path.parent.name) for path in study.folder.glob("trials/*/ran")}


@pytest.fixture(params=["serial", pytest.param("ray", marks=pytest.mark.ray)])
def run(request: pytest.FixtureRequest) -> Run:
    if request.param == "serial":
        return run_serial
    request.getfixturevalue("ray_session")
    from ray import cloudpickle

    from search.tune import Resources, run_tune

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return lambda *args: run_tune(args[0], args[1], args[2], Resources(concurrent=1), *args[3:])


def test_a_recipe_is_trained_once_and_its_repeats_say_whose_value_they_have(
    run: Run, tmp_path: Path
) -> None:
    events: list[Event] = []
    with Study.create(tmp_path / "s", SPACE, config()) as study:
        run(study, Counting(), Budget(trials=12), events.append)
        trials = study.trials()
        assert len(trials) == 12
        repeats = [t for t in trials if same_as(t) is not None]
        assert ran(study) == {t.number for t in trials} - {t.number for t in repeats}
        assert len(ran(study)) == 3
        for trial in repeats:
            first = trials[same_as(trial) or 0]
            assert same_as(first) is None
            assert first.params["k"] == trial.params["k"]
            assert (trial.state, trial.values) == (TrialState.COMPLETE, first.values)
            assert trial.intermediate_values == {}
            [end] = [e for e in events if e.number == trial.number]
            assert (end.kind, end.trial) == ("end", trial)
        assert study.counts()["complete"] == 3
        assert study.counts()["repeated"] == len(repeats) == 9
        assert [t.number for t in judged(trials, ("maximize",))] == sorted(ran(study))
        best = study.best()
        assert best is not None
        assert same_as(best) is None
    assert read_study(tmp_path / "s").counts()["repeated"] == 9


def test_without_an_identity_or_where_it_says_none_every_trial_is_trained(tmp_path: Path) -> None:
    class Plain(Counting):
        identity = None  # type: ignore[assignment]

    class Unlike(Counting):
        def identity(self, params: Mapping[str, Any]) -> str | None:
            return None

    for number, kind in enumerate((Plain, Unlike)):
        with Study.create(tmp_path / str(number), SPACE, config()) as study:
            run_serial(study, kind(), Budget(trials=6))
            assert len(ran(study)) == 6


def test_a_failed_recipe_is_trained_again(tmp_path: Path) -> None:
    with Study.create(tmp_path / "s", SPACE, config()) as study:
        run_serial(study, Counting(fails=1), Budget(trials=9))
        failed = [t for t in study.trials() if t.params["k"] == 1]
        assert len(failed) > 1
        assert all(t.state == TrialState.FAIL and same_as(t) is None for t in failed)


def at(study: Study, k: int) -> FrozenTrial:
    """A new trial with ``k``."""
    while True:
        task = study.ask()
        if task.params["k"] == k:
            return study.trials()[task.number]


def test_a_repeat_of_a_paused_or_a_pruned_trial_is_pruned_at_its_value(tmp_path: Path) -> None:
    halving = Halving(1, 2, 2, promote=True)
    with Study.create(tmp_path / "s", SPACE, config(halving=halving)) as study:
        study.repeats = Repeats(Counting())
        first = at(study, 0).number
        study.report(first, Step(1, 0.25))
        study.stop(first)
        assert study.counts()["paused"] == 1
        again = at(study, 0)
        assert (again.state, again.values, same_as(again)) == (TrialState.PRUNED, [0.25], first)
        study.settle()
        once_more = at(study, 0)
        assert (once_more.state, same_as(once_more)) == (TrialState.PRUNED, first)


def test_a_repeat_of_a_running_trial_is_trained(tmp_path: Path) -> None:
    with Study.create(tmp_path / "s", SPACE, config()) as study:
        study.repeats = Repeats(Counting())
        twins = [at(study, 1), at(study, 1)]
        assert not any(t.state.is_finished() for t in twins)


def test_of_several_objectives_a_pruned_repeat_has_no_values(tmp_path: Path) -> None:
    halving = Halving(1, 2, 2, promote=True)
    several = config(halving=halving, directions=("maximize", "minimize"))
    with Study.create(tmp_path / "s", SPACE, several) as study:
        study.repeats = Repeats(Counting())
        first = at(study, 0).number
        study.report(first, Step(1, 0.25, others=(1.0,)))
        study.stop(first)
        again = at(study, 0)
        assert (again.state, again.values) == (TrialState.PRUNED, None)


def test_a_complete_trial_answers_before_a_stopped_one_and_a_repeat_never(tmp_path: Path) -> None:
    with Study.create(tmp_path / "s", SPACE, config()) as study:
        numbers = [at(study, 2).number, at(study, 2).number]
        study.report(numbers[0], Step(1, 0.5))
        study.prune(numbers[0], "by hand")
        study.tell(numbers[1], Outcome(2.0))
        study.repeats = Repeats(Counting())
        answers = [at(study, 2) for _ in range(2)]
        assert [same_as(t) for t in answers] == [numbers[1]] * 2
        assert [t.values for t in answers] == [[2.0]] * 2


def test_a_kill_within_the_answer_leaves_the_same_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(study: Study) -> list[Any]:
        return [(t.params, t.values, same_as(t)) for t in study.trials()]

    with Study.create(tmp_path / "whole", SPACE, config()) as study:
        run_serial(study, Counting(), Budget(trials=8))
        whole = told(study)
    folder = tmp_path / "cut"
    original = Study._set_attr

    def killed(self: Study, number: int, key: str, value: Any) -> None:
        if key == SAME_AS and number > 3:
            raise KeyboardInterrupt
        original(self, number, key, value)

    with Study.create(folder, SPACE, config()) as study:
        monkeypatch.setattr(Study, "_set_attr", killed)
        with pytest.raises(KeyboardInterrupt):
            run_serial(study, Counting(), Budget(trials=8))
    monkeypatch.undo()
    with Study.open(folder) as study:
        run_serial(study, Counting(), Budget(trials=8))
        assert told(study) == whole


def test_an_objective_cannot_call_its_trial_a_repeat(tmp_path: Path) -> None:
    with Study.create(tmp_path / "s", SPACE, config()) as study:
        number = study.ask().number
        study.report(number, Step(1, 0.5, {SAME_AS: 0}))
        assert same_as(study.trials()[number]) is None
