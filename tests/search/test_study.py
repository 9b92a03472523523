from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.asking import build_sampler
from search.errors import StudyError
from search.json_values import plain
from search.objective import Outcome, Step
from search.space import SearchSpace
from search.store import places
from search.store import tables as database
from search.store.lock import DRIVER
from search.store.record import ENDED
from search.store.seal import KEY
from search.study import Study, StudyConfig
from search.study_config import read_settings
from search.trials.halving import Halving

SPACE = {
    "name": "small",
    "genes": {
        "kind": {"choices": ["a", "b"]},
        "x": {"low": 0.0, "high": 1.0},
        "n": {"type": "int", "low": 1, "high": 9, "when": {"kind": "b"}},
    },
    "fixed": {"optimizer": "adamw"},
    "points": [{"name": "by-hand", "params": {"kind": "a", "x": 0.25}}],
}


def config(**changes: Any) -> StudyConfig:
    settings: dict[str, Any] = {"name": "small", "sampler": "random", "seed": 3}
    return StudyConfig(**{**settings, **changes})


def space() -> SearchSpace:
    return SearchSpace.from_dict(SPACE, "small.yaml")


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    made = Study.create(tmp_path / "study", space(), config(halving=Halving(1, 2, 2), retries=1))
    yield made
    made.close()


def plain_optuna(folder: Path) -> optuna.Study:
    url = f"sqlite:///{folder / places.HISTORY}"
    return optuna.load_study(study_name="small", storage=url)


def seen_by_optuna(folder: Path) -> list[FrozenTrial]:
    """What any Optuna tool reads, but for the digests."""
    trials = plain_optuna(folder).trials
    for trial in trials:
        assert set(trial.system_attrs.pop(KEY)) == {"sha256", "user", "system", "times"}
    return trials


def told(study: Study, value: float, steps: int = 1) -> FrozenTrial:
    task = study.ask()
    for step in range(1, steps + 1):
        study.report(task.number, Step(step, value, {"seconds": 0.5}))
    study.tell(task.number, Outcome(value))
    return study.trials()[task.number]


def test_a_study_remembers_what_it_was_made_with(study: Study) -> None:
    settings = study.config
    study.set("target_trials", 7)
    study.close()
    with Study.open(study.folder) as again:
        assert again.config == settings
        assert again.space.to_dict() == space().to_dict()
        assert again.get("target_trials") == 7
        assert again.get("nothing", 5) == 5
        with pytest.raises(ValueError, match="engine's own"):
            again.set("space", {})


def test_optuna_opens_the_same_history(study: Study) -> None:
    told(study, 0.5, steps=2)
    task = study.ask()
    study.report(task.number, Step(1, 0.1, {"auroc": {"Mass": None}}))
    study.prune(task.number, "stopped")
    study.tell(study.ask().number, Outcome.failed("crash", "text"))
    study.ask()
    seen = study.trials()
    assert seen_by_optuna(study.folder) == seen
    assert [t.state.name for t in seen] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    study.close()
    with Study.open(study.folder) as again:
        assert again.trials() == seen


def test_the_first_trials_are_the_known_good_points(study: Study) -> None:
    task = study.ask()
    assert task.params == {"kind": "a", "x": 0.25, "optimizer": "adamw"}
    trial = study.trials()[0]
    assert trial.params == {"kind": "a", "x": 0.25}
    assert trial.user_attrs["point"] == "by-hand"
    assert trial.system_attrs["fixed_params"] == {"kind": "a", "x": 0.25}
    study.ask()
    assert "point" not in study.trials()[1].user_attrs


def test_every_trial_knows_its_seed_generation_and_parameters(study: Study) -> None:
    tasks = [study.ask() for _ in range(11)]
    trials = study.trials()
    assert [t.number for t in tasks] == list(range(11))
    assert len({task.seed for task in tasks}) == 11
    assert [t.user_attrs["generation"] for t in trials] == [0] * 10 + [1]
    for task, trial in zip(tasks, trials, strict=True):
        assert trial.user_attrs["params"] == task.params == {**trial.params, "optimizer": "adamw"}
        assert trial.user_attrs["seed"] == task.seed
        assert task.folder == study.folder / "trials" / str(task.number)


