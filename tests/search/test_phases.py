"""A search and, after it, the confirmation of its finalists: the same by every runner."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from search.budget import Budget, Clock
from search.confirm.confirming import Confirming
from search.confirm.reruns import FINALISTS, finalists_of, reruns
from search.errors import StudyError
from search.events import Event
from search.files import write_json
from search.objective import Outcome, Step, Steps, Task
from search.phases import Rerunning, Searching, phases
from search.prior import PRIOR
from search.reading import read_json
from search.samplers.warm import PriorSource, learn
from search.seeds import derive
from search.serial import run_serial
from search.space import SearchSpace
from search.store import places
from search.store.record import read_study
from search.study import Study, StudyConfig
from search.trials.halving import Halving
from search.trials.marks import CONFIRMS, ROUND, confirms, round_of, searched

Run = Callable[..., Any]
STEPS = 4
SPACE = {
    "name": "tiny",
    "genes": {
        "x": {"low": 0.0, "high": 1.0},
        "kind": {"choices": ["a", "b"]},
        "n": {"type": "int", "low": 1, "high": 9, "when": {"kind": "b"}},
    },
    "fixed": {"steps": STEPS},
    "points": [{"name": "low", "params": {"x": 0.5, "kind": "a"}}],
}
SHORT = Halving(1, 2, 2, promote=True)


class Noisy:
    """A trial climbs to ``x``, and on a rerun's split a little further. Resumes from its file."""

    def __init__(self, ends: Sequence[int] = (), fails: Sequence[float] = ()) -> None:
        self.ends = ends
        self.fails = fails

    def identity(self, params: Any) -> str:
        return f"{params['x']:.3f} {params['kind']} {params.get('n')}"

    def __call__(self, task: Task) -> Steps:
        file = task.folder / "done.json"
        done = read_json(file) if file.exists() else 0
        extra = 0.0 if task.round is None else 1 + derive(task.seed, "luck") / 2**33
        for number in range(1, STEPS + 1):
            if number > done:
                task.folder.mkdir(parents=True, exist_ok=True)
                write_json(file, number)
            yield Step(number, (task.params["x"] + extra) * number / STEPS, last=number == STEPS)
        if task.round is not None and task.params["x"] in self.fails:
            raise RuntimeError("it does not train on other splits")
        return Outcome(task.params["x"] + extra)


def best_three(trials: Sequence[FrozenTrial]) -> list[int]:
    """The three best, and an assertion: no rerun is among the trials."""
    assert trials == searched(trials)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    return [t.number for t in sorted(complete, key=lambda t: -t.values[0])[:3]]


def confirming(reruns: int = 8, **changes: Any) -> Confirming:
    return Confirming(best_three, reruns, **changes)


def make(folder: Path, sampler: str = "genetic", **changes: Any) -> Study:
    options = {"population_size": 4} if sampler in ("genetic", "nsga2", "cmaes") else {}
    settings: dict[str, Any] = {"sampler_options": options, **changes}
    config = StudyConfig("tiny", sampler, seed=5, **settings)
    return Study.create(folder / "study", SearchSpace.from_dict(SPACE, "tiny.yaml"), config)


@pytest.fixture(params=["serial", pytest.param("ray", marks=pytest.mark.ray)])
def run(request: pytest.FixtureRequest) -> Run:
    if request.param == "serial":
        return run_serial
    request.getfixturevalue("ray_session")
    from ray import cloudpickle

    from search.tune import Resources, run_tune

    cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def run_on_ray(
        study: Study,
        objective: Any,
        budget: Budget | None,
        on_event: Any = None,
        confirm: Any = None,
    ) -> None:
        run_tune(study, objective, budget, Resources(concurrent=2), on_event, confirm=confirm)

    return run_on_ray


def told(trials: Sequence[FrozenTrial]) -> list[Any]:
    """What a trial is, but for when and where it ran."""
    return [
        [t.number, t.state, t.params, t.values, t.intermediate_values,
         {k: v for k, v in t.user_attrs.items() if k not in ("started", "spans", "attempt")}]
        for t in trials
    ]  # fmt: skip


def drawn(trials: Sequence[FrozenTrial]) -> list[Any]:
    """What the search has drawn for its own trials, whatever their numbers are."""
    kept = ("seed", "generation", "point", "params", "carried", PRIOR)
    return [
        [t.state, t.params, t.values, {k: t.user_attrs.get(k) for k in kept}]
        for t in searched(trials)
    ]


