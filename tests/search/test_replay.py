"""The same seed and the same order of events: the same trials, wherever and however cut up.

The order of events is that of eight workers whose trials take drawn times and report on the
way, so trials end in another order than they began, and some are stopped early.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from search.objective import Outcome, Step
from search.space import SearchSpace
from search.study import Study, StudyConfig, build_sampler
from search.trials.halving import Halving

WORKERS, TRIALS, STEPS = 8, 40, 3
SPACE = {
    "genes": {
        "model": {"choices": ["a", "b", "c"]},
        "lr": {"low": 1e-5, "high": 1e-1, "log": True},
        "layers": {"type": "int", "low": 1, "high": 9, "when": {"model": "b"}},
        "drop": {"low": 0.0, "high": 0.5, "when": {"model": ["b", "c"]}},
    },
    "points": [{"name": "by-hand", "params": {"model": "a", "lr": 0.001}}],
}


def create(folder: Path, scheme: str) -> Study:
    options = {"scheme": scheme, "population_size": 6}
    config = StudyConfig("s", "genetic", 7, options, Halving(1, 2, 4))
    space = SearchSpace.from_dict(SPACE, "replay")
    return Study.create(folder, space, config)


def score(params: Any, step: int) -> float:
    value = -abs(float(params["lr"]) - 0.01) - abs(params.get("layers", 4) - 6) / 9
    return value - params.get("drop", 0.1) + step / 10


def ready(study: Study) -> bool:
    sampler: Any = build_sampler(study.config, study.space)
    return bool(sampler.ready(study.trials(), len(study.trials())))


def run(study: Study, workers: int, cuts: set[int]) -> Study:
    """Run all trials; after each event in ``cuts`` the driver is made anew from the history."""
    times = random.Random(3)
    events: list[tuple[float, int, int]] = []  # time, trial, step
    idle, now = workers, 0.0
    for event in range(10_000):
        while idle and len(study.trials()) < TRIALS and ready(study):
            number, idle = study.ask().number, idle - 1
            heapq.heappush(events, (now + times.lognormvariate(0, 1), number, 1))
        if not events:
            return study
        now, number, step = heapq.heappop(events)
        params = study.trials()[number].params
        if number % 11 == 10:
            study.tell(number, Outcome.failed("crash"))
        elif not study.report(number, Step(step, score(params, step), last=step == STEPS)):
            study.prune(number, "stopped")
        elif step == STEPS:
            study.tell(number, Outcome(score(params, step)))
        else:
            heapq.heappush(events, (now + times.lognormvariate(0, 1), number, step + 1))
        idle += study.trials()[number].state.is_finished()
        if event in cuts:
            study.close()
            study = Study.open(study.folder)
            study.unfinished()
    raise AssertionError("the trials never end")


def seen(study: Study) -> list[Any]:
    """What must be the same, as JSON has it."""
    trials = [
        [t.number, t.state.name, t.params, t.intermediate_values, t.user_attrs["lineage"]]
        if "lineage" in t.user_attrs
        else [t.number, t.state.name, t.params, t.intermediate_values]
        for t in study.trials()
    ]
    found: list[Any] = json.loads(json.dumps(trials, sort_keys=True))
    return found


def whole(folder: Path, scheme: str, workers: int, cuts: set[int] | None = None) -> list[Any]:
    study = run(create(folder, scheme), workers, cuts or set())
    try:
        return seen(study)
    finally:
        study.close()


@pytest.mark.parametrize("workers", [1, WORKERS])
@pytest.mark.parametrize("scheme", ["steady", "generational"])
def test_a_search_that_is_resumed_over_and_over_is_the_same(
    tmp_path: Path, scheme: str, workers: int
) -> None:
    expected = whole(tmp_path / "whole", scheme, workers)
    states = {trial[1] for trial in expected}
    assert states == {s.name for s in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)}
    assert {model["model"] for _, _, model, *_ in expected} == {"a", "b", "c"}
    cuts = set(range(2, 200, 5))
    assert whole(tmp_path / "cut", scheme, workers, cuts) == expected


@pytest.mark.parametrize("scheme", ["steady", "generational"])
def test_another_process_makes_the_same_trials(tmp_path: Path, scheme: str) -> None:
    code = (
        "import json, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from test_replay import whole\n"
        "print(json.dumps(whole(Path(sys.argv[2]), sys.argv[3], 8)))"
    )
    root = str(Path(__file__).parents[2])
    arguments = [str(Path(__file__).parent), str(tmp_path / "there"), scheme]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == whole(tmp_path / "here", scheme, WORKERS)


def test_the_order_in_which_trials_end_is_part_of_the_event_order(tmp_path: Path) -> None:
    """Otherwise the tests above would pass for a sampler that looks at nothing."""
    one = whole(tmp_path / "one", "steady", 1)
    eight = whole(tmp_path / "eight", "steady", WORKERS)
    assert [t[2] for t in one[:6]] == [t[2] for t in eight[:6]]
    assert [t[2] for t in one] != [t[2] for t in eight]