def test_an_ask_repeats_itself_on_the_same_history(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        with Study.create(tmp_path / name, space(), config()) as study:
            found.append([study.ask().params for _ in range(5)])
    assert found[0] == found[1]
    with Study.create(tmp_path / "three", space(), config(seed=4)) as study:
        assert [study.ask().params for _ in range(5)] != found[0]


def test_an_ask_that_fails_leaves_nothing(study: Study, monkeypatch: Any) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("no sampler")

    told(study, 0.5)
    with monkeypatch.context() as patched:
        patched.setattr("search.asking.build_sampler", broken)
        with pytest.raises(RuntimeError, match="no sampler"):
            study.ask()
    assert len(study.trials()) == len(plain_optuna(study.folder).trials) == 1
    assert study.ask().number == 1


def test_the_first_report_of_a_step_stays(study: Study) -> None:
    number = study.ask().number
    assert study.report(number, Step(1, 0.5, {"seconds": 1}))
    assert study.report(number, Step(1, 0.9, {"seconds": 2}))
    trial = study.trials()[number]
    assert trial.intermediate_values == {1: 0.5}
    assert trial.user_attrs["seconds"] == 1


def test_halving_stops_the_worse_and_repeats_its_decision(study: Study) -> None:
    told(study, 0.9, steps=2)
    number = study.ask().number
    assert not study.report(number, Step(1, 0.1))
    assert not study.report(number, Step(1, 0.1)), "as before a kill, so after it"
    assert study.report(study.ask().number, Step(1, 0.1, last=True)), "the last step is let be"
    other = study.ask().number
    assert study.report(other, Step(1, 0.95))
    told(study, 0.99, steps=2)
    told(study, 0.99, steps=2)
    assert not study.report(other, Step(2, 0.1))
    assert study.report(other, Step(1, 0.95)), "it went on from there, and is beyond"


@pytest.mark.parametrize("promote", [False, True])
def test_known_good_points_run_to_their_end_and_are_peers_of_the_others(
    tmp_path: Path, promote: bool
) -> None:
    by_hand = {"name": "another", "params": {"kind": "a", "x": 0.75}}
    two = SearchSpace.from_dict({**SPACE, "points": [*SPACE["points"], by_hand]}, "two.yaml")  # type: ignore[misc]
    halving = Halving(1, 2, 2, promote=promote)
    with Study.create(tmp_path / "two", two, config(halving=halving)) as study:
        told(study, 0.9, steps=2)
        point = study.ask().number
        assert all(study.report(point, Step(step, 0.1)) for step in (1, 2))
        study.tell(point, Outcome(0.1))
        told(study, 0.95, steps=2)
        drawn = study.ask().number
        assert not study.report(drawn, Step(1, 0.05)), "worse than a point and one drawn"


def test_a_pruned_trial_is_worth_its_best(study: Study) -> None:
    number = study.ask().number
    for step, value in enumerate((0.2, 0.7, 0.4), start=1):
        study.report(number, Step(step, value))
    study.prune(number, "stopped early after step 3")
    trial = study.trials()[number]
    assert (trial.state, trial.value) == (TrialState.PRUNED, 0.7)
    assert trial.user_attrs["reason"] == "stopped early after step 3"
    nothing = study.ask().number
    study.prune(nothing, "before its first step")
    assert study.trials()[nothing].value is None


@pytest.mark.parametrize("value", [math.nan, math.inf, None, np.float64("nan")])
def test_a_value_that_is_no_number_is_a_failure(study: Study, value: Any) -> None:
    number = study.ask().number
    study.tell(number, Outcome(value))
    trial = study.trials()[number]
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.FAIL, "nan")


