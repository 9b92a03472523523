"""Studies of several objectives: the engine, the samplers that take them, and kills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from search.budget import Budget
from search.errors import SearchError, StudyError
from search.objective import Outcome, Step, Steps, Task
from search.samplers import SAMPLERS
from search.serial import run_serial
from search.space import SearchSpace
from search.store import places
from search.study import Study, read_study
from search.study_config import StudyConfig
from search.trials.halving import Halving

SPACE = SearchSpace.from_dict(
    {
        "genes": {
            "kind": {"choices": ["a", "b"]},
            "x": {"low": 0.0, "high": 1.0},
            "n": {"type": "int", "low": 1, "high": 9, "when": {"kind": "b"}},
        },
        "points": [{"name": "by-hand", "params": {"kind": "a", "x": 0.25}}],
    },
    "small",
)
BOTH = ("maximize", "minimize")


def config(sampler: str = "random", **changes: Any) -> StudyConfig:
    given = {"directions": BOTH, "metrics": ("score", "cost"), **changes}
    return StudyConfig(name="s", sampler=sampler, seed=5, **given)


def objective(task: Task) -> Steps:
    """Kind b costs more, and has more of it for its cost."""
    x = float(task.params["x"])
    cost = float(task.params.get("n", 0))
    x += cost / 10
    for step in (1, 2, 3):
        yield Step(step, x * step / 3, last=step == 3, others=(cost,))
    if x < 0.1:
        raise RuntimeError("too small")
    return Outcome(x, others=(cost,))


def test_values_of_all_objectives_are_kept_and_optuna_reads_them(tmp_path: Path) -> None:
    with Study.create(tmp_path / "s", SPACE, config()) as study:
        run_serial(study, objective, Budget(trials=8))
        ours = study.trials()
    url = f"sqlite:///{tmp_path / 's' / places.HISTORY}"
    theirs = optuna.load_study(study_name="s", storage=url)
    assert [d.name.lower() for d in theirs.directions] == list(BOTH)
    assert theirs.metric_names == ["score", "cost"]
    for mine, other in zip(ours, theirs.trials, strict=True):
        assert mine.values == other.values
        assert mine.params == other.params
        assert mine.user_attrs == other.user_attrs
    record = read_study(tmp_path / "s")
    assert record.config == config()
    assert {t.number for t in record.front()} == {t.number for t in theirs.best_trials}
    best = record.best()
    assert best is not None
    assert best.values[0] == max(t.values[0] for t in ours if t.state == TrialState.COMPLETE)


def test_a_trial_that_is_stopped_has_no_values(tmp_path: Path) -> None:
    with Study.create(tmp_path / "s", SPACE, config(halving=Halving(1, 2, 2))) as study:
        values = [0.9, 0.8, 0.4]
        costs = [5.0, 1.0, 3.0]
        tasks = [study.ask() for _ in values]
        goes_on = [
            study.report(task.number, Step(1, value, others=(cost,)))
            for task, value, cost in zip(tasks, values, costs, strict=True)
        ]
        assert goes_on == [True, True, False]  # the last is dominated, the second only dearer
        study.prune(2, "stopped early")
        stopped = study.trials()[2]
    assert stopped.values is None
    assert stopped.intermediate_values == {1: 0.4}
    assert stopped.user_attrs["others"] == [3.0]
    assert read_study(tmp_path / "s").trials[2] == stopped


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome(0.5), "crash"),
        (Outcome(0.5, others=(1.0, 2.0)), "crash"),
        (Outcome(0.5, others=(float("inf"),)), "nan"),
        (Outcome(None, others=(1.0,)), "nan"),
    ],
)
def test_values_that_do_not_fit_are_a_failure(
    tmp_path: Path, outcome: Outcome, reason: str
) -> None:
    with Study.create(tmp_path / "s", SPACE, config()) as study:
        study.tell(study.ask().number, outcome)
        (trial,) = study.trials()
        assert trial.state == TrialState.FAIL
        assert trial.user_attrs["reason"] == reason
        assert study.best() is None


def test_of_equal_first_values_the_other_objectives_decide(tmp_path: Path) -> None:
    with Study.create(tmp_path / "s", SPACE, config()) as study:
        for value, cost in ((0.5, 1.0), (0.9, 7.0), (0.9, 3.0)):
            study.tell(study.ask().number, Outcome(value, others=(cost,)))
        best = study.best()
        assert best is not None
        assert best.number == 2
    assert [t.number for t in read_study(tmp_path / "s").front()] == [2, 0]


@pytest.mark.parametrize("sampler", [name for name, entry in SAMPLERS.items() if entry.several])
def test_a_kill_changes_nothing_in_the_end(tmp_path: Path, sampler: str) -> None:
    """The driver dies after every few transactions; the trials are those of one run."""
    halving, count = Halving(1, 2, 2), 8 if sampler == "gp" else 14
    with Study.create(tmp_path / "whole", SPACE, config(sampler, halving=halving)) as study:
        run_serial(study, objective, Budget(trials=count))
        whole = [(t.params, t.values, t.state, t.intermediate_values) for t in study.trials()]
    Study.create(tmp_path / "cut", SPACE, config(sampler, halving=halving)).close()
    left = 0
    for stop in range(3, 200, 5):
        seen = 0

        def tick(event: Any, stop: int = stop) -> None:
            nonlocal seen
            seen += 1
            if seen == stop:
                raise KeyboardInterrupt

        with Study.open(tmp_path / "cut") as study:
            try:
                run_serial(study, objective, Budget(trials=count), tick)
            except KeyboardInterrupt:
                left += 1
            else:
                break
    cut = [
        (t.params, t.values, t.state, t.intermediate_values)
        for t in read_study(tmp_path / "cut").trials
    ]
    assert cut == whole
    assert left > 1
    assert {state for *_, state, _ in whole} >= {TrialState.COMPLETE, TrialState.PRUNED}


@pytest.mark.parametrize("sampler", [name for name, entry in SAMPLERS.items() if not entry.several])
def test_a_sampler_of_one_objective_is_refused_before_anything_is_made(
    tmp_path: Path, sampler: str
) -> None:
    with pytest.raises(SearchError, match="has one objective, the study has 2; use one of"):
        Study.create(tmp_path / "s", SPACE, config(sampler))
    assert not (tmp_path / "s").exists()
    Study.create(tmp_path / "one", SPACE, StudyConfig("s", sampler, 1)).close()


@pytest.mark.parametrize(
    "directions", [(), ("minimize",), ("minimize", "maximize"), ("maximize", "sideways")]
)
def test_directions_that_cannot_be_are_refused(directions: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="directions must be"):
        StudyConfig("s", "random", 1, directions=directions)
    stored = {**StudyConfig("s", "random", 1).to_dict(), "directions": list(directions)}
    with pytest.raises(StudyError, match="directions must be"):
        StudyConfig.from_dict(stored)


def test_metrics_name_each_objective() -> None:
    with pytest.raises(ValueError, match="metrics must name"):
        StudyConfig("s", "random", 1, directions=BOTH, metrics=("score",))


def test_a_study_made_before_there_were_several_objectives_is_read() -> None:
    old = StudyConfig("s", "random", 1).to_dict()
    del old["directions"], old["metrics"]
    assert StudyConfig.from_dict(old) == StudyConfig("s", "random", 1)
