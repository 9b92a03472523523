"""How a study comes into being and goes on: kills, refusals, two at a time, what was asked for."""

from __future__ import annotations

import pkgutil
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cxrsearch.errors import InputError
from cxrsearch.show.status import status
from cxrsearch.study.experiment import Settings, extend, resume, search, start
from cxrsearch.study.prepare import prepare
from search.errors import SearchError, StudyError
from search.store.record import read_study
from search.store.seal import KEY
from search.study import Study, StudyConfig

pytestmark = pytest.mark.usefixtures("tiny_model")


def settings_of(xrays: Path, tiny_space: Path, **more: Any) -> Settings:
    return Settings(**{
        "data": str(xrays), "space": str(tiny_space), "trials": 1, "runner": "serial", **more
    })  # fmt: skip


STEPS = [
    "search.study.places.remember",
    "search.study.tables.create",
    "search.study.DriverStorage",
    "cxrsearch.data.splits.Splits.save",
    "cxrsearch.study.new_study.write_labels",
    "search.study.Study.set",
    "cxrsearch.study.new_study.write_study_yaml",
    "cxrsearch.study.experiment.trial_config",
    "search.study.Study.ask",
]
"""What a start does, in order, until there is a trial."""


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_start_that_is_killed_at_any_step_hinders_neither_a_resume_nor_the_same_start(
    step: str, after: bool, xrays: Path, tiny_space: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder, settings = tmp_path / "study", settings_of(xrays, tiny_space)
    prepared = prepare(settings)
    with monkeypatch.context() as patch:
        die_at(step, after, patch)
        with pytest.raises(Killed):
            start(prepared, folder)
    asked = step.endswith("ask") and after
    if (folder / "study.yaml").exists():
        again = shutil.copytree(folder, tmp_path / "again")
        resume(again)
        assert status(again)["trials"]["complete"] == 1
    if asked:
        with pytest.raises(InputError, match="exists already"):
            search(settings, folder)
        return
    # Whatever was wrong with the first command, another one may be right.
    search(settings_of(xrays, tiny_space, seed=5, trials=2), folder)
    assert status(folder)["trials"]["complete"] == 2


class Killed(BaseException):
    """Nothing cleans up after it: no error is one, and locks go with a process."""


def die_at(step: str, after: bool, patch: pytest.MonkeyPatch) -> None:
    """End before or after the call of ``step``."""
    place, _, name = step.rpartition(".")
    owner = pkgutil.resolve_name(place)
    real = getattr(owner, name)

    def call(*args: Any, **more: Any) -> Any:
        if after:
            real(*args, **more)
        raise Killed

    patch.setattr(owner, name, call)


def test_a_start_that_is_refused_leaves_nothing(
    xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "study"
    wrong: list[dict[str, Any]] = [
        {"storage": "postgresql+psycopg://me@127.0.0.1:9/none"},
        {"storage": "nosuch://host/db"},
        {"sampler": "gp", "objective": "mean_auroc,recall", "space": str(tmp_path / "none.yaml")},
        {"runner": "ray", "address": "ray://127.0.0.1:9"},
    ]
    for more in wrong:
        with pytest.raises(SearchError):
            search(settings_of(xrays, tiny_space, **more), folder)
        assert not folder.exists(), more
    assert status(search(settings_of(xrays, tiny_space), folder))["trials"]["complete"] == 1


def test_a_refused_start_removes_nothing_that_was_there(
    xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    settings = settings_of(xrays, tiny_space, storage="postgresql+psycopg://me@127.0.0.1:9/none")
    with pytest.raises(SearchError):
        search(settings, folder)
    assert {path.name for path in folder.iterdir()} == {"driver.lock"}


def test_trials_without_study_yaml_are_not_deleted(
    finished_study: Path, xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    shutil.copy(finished_study / "history.db", folder)
    with pytest.raises(InputError, match=r"history of a study \(3 trials\) without its study.yaml"):
        search(settings_of(xrays, tiny_space), folder)
    (folder / "history.db").write_bytes(b"damaged" * 1000)
    with pytest.raises(InputError, match="cannot be read"):
        search(settings_of(xrays, tiny_space), folder)
    assert (folder / "history.db").read_bytes() == b"damaged" * 1000


def test_of_two_starts_the_second_is_refused_before_it_touches_anything(
    xrays: Path, tiny_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has seen that nobody is there; then the first begins."""
    prepared = prepare(settings_of(xrays, tiny_space))
    folder = tmp_path / "study"
    first: list[Study] = []

    def look(path: Path) -> bool:
        first.append(Study.create(path, prepared.space, StudyConfig("study", "random", 0)))
        first[0].ask()
        return False

    monkeypatch.setattr("cxrsearch.study.experiment.driver_alive", look)
    with pytest.raises(StudyError, match="another process is running this study"):
        start(prepared, folder)
    first[0].ask()
    first[0].close()
    assert len(read_study(folder).trials) == 2
    assert {path.name for path in folder.iterdir()} == {"history.db", "driver.lock"}


def test_what_an_extension_asked_for_is_gone_on_to_after_a_kill(
    xrays: Path, tiny_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = search(settings_of(xrays, tiny_space, time_budget="1s", trials=200), tmp_path / "s")
    asked: list[float | None] = []

    def run(study: Study, *args: Any, seconds: float | None = None, **other: Any) -> None:
        asked.append(seconds)
        if len(asked) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("cxrsearch.study.experiment.run", run)
    with pytest.raises(KeyboardInterrupt):
        resume(folder, time_budget="1h")
    resume(folder)
    used = read_study(folder).attrs["elapsed"]
    assert asked == [used + 3600, used + 3600]
    extend(folder, 5)
    resume(folder)
    assert asked[2:] == [None, None], "trials are asked for, however long they take"
    assert read_study(folder).attrs["target_trials"] == 205


def test_a_study_of_an_earlier_version_keeps_its_time_budget(
    xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    folder = search(settings_of(xrays, tiny_space, time_budget="1s", trials=200), tmp_path / "s")
    with sqlite3.connect(folder / "history.db") as history:
        history.execute("delete from study_user_attributes where key = 'target_seconds'")
        for table in ("study_system_attributes", "trial_system_attributes"):
            history.execute(f"delete from {table} where key = '{KEY}'")
    history.close()
    said: list[str] = []
    resume(folder, on_note=said.append)
    assert "time budget is used up" in said[0]
