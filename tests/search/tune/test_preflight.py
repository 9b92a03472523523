"""What a node says before trials run on it, without a cluster: see test_cluster.py for one."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

from ray import cloudpickle

from search.errors import SearchError
from search.objective import Outcome, Step, Steps, Task
from search.stopping import stopping
from search.tune import preflight
from search.tune.cluster import Cluster, Resources, check_fit
from search.tune.preflight import Preflight

cloudpickle.register_pickle_by_value(sys.modules[__name__])

NOTE = ".preflight-abc"


class Training:
    """An objective that names what must be the same, or what is wrong."""

    def __init__(self, version: str = "1", wrong: str = "") -> None:
        self.version = version
        self.wrong = wrong

    def preflight(self) -> dict[str, str]:
        if self.wrong:
            raise SearchError(self.wrong)
        return {"library": self.version}

    def __call__(self, task: Task) -> Steps:
        yield Step(1, 0.0)
        return Outcome(0.0)


class Unloadable:
    """Arrives as an exception."""

    def __reduce__(self) -> Any:
        return (missing, ())


def missing() -> None:
    raise ImportError("no module named 'left_at_home'")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "FILE_PATIENCE", 0.0)


def answer(objective: object, folder: Path) -> tuple[dict[str, str], list[str]]:
    return preflight._answer(cloudpickle.dumps(objective), folder, NOTE)


def test_a_node_that_sees_the_same_writes_back_and_names_its_versions(tmp_path: Path) -> None:
    (tmp_path / NOTE).write_text(NOTE)
    found, problems = answer(Training(), tmp_path)
    assert problems == []
    assert found == {"Python": platform.python_version(), "library": "1"}
    assert (tmp_path / f"{NOTE}-back").read_text() == NOTE


def test_a_folder_that_is_missing_there_or_another_one_is_named_with_the_way_out(
    tmp_path: Path,
) -> None:
    for folder, words in ((tmp_path / "gone", "is not there"), (tmp_path, "is another folder")):
        _, (problem,) = answer(Training(), folder)
        assert problem.startswith(f"{folder} {words}")
        assert "put the study (--study) on a file system that all nodes have" in problem


def test_what_cannot_be_loaded_there_is_said_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / NOTE).write_text(NOTE)
    _, (problem,) = answer(Unloadable(), tmp_path)
    assert "no module named 'left_at_home'" in problem
    _, problems = answer(Training(wrong="the cache is not there; build it"), tmp_path)
    assert problems == ["the cache is not there; build it"]


def test_what_is_another_there_is_named_with_both_values() -> None:
    here = {"Python": "3.11.7", "torch": "2.13.0"}
    assert preflight._differences(here, here) == []
    (problem,) = preflight._differences(here, {"Python": "3.11.7", "torch": "2.12.0"})
    assert problem == "torch is 2.12.0 there, and 2.13.0 here; make both the same"


def test_what_a_node_wrote_elsewhere_cannot_be_read_back(tmp_path: Path) -> None:
    asking = Preflight(Cluster(Resources(), own=False), Training(), tmp_path)
    (problem,) = asking._read_back(NOTE)
    assert f"what it writes to {tmp_path} cannot be read here" in problem


@pytest.mark.ray
def test_a_machine_alone_is_not_asked(ray_session: None, tmp_path: Path) -> None:
    with stopping() as stop:
        asking = Preflight(Cluster(Resources(), own=False), Training(wrong="asked"), tmp_path)
        asking.before(stop)
    assert asking.late() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", preflight.GONE)
def test_a_node_that_dies_before_it_answers_is_not_blamed(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray lists a node as alive for a moment after tasks have failed because it died."""

    def get(answer: object) -> None:
        raise error.__new__(error)

    monkeypatch.setattr(preflight, "alive_nodes", lambda: [{"NodeID": "n", "Resources": {}}])
    monkeypatch.setattr(preflight.ray, "wait", lambda answers, timeout: (answers, []))
    monkeypatch.setattr(preflight.ray, "get", get)
    asking = Preflight(Cluster(Resources(), own=False), Training(), tmp_path)
    asking._seen, asking._asked = {"n"}, {"n": ("answer", NOTE, 0.0)}
    asking._collect()
    assert not asking._bad
    assert "n" not in asking._seen, "asked again, should it be there after all"


def test_on_a_cluster_that_grows_trials_wait_for_nodes_that_are_not_there() -> None:
    cluster = Cluster(Resources(cpus=64, max_concurrent=7), own=False)
    check_fit(cluster)  # asks no Ray
    assert cluster.capacity() == 7
