"""What every runner means: the same study comes out of each."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from search.budget import Budget, Clock
from search.errors import StudyError
from search.events import Event
from search.files import write_json
from search.objective import Outcome, Step, Steps, Task, TrialError
from search.reading import read_json
from search.serial import run_serial
from search.space import SearchSpace
from search.study import Study, StudyConfig
from search.trials.halving import Halving

Run = Callable[..., Any]
SPACE = {
    "name": "tiny",
    "genes": {"x": {"low": 0.0, "high": 1.0}, "kind": {"choices": ["a", "b"]}},
    "fixed": {"steps": 3},
    "points": [{"name": "low", "params": {"x": 0.125, "kind": "a"}}],
}


class Line:
    """A trial's value climbs to ``x``. Keeps a checkpoint and a log of the steps it ran."""

    def __init__(self, seconds: float = 0.0, fates: dict[int, str] | None = None) -> None:
        self.seconds = seconds
        self.fates = fates or {}

    def __call__(self, task: Task) -> Steps:
        fate = self.fates.get(task.number, "")
        try:
            yield from self._steps(task, fate)
        finally:
            note(task, "closed")
        if fate == "infinite":
            return Outcome(float("inf"))
        return Outcome(task.params["x"], attrs={"epochs_run": 3})

    def _steps(self, task: Task, fate: str) -> Iterator[Step]:
        file = task.folder / "checkpoint.json"
        done = read_json(file) if file.exists() else 0
        for number in range(1, 4):
            if number > done:
                time.sleep(self.seconds)
                write_json(file, number)
                note(task, f"step {number}")
            if number == 2:
                fail(fate)
            value = float("nan") if fate == "nan" else task.params["x"] * number / 3
            yield Step(number, value, {"epochs_run": number}, last=number == 3)


def note(task: Task, text: str) -> None:
    task.folder.mkdir(parents=True, exist_ok=True)
    with (task.folder / "log").open("a") as log:
        log.write(f"{text}\n")


def fail(fate: str) -> None:
    if fate == "crash":
        raise RuntimeError("a wire came loose")
    if fate == "memory":
        raise MemoryError("no room")
    if fate == "bad data":
        raise TrialError("bad data", "the labels are gone")


@pytest.fixture(params=["serial", pytest.param("ray", marks=pytest.mark.ray)])
def run(request: pytest.FixtureRequest) -> Run:
    if request.param == "serial":
        return run_serial
    request.getfixturevalue("ray_session")
    from ray import cloudpickle

    from search.tune import Resources, run_tune

    # Workers cannot import a test module by its name.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def run_on_ray(
        study: Study, objective: Any, budget: Budget, on_event: Any = None, workers: int = 1
    ) -> None:
        run_tune(study, objective, budget, Resources(concurrent=workers), on_event)

    return run_on_ray


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    with make(tmp_path) as made:
        yield made


def make(folder: Path, **changes: Any) -> Study:
    settings: dict[str, Any] = {"name": "tiny", "sampler": "random", "seed": 5, **changes}
    space = SearchSpace.from_dict(SPACE, "tiny.yaml")
    return Study.create(folder / "study", space, StudyConfig(**settings))


def log_of(study: Study, number: int) -> list[str]:
    return (study.folder / "trials" / str(number) / "log").read_text().splitlines()


def test_every_trial_of_the_budget_is_run_once(run: Run, study: Study) -> None:
    events: list[Event] = []
    run(study, Line(), Budget(trials=4), events.append)
    trials = study.trials()
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 4
    for trial in trials:
        x = trial.params["x"]
        assert trial.value == x
        assert trial.intermediate_values == {n: x * n / 3 for n in (1, 2, 3)}
        assert trial.user_attrs["epochs_run"] == 3
        ((worker, start, end),) = trial.user_attrs["spans"]
        assert worker
        assert start <= end
        assert log_of(study, trial.number) == ["step 1", "step 2", "step 3", "closed"]
    assert trials[0].params == {"x": 0.125, "kind": "a"}
    for number in range(4):
        mine = [e for e in events if e.number == number]
        assert [e.kind for e in mine] == ["start", "step", "step", "step", "end"]
        assert [e.step.number for e in mine if e.step] == [1, 2, 3]
        assert mine[-1].trial == trials[number]
        assert all(e.task.number == number and e.worker for e in mine)