def test_a_failure_keeps_its_reason_and_an_end_is_final(study: Study) -> None:
    number = study.ask().number
    study.tell(number, Outcome.failed("out of memory", "x" * 10_000 + "the end"))
    trial = study.trials()[number]
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["reason"] == "out of memory"
    assert trial.user_attrs["detail"].endswith("the end")
    assert len(trial.user_attrs["detail"]) <= 4000
    study.tell(number, Outcome(1.0))
    study.prune(number, "late")
    assert not study.report(number, Step(1, 0.5))
    assert study.retry(number) is None
    assert study.trials()[number] == trial


def test_an_objective_cannot_overwrite_the_engines_attributes(study: Study) -> None:
    task = study.ask()
    study.report(task.number, Step(1, 0.5, {"seed": -1, "params": {}, "notes": ["mine"]}))
    study.tell(task.number, Outcome(0.5, attrs={"attempt": 99, "device": "cpu"}))
    attrs = study.trials()[task.number].user_attrs
    assert (attrs["seed"], attrs["attempt"], attrs["params"]) == (task.seed, 0, task.params)
    assert (attrs["notes"], attrs["device"]) == (["mine"], "cpu")


def test_spans_add_up_also_after_the_end(study: Study) -> None:
    trial = told(study, 0.5)
    study.span(trial.number, "w1", 1.0, 2.0)
    study.span(trial.number, "w2", 3.0, 4.0)
    expected = [["w1", 1.0, 2.0], ["w2", 3.0, 4.0]]
    assert study.trials()[trial.number].user_attrs["spans"] == expected
    assert plain_optuna(study.folder).trials[0].user_attrs["spans"] == expected


def test_a_dead_worker_is_retried_and_then_given_up(study: Study) -> None:
    task = study.ask()
    again = study.retry(task.number)
    assert again is not None
    assert (again.number, again.params, again.attempt) == (task.number, task.params, 1)
    assert study.retry(task.number, "signal 9") is None
    trial = study.trials()[task.number]
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.FAIL, "killed")
    assert "signal 9" in trial.user_attrs["detail"]


def test_a_trial_that_gets_on_between_deaths_is_not_given_up(study: Study) -> None:
    number = study.ask().number
    for epoch in range(1, 6):
        study.report(number, Step(epoch, 0.5))
        assert study.retry(number) is not None
        assert study.deaths(number) == 1
    study.report(number, Step(5, 0.5))  # known already: no progress
    assert study.retry(number, "signal 9") is None
    assert "2 times in a row" in study.trials()[number].user_attrs["detail"]


def test_best_and_counts(study: Study) -> None:
    assert study.best() is None
    for value in (0.3, 0.8, 0.8):
        told(study, value)
    study.prune(study.ask().number, "x")
    study.tell(study.ask().number, Outcome.failed("crash"))
    study.ask()
    best = study.best()
    assert best is not None
    assert best.number == 1
    states = (*ENDED, "reruns", "running", "paused", "interrupted")
    expected = dict(zip(states, (3, 1, 1, 0, 0, 1, 0, 0), strict=True))
    assert study.counts() == expected
    study.close()
    with Study.open(study.folder) as again:
        assert again.counts() == {**expected, "running": 0, "interrupted": 1}
        assert [t.number for t in again.unfinished()] == [5]
        assert again.counts() == expected
        assert again.unfinished() == []


@pytest.mark.parametrize("genes", [0, 1])
@pytest.mark.parametrize("sampler", ["random", "genetic", "tpe"])
def test_a_trial_without_all_its_parameters_gets_them_later(
    tmp_path: Path, sampler: str, genes: int
) -> None:
    """The kill came between the trial's creation and its last parameter, by another writer."""
    settings = config(sampler=sampler)
    with Study.create(tmp_path / "whole", space(), settings) as whole:
        for value in (0.4, 0.6, 0.5):
            told(whole, value)
        expected = whole.ask()
    with Study.create(tmp_path / "cut", space(), settings) as cut:
        for value in (0.4, 0.6, 0.5):
            told(cut, value)
    other = plain_optuna(tmp_path / "cut")
    other.sampler = build_sampler(settings, space())
    trial = other.ask()
    if genes:
        trial.suggest_categorical("kind", ["a", "b"])
    with Study.open(tmp_path / "cut") as again:
        [task] = again.unfinished()
    assert task.params == expected.params
    assert (task.number, task.seed, task.attempt) == (expected.number, expected.seed, 1)