def test_a_search_ends_in_its_confirmation(run: Run, tmp_path: Path) -> None:
    events: list[Event] = []
    with make(tmp_path) as study:
        run(study, Noisy(), Budget(trials=8), events.append, confirm=confirming())
        trials, own = study.trials(), study.searched()
        assert [t.number for t in own] == list(range(8))
        again = trials[8:]
        assert len(again) == len(reruns(trials)) == 8
        assert {confirms(t) for t in again} <= set(finalists_of({FINALISTS: study.get(FINALISTS)}))
        assert finalists_of({FINALISTS: study.get(FINALISTS)}) == tuple(best_three(own))
        for trial in again:
            original = trials[confirms(trial) or 0]
            assert trial.state == TrialState.COMPLETE
            assert (trial.params, trial.distributions) == (original.params, original.distributions)
            assert trial.user_attrs["params"] == original.user_attrs["params"]
            task = study.task(trial.number)
            assert (task.round, task.seed) == (round_of(trial), trial.user_attrs["seed"])
        assert len({t.user_attrs["seed"] for t in trials}) == 16
        assert len({(confirms(t), round_of(t)) for t in again}) == 8
        counts = study.counts()
        assert (counts["reruns"], sum(counts.values())) == (8, 16)
        kinds = [[e.kind for e in events if e.number == n] for n in range(8, 16)]
        assert kinds == [["start", *["step"] * STEPS, "end"]] * 8
        assert all((e.task.round is None) == (e.number < 8) for e in events)


def test_no_rerun_is_the_best_whoever_asks(tmp_path: Path) -> None:
    with make(tmp_path) as study:
        run_serial(study, Noisy(), Budget(trials=6), confirm=confirming(4))
        best = study.best()
        assert best is not None
        assert best.number == best_three(study.searched())[0]
        assert max(t.values[0] for t in study.trials()) > best.values[0]
    record = read_study(study.folder)
    assert record.best() == best
    assert record.front() == [best]
    assert [t.number for t in record.searched] == list(range(6))
    assert len(record.trials) == 10
    url = f"sqlite:///{study.folder / places.HISTORY}"
    plain = optuna.load_study(study_name="tiny", storage=url)
    assert plain.best_trial.number == best.number
    assert [t.number for t in plain.best_trials] == [best.number]
    table = plain.trials_dataframe()
    assert table["params_x"].notna().all()
    assert list(table["user_attrs_confirms"].dropna()) == [confirms(t) for t in record.trials[6:]]


@pytest.mark.parametrize("sampler", ["genetic", "tpe", "qmc", "random", "nsga2", "cmaes"])
def test_the_search_goes_on_after_a_confirmation_as_without_one(
    sampler: str, tmp_path: Path
) -> None:
    with make(tmp_path / "plain", sampler, halving=SHORT) as plain:
        run_serial(plain, Noisy(), Budget(trials=8))
        run_serial(plain, Noisy(), Budget(trials=16))
        run_serial(plain, Noisy(), Budget(trials=20))
    with make(tmp_path / "confirmed", sampler, halving=SHORT) as study:
        run_serial(study, Noisy(), Budget(trials=8), confirm=confirming(5))
        run_serial(study, Noisy(), Budget(trials=16), confirm=confirming(9))
    with Study.open(study.folder) as study:
        run_serial(study, Noisy(), Budget(trials=20))
        trials = study.trials()
    assert drawn(trials) == drawn(read_study(plain.folder).trials)
    assert len(trials) - 20 in range(9, 15)


def test_earlier_studies_are_tried_after_a_confirmation_as_without_one(tmp_path: Path) -> None:
    with make(tmp_path / "earlier", "random") as earlier:
        run_serial(earlier, Noisy(), Budget(trials=10))
        plain = learn([PriorSource("earlier", earlier.trials())], earlier.space.distributions())
        run_serial(earlier, Noisy(), None, confirm=confirming(4))
        prior = learn([PriorSource("earlier", earlier.trials())], earlier.space.distributions())
    assert prior == plain, "what is learnt of a study is learnt of its search"
    with make(tmp_path / "plain", "random", prior=prior) as study:
        run_serial(study, Noisy(), Budget(trials=14))
        wanted = drawn(study.trials())
    with make(tmp_path / "confirmed", "random", prior=prior) as study:
        run_serial(study, Noisy(), Budget(trials=4), confirm=confirming(5))
        run_serial(study, Noisy(), Budget(trials=14))
        assert drawn(study.trials()) == wanted
        marked = [t.number for t in study.trials() if PRIOR in t.user_attrs]
    assert max(marked) > 9, "none is after the reruns"