def test_the_budget_is_the_studys_total(run: Run, study: Study) -> None:
    run(study, Line(), Budget(trials=2))
    before = study.trials()
    run(study, Line(), Budget(trials=3))
    assert study.trials()[:2] == before
    assert [len(log_of(study, n)) for n in range(3)] == [4, 4, 4]
    run(study, Line(), Budget(trials=3))
    assert len(study.trials()) == 3


def test_each_way_to_fail_is_told_apart(run: Run, study: Study) -> None:
    fates = {0: "crash", 1: "memory", 2: "bad data", 3: "nan", 4: "infinite"}
    run(study, Line(fates=fates), Budget(trials=6))
    trials = study.trials()
    assert [t.user_attrs.get("reason") for t in trials] == [
        "crash", "out of memory", "bad data", "nan", "nan", None,
    ]  # fmt: skip
    assert [t.state.name for t in trials] == ["FAIL"] * 5 + ["COMPLETE"]
    assert "a wire came loose" in trials[0].user_attrs["detail"]
    assert trials[2].user_attrs["detail"] == "the labels are gone"
    assert trials[0].intermediate_values == {1: pytest.approx(trials[0].params["x"] / 3)}
    assert all(t.user_attrs.get("deaths") is None for t in trials)
    assert all("closed" in log_of(study, t.number) for t in trials)


def test_the_study_stops_trials_and_what_they_held_is_freed(run: Run, tmp_path: Path) -> None:
    events: list[Event] = []
    with make(tmp_path, halving=Halving(grace=1, reduction=2, min_peers=2)) as study:
        run(study, Line(), Budget(trials=6), events.append)
        trials = study.trials()
        stopped = [t for t in trials if t.state == TrialState.PRUNED]
        assert 0 < len(stopped) < 6
        assert {t.state.name for t in trials} == {"COMPLETE", "PRUNED"}
        for trial in stopped:
            last = max(trial.intermediate_values)
            assert last < 3
            assert trial.value == trial.intermediate_values[last]
            assert trial.user_attrs["reason"] == f"stopped early after step {last}"
            assert len(trial.user_attrs["spans"]) == 1
            steps = [f"step {n}" for n in range(1, last + 1)]
            log = log_of(study, trial.number)
            if log != steps or run is run_serial or trial.number < 5:
                # On Ray the last one's worker may end before it has heard that it is to close it.
                assert log == [*steps, "closed"]
            assert [e.kind for e in events if e.number == trial.number][-1] == "end"


PROMOTE = Halving(grace=1, reduction=2, promote=True)


def steps_run(study: Study, number: int) -> list[str]:
    return [line for line in log_of(study, number) if line != "closed"]