def test_a_batch_is_all_or_nothing(study: Study) -> None:
    def fails() -> None:
        with study.batch():
            study.report(number, Step(1, 0.5))
            study.tell(number, Outcome(0.5))
            raise KeyboardInterrupt

    number = study.ask().number
    with pytest.raises(KeyboardInterrupt):
        fails()
    trial = study.trials()[number]
    assert trial.state == TrialState.RUNNING
    assert trial.intermediate_values == {}
    assert seen_by_optuna(study.folder) == study.trials()


def test_another_writer_is_noticed(study: Study) -> None:
    study.ask()
    plain_optuna(study.folder).ask()
    with pytest.raises(StudyError, match="another program adds trials"):
        study.ask()


def test_attributes_are_stored_as_json_has_them() -> None:
    given = {
        "a": np.float32(0.5), "b": np.arange(3), "c": (1, math.nan), 4: {2, 1}, "p": Path("x"),
        "s": TrialState.FAIL,
    }  # fmt: skip
    found = plain(given)
    assert found == {"a": 0.5, "b": [0, 1, 2], "c": [1, None], "4": [1, 2], "p": "x", "s": 3}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


# Making and opening


def test_there_is_one_driver(study: Study) -> None:
    with pytest.raises(StudyError, match=r"is running this study .*driver\.lock"):
        Study.open(study.folder)
    study.close()
    assert not (study.folder / DRIVER).exists()
    Study.open(study.folder).close()


def test_a_study_is_made_once(study: Study) -> None:
    study.close()
    with pytest.raises(StudyError, match="holds a study already"):
        Study.create(study.folder, space(), config())
    Study.open(study.folder).close()


def test_a_kill_while_making_leaves_a_folder_that_can_be_used(
    tmp_path: Path, monkeypatch: Any
) -> None:
    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "s"
    for name in ("_create_in", "replace_file"):
        with monkeypatch.context() as patched:
            patched.setattr(database, name, killed)
            with pytest.raises(KeyboardInterrupt):
                Study.create(folder, space(), config())
        with pytest.raises(StudyError, match="holds no study"):
            Study.open(folder)
    with Study.create(folder, space(), config()) as study:
        study.ask()
    names = {path.name for path in folder.iterdir()}
    assert names == {"history.db", "driver.lock"}


def test_odd_folder_names_are_fine(tmp_path: Path) -> None:
    folder = tmp_path / "a {b} %20 #c? ü'\""
    with Study.create(folder, space(), config()) as study:
        study.ask()
    with Study.open(folder) as study:
        assert len(study.trials()) == 1


def foreign(path: Path) -> None:
    optuna.create_study(study_name="theirs", storage=f"sqlite:///{path}")


def tables(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("create table t (x)")
    connection.commit()
    connection.close()


def torn(path: Path) -> None:
    foreign(path)
    data = bytearray(path.read_bytes())
    data[200:60000] = b"\xff" * 59800
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"no database " * 100), "no SQLite file"),
        (torn, "damaged|SQLite"),
        (tables, "no study's history"),
        (foreign, r"not made here \('theirs'\)"),
    ],
)
def test_what_is_no_history_says_so(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "history.db")
    with pytest.raises(StudyError, match=message) as caught:
        Study.open(tmp_path)
    assert str(tmp_path) in caught.value.problems[0]
    assert "\n" not in caught.value.problems[0]