def test_parents_are_named_by_the_numbers_that_they_have(tmp_path: Path) -> None:
    with make(tmp_path / "plain") as plain:
        run_serial(plain, Noisy(), Budget(trials=24))
    with make(tmp_path / "confirmed") as study:
        run_serial(study, Noisy(), Budget(trials=12), confirm=confirming(5))
        run_serial(study, Noisy(), Budget(trials=24))
        own = study.searched()
        trials = study.trials()
    found = read_study(plain.folder).trials
    late = set()
    for trial, other in zip(own[1:], found[1:], strict=True):
        parents = trial.user_attrs["lineage"]["parents"]
        turns = [own.index(trials[parent]) for parent in parents]
        assert turns == other.user_attrs["lineage"]["parents"]
        late.update(parents)
    assert max(late) >= 17, "no parent was asked for after the confirmation"


def test_a_generation_is_counted_without_reruns(run: Run, tmp_path: Path) -> None:
    options = {"population_size": 4, "scheme": "generational"}
    with make(tmp_path, sampler_options=options) as study:
        run(study, Noisy(), Budget(trials=8), confirm=confirming(3))
        run(study, Noisy(), Budget(trials=16))
        own = study.searched()
    assert [t.user_attrs["generation"] for t in own] == [n // 4 for n in range(16)]


def test_halving_neither_stops_a_rerun_nor_asks_it(tmp_path: Path) -> None:
    with make(tmp_path, halving=SHORT) as study:
        for value in (0.9, 0.8, 0.7):
            task = study.ask()
            study.report(task.number, Step(1, value))
            study.tell(task.number, Outcome(value))
        task = study.ask_rerun(1, 0)
        assert all(study.report(task.number, Step(n, -1.0)) for n in (1, 2, 3, 4))
        study.tell(task.number, Outcome(5.0))
        task = study.ask()
        assert study.report(task.number, Step(1, 0.95)), "the rerun's values count at the rungs"


def test_a_rerun_neither_answers_a_repeat_nor_is_one(tmp_path: Path) -> None:
    with make(tmp_path) as study:
        objective = Noisy()
        run_serial(study, objective, Budget(trials=1))
        trained = read_json(study.folder / "trials" / "0" / "done.json")
        run_serial(study, objective, Budget(trials=1), confirm=confirming(3))
        assert [t.values for t in study.trials()[1:]] != [study.trials()[0].values] * 3
        assert trained == read_json(study.folder / "trials" / "3" / "done.json")
        answer = study.repeats.answer(study.trials(), 3)
        assert answer is not None
        assert answer.number == 0


class Killed(BaseException):
    """Ends a run at once, as a kill would."""


@pytest.mark.parametrize("at", [1, 2, 6, 7, 16, 33, 42])
def test_a_confirmation_that_was_killed_goes_on_as_if_it_had_not_been(
    at: int, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    with make(whole) as study:
        run_serial(study, Noisy(), Budget(trials=6), confirm=confirming(7))
        wanted = told(study.trials())
    seen = itertools.count(1)

    def kill(event: Event) -> None:
        if event.task.round is not None and next(seen) == at:
            raise Killed

    with make(cut) as study, pytest.raises(Killed):
        run_serial(study, Noisy(), Budget(trials=6), kill, confirm=confirming(7))
    with Study.open(study.folder) as study:
        before = len(study.trials())
        run_serial(study, Noisy(), Budget(trials=6), confirm=confirming(7))
        assert told(study.trials()) == wanted
        assert before <= 13


def test_reruns_that_were_cut_off_go_on_under_their_numbers(run: Run, tmp_path: Path) -> None:
    def kill(event: Event) -> None:
        if event.task.round is not None and event.step is not None and event.step.number == 2:
            raise Killed

    with make(tmp_path) as study, pytest.raises(Killed):
        run(study, Noisy(), Budget(trials=6), kill, confirm=confirming(7))
    with Study.open(study.folder) as study:
        left = [t for t in study.trials() if not t.state.is_finished()]
        assert left
        assert all(t.number >= 6 for t in left)
        events: list[Event] = []
        run(study, Noisy(), Budget(trials=6), events.append, confirm=confirming(7))
        trials = study.trials()
        assert next(e.kind for e in events if e.number == left[0].number) == "retry"
        for before in left:
            after = trials[before.number]
            assert after.state == TrialState.COMPLETE
            assert (after.user_attrs["attempt"], confirms(after)) == (1, confirms(before))
            assert after.intermediate_values.items() >= before.intermediate_values.items()
        pairs = {(confirms(t), round_of(t)) for t in trials[6:]}
        assert len(pairs) == len(trials) - 6 == 7


def test_finalists_stay_while_they_are_confirmed_and_are_chosen_anew_after_more_search(
    tmp_path: Path,
) -> None:
    asked: list[int] = []

    def choose(trials: Sequence[FrozenTrial]) -> list[int]:
        asked.append(len(trials))
        return best_three(trials)

    plan = Confirming(choose, 6)
    with make(tmp_path) as study:
        run_serial(study, Noisy(), Budget(trials=6), confirm=plan)
        first = study.get(FINALISTS)
        run_serial(study, Noisy(), None, confirm=plan)
        assert (asked, len(study.trials()), study.get(FINALISTS)) == ([6], 12, first)
        run_serial(study, Noisy(), Budget(trials=12), confirm=plan)
        assert asked == [6, 12]
        second = study.get(FINALISTS)
        assert (first["after"], second["after"]) == (6, 12)
        old = [r for r in reruns(study.trials()[:12]) if r.finalist in second["numbers"]]
        assert len(study.trials()) == 12 + 6 + 6 - len(old), "what was confirmed counts"
        run_serial(study, Noisy(), None, confirm=Confirming(choose, 9, top=2))
        assert asked[2:] == [12]
        assert study.get(FINALISTS)["top"] == 2
    assert finalists_of(read_study(study.folder).attrs) == tuple(second["numbers"])


def test_the_number_of_reruns_may_follow_from_the_search(tmp_path: Path) -> None:
    with make(tmp_path) as study:
        plan = Confirming(best_three, lambda trials: len(trials) // 2)
        run_serial(study, Noisy(), Budget(trials=6), confirm=plan)
        assert study.counts()["reruns"] == 3


@pytest.mark.parametrize(("trials", "expected"), [(0, 0), (1, 3)])
def test_one_trial_is_confirmed_alone_and_none_not_at_all(
    trials: int, expected: int, tmp_path: Path
) -> None:
    with make(tmp_path) as study:
        run_serial(study, Noisy(), Budget(trials=trials), confirm=confirming(3))
        assert study.counts()["reruns"] == expected
        assert len(study.trials()) == trials + expected


def test_a_finalist_that_fails_on_another_split_is_out(run: Run, tmp_path: Path) -> None:
    with make(tmp_path) as study:
        run(study, Noisy(), Budget(trials=6))
        worst = best_three(study.searched())[2]
        bad = study.trials()[worst].params["x"]
        run(study, Noisy(fails=[bad]), None, confirm=confirming(9))
        found = reruns(study.trials())
        assert len(found) == 9
        assert len([r for r in found if r.finalist == worst]) in (1, 2)


def test_a_rerun_that_the_machine_ends_is_run_again_and_not_for_ever(tmp_path: Path) -> None:
    with make(tmp_path, retries=1) as study:
        run_serial(study, Noisy(), Budget(trials=6))
        phase = Rerunning(study, confirming(6))
        ended: list[tuple[int, int]] = []
        while (task := phase.next(False)) is not None:
            trial = study.trials()[task.number]
            ended.append((trial.user_attrs[CONFIRMS], trial.user_attrs[ROUND]))
            study.tell(task.number, Outcome.failed("killed", "again"))
            phase.happened()
            assert len(ended) < 20
        assert sorted(ended) == sorted(2 * [(n, 0) for n in best_three(study.searched())])


def test_when_the_searchs_time_is_up_its_finalists_have_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("search.phases.Clock", partial(Clock, now=lambda: now[0]))

    def slow(task: Task) -> Steps:
        for number in range(1, STEPS + 1):
            now[0] += 1.0
            yield Step(number, task.params["x"], last=number == STEPS)
        return Outcome(task.params["x"])

    with make(tmp_path) as study:
        run_serial(study, slow, Budget(seconds=14), confirm=confirming(40, seconds=30))
        own, again = study.searched(), study.trials()[4:]
        assert [t.state.name for t in own] == ["COMPLETE"] * 3 + ["RUNNING"]
        assert [t.state.name for t in again] == ["COMPLETE"] * 4
        assert study.counts()["interrupted"] == 1
        run_serial(study, slow, Budget(seconds=14), confirm=confirming(40, seconds=33))
        assert [t.state.name for t in study.trials()[8:]] == ["RUNNING"]
        run_serial(study, slow, Budget(seconds=38), confirm=confirming(40, seconds=50))
        assert study.trials()[3].state == TrialState.COMPLETE, "the search goes on first"
        assert study.trials()[8].state == TrialState.COMPLETE
        assert study.get(FINALISTS)["after"] == 4


def test_what_the_search_holds_when_its_time_is_up_is_not_the_confirmations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("search.phases.Clock", partial(Clock, now=lambda: now[0]))

    def failing(task: Task) -> Steps:
        now[0] += 1.0
        if task.number == 5:
            raise OSError(28, "no space left on the device")
        yield Step(1, task.params["x"], last=True)
        return Outcome(task.params["x"])

    with make(tmp_path) as study:
        run_serial(study, failing, Budget(seconds=6), confirm=confirming(4))
        assert [t.state.name for t in study.searched()] == ["COMPLETE"] * 5 + ["RUNNING"]
        assert study.counts()["interrupted"] == 1
        assert study.counts()["reruns"] == 4


def test_a_run_without_any_part_is_refused(tmp_path: Path) -> None:
    with make(tmp_path) as study, pytest.raises(ValueError, match="needs a budget"):
        next(phases(study, None, None))


def test_only_a_trial_of_the_search_can_be_run_again(tmp_path: Path) -> None:
    with make(tmp_path) as study:
        run_serial(study, Noisy(), Budget(trials=1), confirm=confirming(1))
        with pytest.raises(ValueError, match="trial 1 is a rerun"):
            study.ask_rerun(1, 0)
        with pytest.raises(ValueError, match="from 0"):
            study.ask_rerun(0, -1)
        with pytest.raises(StudyError, match="no trial 9"):
            study.ask_rerun(9, 0)
        assert len(study.trials()) == 2


@settings(max_examples=12)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_no_two_workers_are_given_the_same_rerun(
    tmp_path_factory: pytest.TempPathFactory, seed: int, workers: int
) -> None:
    pytest.importorskip("ray")
    from search.tune.driver import Driver
    from search.tune.worker import Report

    rng = random.Random(seed)
    with make(tmp_path_factory.mktemp("study"), "random") as study:
        driver = Driver(study, Searching(study, Budget(trials=5)), lambda: workers)
        keys, running = itertools.count(), {}

        def step() -> None:
            if len(running) < workers and (task := driver.next_task(key := str(next(keys)))):
                running[key] = task
                driver.began(key, "here:1")
                return
            if not running:
                return
            key = rng.choice(list(running))
            task = running.pop(key)
            fate = rng.random()
            value = task.params["x"] + rng.gauss(0.0, 0.1)
            if fate < 0.1:
                driver.lost(key, "its node went away")
                return
            driver.report(key, Report(task.number, "here:1", 0.0, 1.0, Step(1, value)))
            outcome = Outcome.failed("nan", "nan") if fate < 0.2 else Outcome(value)
            driver.report(key, Report(task.number, "here:1", 0.0, 1.0, outcome=outcome))

        for part in (None, Confirming(best_three, 9)):
            if part is not None:
                driver.finish()
                driver.begin(Rerunning(study, part))
            for _ in range(400):
                if driver.done:
                    break
                step()
            assert driver.done
        found = [(r.finalist, r.round) for r in reruns(study.trials())]
        assert len(found) == len(set(found)) <= 9
        assert all(t.state.is_finished() for t in study.trials())