def test_trials_pause_at_rungs_and_go_on_from_their_checkpoint_when_they_are_the_best(
    run: Run, tmp_path: Path
) -> None:
    events: list[Event] = []
    with make(tmp_path, halving=PROMOTE) as study:
        run(study, Line(), Budget(trials=16), events.append)
        trials = study.trials()
        assert study.counts()["paused"] == study.counts()["running"] == 0
    kinds = {n: [e.kind for e in events if e.number == n] for n in range(16)}
    assert kinds[0] == ["start", "step", "step", "step", "end"], "the first is not compared"
    assert sum(k.count("pause") for k in kinds.values()) >= 8
    promoted = [t for t in trials if t.user_attrs.get("promoted")]
    assert promoted
    for trial in trials:
        steps = len(trial.intermediate_values)
        assert steps_run(study, trial.number) == [f"step {n}" for n in range(1, steps + 1)]
        assert kinds[trial.number].count("end") == 1
        resumed = kinds[trial.number].count("retry")
        assert trial.user_attrs["attempt"] == resumed
        assert len(trial.user_attrs["spans"]) == 1 + resumed
        if trial.state == TrialState.PRUNED:
            assert trial.user_attrs["reason"] == f"stopped early after step {steps}"
    reached = sorted((t.params["x"], len(t.intermediate_values)) for t in trials[1:])
    assert [n > 1 for _, n in reached].count(True) >= 15 // 2, "half have passed the first rung"
    assert reached[-1][1] == 3, "the best of all is complete"
    assert all(n > 1 for _, n in reached[-(15 // 2) :]), "those that are in the end the best half"


def test_a_search_cut_off_with_paused_trials_goes_on_to_the_same_end(tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    def paths(name: str) -> Path:
        return tmp_path / name

    with make(paths("whole"), halving=PROMOTE, sampler="genetic") as study:
        run_serial(study, Line(), Budget(trials=14))
        whole = study.trials()
    for kind, nth in (("pause", 4), ("step", 9), ("retry", 1), ("end", 2)):
        left = [nth]

        def cut(event: Event, kind: str = kind, left: list[int] = left) -> None:
            left[0] -= event.kind == kind
            if not left[0]:
                raise CutError

        folder = paths(f"{kind}{nth}")
        with make(folder, halving=PROMOTE, sampler="genetic") as study, pytest.raises(CutError):
            run_serial(study, Line(), Budget(trials=14), cut)
        with Study.open(folder / "study") as study:
            assert study.counts()["paused"] > 0
            run_serial(study, Line(), Budget(trials=14))
            again = study.trials()
        for one, two in zip(whole, again, strict=True):
            assert (one.params, one.values, one.state) == (two.params, two.values, two.state)
            assert one.intermediate_values == two.intermediate_values


def test_paused_trials_wait_for_the_next_run_when_the_time_is_up(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the first run is its number of steps, so it always holds the same trials."""
    steps: list[Event] = []

    def tick(event: Event) -> None:
        steps.extend([event] * (event.kind == "step"))

    with make(tmp_path, halving=PROMOTE) as study, monkeypatch.context() as patch:
        patch.setattr("search.phases.Clock", partial(Clock, now=lambda: float(len(steps))))
        run_serial(study, Line(), Budget(trials=400, seconds=20), tick)
        assert len(steps) == 20
        assert study.counts()["paused"] > 0
        assert study.counts()["pruned"] == 0
        asked = len(study.trials())
    with Study.open(tmp_path / "study") as study:
        run(study, Line(), Budget(trials=asked))
        counts = study.counts()
        assert counts["paused"] == counts["interrupted"] == 0
        assert counts["complete"] + counts["pruned"] == asked == len(study.trials())


def test_when_the_time_is_up_trials_stay_to_be_gone_on_with(run: Run, tmp_path: Path) -> None:
    with make(tmp_path) as study:
        run(study, Line(0.05), Budget(trials=400, seconds=0.9))
        counts = study.counts()
        left = [t.number for t in study.trials() if not t.state.is_finished()]
        assert counts["failed"] == counts["pruned"] == 0
        assert len(study.trials()) < 400
        assert study.get("elapsed") >= 0.9
    events: list[Event] = []
    with Study.open(tmp_path / "study") as study:
        total = len(study.trials()) + 1
        run(study, Line(), Budget(trials=total, seconds=1e9), events.append)
        assert study.counts()["complete"] == total
        for number in range(total):
            ran = [line for line in log_of(study, number) if line != "closed"]
            assert ran == ["step 1", "step 2", "step 3"]
    assert [e.number for e in events if e.kind == "retry"] == sorted(left)
    assert next(e.kind for e in events if e.number == total - 1) == "start"


def test_no_time_left_means_that_nothing_begins(run: Run, study: Study) -> None:
    events: list[Event] = []
    run(study, Line(), Budget(trials=3, seconds=0.0), events.append)
    assert study.trials() == []
    assert events == []


def test_trials_left_running_go_first_and_from_their_checkpoint(run: Run, tmp_path: Path) -> None:
    with make(tmp_path) as study:
        for saved, reported in ((2, 2), (2, 1), (0, 0)):
            task = study.ask()
            if saved:
                write_json(task.folder / "checkpoint.json", saved)
            for number in range(1, reported + 1):
                study.report(task.number, Step(number, task.params["x"] * number / 3))
    events: list[Event] = []
    with Study.open(tmp_path / "study") as study:
        run(study, Line(), Budget(trials=4), events.append)
        trials = study.trials()
        assert [t.state.name for t in trials] == ["COMPLETE"] * 4
        assert [t.user_attrs["attempt"] for t in trials] == [1, 1, 1, 0]
        assert all(len(t.intermediate_values) == 3 for t in trials)
        assert [len(log_of(study, n)) for n in range(4)] == [2, 2, 4, 4]
    kinds = {e.number: e.kind for e in reversed(events)}
    assert kinds == {0: "retry", 1: "retry", 2: "retry", 3: "start"}


def test_a_generation_waits_for_the_one_before(run: Run, tmp_path: Path) -> None:
    options = {"scheme": "generational", "population_size": 3}
    several = {} if run is run_serial else {"workers": 2}
    events: list[Event] = []
    with make(tmp_path, sampler="genetic", sampler_options=options) as study:
        run(study, Line(), Budget(trials=6), events.append, **several)
        assert study.counts()["complete"] == 6
    ended = 0
    for event in events:
        ended += event.kind == "end"
        if event.kind == "start" and event.number >= 3:
            assert ended >= 3


def test_what_a_listener_raises_ends_the_run(run: Run, study: Study) -> None:
    class OurError(Exception):
        pass

    def listen(event: Event) -> None:
        if event.kind == "end":
            raise OurError("no paper left")

    with pytest.raises(OurError, match="no paper left"):
        run(study, Line(), Budget(trials=9), listen)
    assert len(study.trials()) < 9


def attributed(task: Task) -> Steps:
    """Attributes as numerical libraries give them."""
    import numpy as np

    yield Step(1, np.float32(0.5), {"seen": np.int64(3), "share": (np.float32(0.25),)}, last=True)
    return Outcome(0.5, attrs={"curve": np.arange(2), "unknown": float("nan")})


def test_attributes_are_stored_as_json_has_them(run: Run, study: Study) -> None:
    run(study, attributed, Budget(trials=1))
    attrs = study.trials()[0].user_attrs
    assert study.counts()["complete"] == 1
    assert [attrs[k] for k in ("seen", "share", "curve", "unknown")] == [3, [0.25], [0, 1], None]


def costly(task: Task) -> Steps:
    """What it costs is beyond all numbers in two trials, as expected or in the end."""
    yield Step(1, 0.5, others=(float("inf") if task.number == 0 else 1.0,))
    return Outcome(0.5, others=(float("nan") if task.number == 1 else 1.0,))


def test_a_further_objective_without_end_fails_its_trial_alone(run: Run, tmp_path: Path) -> None:
    with make(tmp_path, directions=("maximize", "minimize")) as study:
        run(study, costly, Budget(trials=3))
        trials = study.trials()
    assert [t.user_attrs.get("reason") for t in trials] == ["nan", "nan", None]
    assert trials[2].values == [0.5, 1.0]


def full(task: Task) -> Steps:
    """A disk without room."""
    yield from ()
    raise OSError(28, "No space left on device")


def test_a_full_disk_stops_the_search_and_costs_no_trial(run: Run, study: Study) -> None:
    with pytest.raises(StudyError, match="No space left on device"):
        run(study, full, Budget(trials=50))
    counts = study.counts()
    assert counts["failed"] == 0
    assert counts["interrupted"] == len(study.trials()) == 3
    run(study, Line(), Budget(trials=4))
    assert study.counts()["complete"] == 4