def test_no_study_says_so(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no such study folder"):
        Study.open(tmp_path / "none")
    with pytest.raises(StudyError, match="holds no study"):
        Study.open(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StudyError, match="cannot be made"):
        Study.create(tmp_path / "file" / "s", space(), config())


def test_a_damaged_configuration_says_so(study: Study) -> None:
    study.close()
    connection = sqlite3.connect(study.folder / places.HISTORY)
    connection.execute("delete from study_system_attributes")  # as of an earlier version
    connection.execute("update study_user_attributes set value_json='{}' where key='space'")
    connection.commit()
    connection.close()
    with pytest.raises(StudyError, match="genes: is missing"):
        Study.open(study.folder)


@pytest.mark.parametrize(
    "engine",
    [
        [],
        "x",
        None,
        {"name": "small"},
        {"sampler": ["random"]},
        {"seed": [1]},
        {"sampler_options": 5},
        {"sampler_options": {"population_size": "x"}},
        {"sampler_options": {"population_size": -1}},
        {"halving": {"grace": 0}},
        {"colour": 1},
    ],
)
def test_settings_that_cannot_be_say_so(engine: Any) -> None:
    if isinstance(engine, dict) and "name" not in engine:
        engine = {**config().to_dict(), **engine}
    with pytest.raises(StudyError, match="here: the study's configuration cannot be read: "):
        read_settings({"engine": engine, "space": SPACE}, "here")


def test_a_full_disk_says_so(study: Study) -> None:
    study.ask()
    with study._storage._engine.connect() as connection:
        pages = connection.exec_driver_sql("pragma page_count").scalar()
        connection.exec_driver_sql(f"pragma max_page_count = {pages}")
    with pytest.raises(StudyError, match="disk is full"):
        study.set("big", "x" * 10_000_000)
    assert study.get("big") is None


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /net rw,relatime shared:2 - nfs4 server:/export rw
31 30 8:2 / /net/my\\040disk rw - xfs /dev/sdb rw
broken line
"""


def test_file_systems_are_told_apart(tmp_path: Path) -> None:
    assert places.file_system(Path("/home/x"), MOUNTS) == "ext4"
    assert places.file_system(Path("/net/results"), MOUNTS) == "nfs4"
    assert places.file_system(Path("/net/my disk/results"), MOUNTS) == "xfs"
    assert places.file_system(tmp_path, "") is None


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(places, "file_system", lambda path: "nfs4")
    with pytest.raises(StudyError, match=r"network file system \(nfs4\).*postgresql"):
        Study.create(tmp_path / "s", space(), config())


# Other databases


def test_another_sqlite_file_by_url(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    for name in ("one", "two"):
        with Study.create(tmp_path / name, space(), config(name=name), storage=url) as study:
            study.ask()
            assert not (study.folder / places.HISTORY).exists()
    with Study.open(tmp_path / "two") as study:
        assert study.config.name == "two"
        assert len(study.trials()) == 1
    with pytest.raises(StudyError, match="a study named 'one' already"):
        Study.create(tmp_path / "three", space(), config(name="one"), storage=url)


def test_a_password_is_not_written(tmp_path: Path, monkeypatch: Any) -> None:
    url = "postgresql://me:secret@host/db"
    for step in ("make_tables", "create"):
        monkeypatch.setattr(database, step, lambda *args: None)
    monkeypatch.setattr("search.study.discard", lambda *args: None)
    with pytest.raises(StudyError):  # nobody answers there
        Study.create(tmp_path / "s", space(), config(), storage=url)
    text = (tmp_path / "s" / places.URL_FILE).read_text()
    assert "secret" not in text
    assert text.startswith("postgresql://me@host/db")
    monkeypatch.setenv(places.STORAGE_VARIABLE, url)
    place = places.find_place(tmp_path / "s", None)
    assert (place.url, place.name) == (url, "small")
    assert "secret" not in str(place)


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:"])
def test_a_storage_that_is_none_says_so(tmp_path: Path, url: str) -> None:
    with pytest.raises(StudyError, match="storage"):
        Study.create(tmp_path / "s", space(), config(), storage=url)


@pytest.mark.parametrize("url", ["postgresql+nodriver://me@host/db", "nosuch://host/db"])
def test_a_database_without_a_driver_says_so(tmp_path: Path, url: str) -> None:
    with pytest.raises(StudyError, match=r"driver|plugin"):
        Study.create(tmp_path / "s", space(), config(), storage=url)
