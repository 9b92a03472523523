"""Before trials run on a cluster, every node says whether they could run there.

A task a node loads the objective, reads a file of the driver's in the study's folder and writes one
back: so each node sees the same folder, and what it writes is seen by the others. What the
objective and this module name, such as versions, must be the same there as here. A cluster that is
this machine alone is not asked anything.
"""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.errors import SearchError, StudyError
from search.files import write_text
from search.objective import Objective
from search.stopping import Stop

from .cluster import Cluster, alive_nodes, slots

ANSWER_PATIENCE = 300.0
"""Seconds that a node has for its answer: libraries may come from a slow file system."""

FILE_PATIENCE = 5.0
"""Seconds until a file that another machine has written must be seen."""

LOOK_EVERY = 1.0
"""Seconds between two looks for nodes that have joined."""

NOTE_PREFIX = ".preflight-"
"""How the files begin by which nodes and driver find out whether they see the same folder."""

GONE = (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError)
"""How Ray answers for a node that is gone, while it may still list it as alive."""

SAME_FOLDER = "put the study (--study) on a file system that all nodes have under this path"


def sameness(objective: Objective) -> dict[str, str]:
    """What must be the same on all nodes, by name, as it is in this process.

    Raises:
        SearchError: where trials of ``objective`` could not run here.
    """
    own = getattr(objective, "preflight", None)
    return {"Python": platform.python_version(), **(own() if own is not None else {})}


def _answer(pickled: bytes, folder: Path, note: str) -> tuple[dict[str, str], list[str]]:
    """What a node says: what must be the same as at the driver, and what is wrong there.

    Args:
        pickled: the objective.
        folder: of the study.
        note: the name of the driver's file in it; it holds its own name.
    """
    problems = _shares(folder, note)
    try:
        return sameness(cloudpickle.loads(pickled)), problems
    except SearchError as error:
        return {}, [*problems, *error.problems]
    except Exception as error:  # whatever a library raises that is missing or another
        return {}, [*problems, f"it cannot load what it should run ({_line(error)}); install there "
                    "what is installed here"]  # fmt: skip


def _shares(folder: Path, note: str) -> list[str]:
    """What is wrong with the study's folder, as seen from here."""
    try:
        if _read_soon(folder / note) != note:
            return [f"{folder} is another folder there than here; {SAME_FOLDER}"]
        write_text(folder / _back(note), note)
    except OSError as error:
        if not folder.is_dir():
            return [f"{folder} is not there; {SAME_FOLDER}"]
        if isinstance(error, FileNotFoundError):
            return [f"{folder} is another folder there than here; {SAME_FOLDER}"]
        return [f"{folder} cannot be used ({_line(error)}); give it room, or its user the right"]
    return []


def _back(note: str) -> str:
    return f"{note}-back"


def _read_soon(path: Path) -> str:
    """The text of a file that another machine has just written.

    Raises:
        OSError: where it is not there soon.
    """
    end = time.monotonic() + FILE_PATIENCE
    while True:
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            if time.monotonic() > end or not path.parent.is_dir():
                raise
            time.sleep(0.1)


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__


class Preflight:
    """Asks the nodes of a cluster, those that are there and those that join.

    Args:
        cluster: whose nodes.
        objective: what they are to run; picklable.
        folder: of the study.
    """

    def __init__(self, cluster: Cluster, objective: Objective, folder: Path) -> None:
        self._cluster = cluster
        self._objective = objective
        self._folder = folder
        self._here: dict[str, str] | None = None
        self._pickled = b""
        self._asked: dict[str, tuple[Any, str, float]] = {}  # answer, note, until when, by node
        self._seen: set[str] = set()
        self._bad: dict[str, list[str]] = {}
        self._looked = 0.0

    def before(self, stop: Stop) -> None:
        """Wait for the answers of all nodes that are there.

        Raises:
            StudyError: naming each node on which trials could not run, why, and the way out.
            Stopped: where a signal came.
        """
        self._ask()
        while self._asked:
            ray.wait([answer for answer, *_ in self._asked.values()], timeout=0.2)
            self._collect()
            stop.raise_()
        if self._bad:
            names = {node: self._cluster.name_of(node) for node in self._bad}
            problems = [(names[node], one) for node, found in self._bad.items() for one in found]
            raise StudyError([f"node {name}: {problem}" for name, problem in problems])

    def late(self) -> tuple[str, str] | None:
        """A node that has joined since and on which trials could not run, with the reason."""
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._ask()
            self._collect()
        if not self._bad:
            return None
        node = next(iter(self._bad))
        return node, "; ".join(self._bad.pop(node))

    def doubts(self) -> bool:
        """Whether some node has not answered yet, or has said that trials could not run there."""
        self._ask()
        return bool(self._asked or self._bad)

    def close(self) -> None:
        """Nobody waits for an answer any more."""
        for _, note, _ in self._asked.values():
            self._forget(note)
        self._asked.clear()

    def _ask(self) -> None:
        """Ask the nodes that have not been asked, unless there is none but this machine."""
        self._looked = time.monotonic()
        if self._cluster.own:
            return
        fit = [n for n in alive_nodes() if slots(n["Resources"], self._cluster.resources)]
        nodes = {node["NodeID"] for node in fit}
        if not nodes - self._seen or nodes == {ray.get_runtime_context().get_node_id()}:
            return
        if self._here is None:
            self._here = sameness(self._objective)
            self._pickled = cloudpickle.dumps(self._objective)
        for node in nodes - self._seen:
            self._seen.add(node)
            note = f"{NOTE_PREFIX}{node[:12]}-{secrets.token_hex(4)}"
            write_text(self._folder / note, note)
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            task = ray.remote(_answer).options(
                num_cpus=0, max_retries=0, scheduling_strategy=there
            )  # fmt: skip
            answer = task.remote(self._pickled, self._folder, note)
            self._asked[node] = (answer, note, time.monotonic() + ANSWER_PATIENCE)

    def _collect(self) -> None:
        """Look at the answers that have come, and at the clock for the others."""
        alive = {node["NodeID"] for node in alive_nodes()} if self._asked else set()
        for node, (answer, note, until) in list(self._asked.items()):
            ready = bool(ray.wait([answer], timeout=0)[0])
            if not ready and node in alive and time.monotonic() < until:
                continue
            del self._asked[node]
            if ready and _gone(answer):
                self._seen.discard(node)  # asked again, should it be there after all
            elif node in alive:
                silent = f"no answer in {ANSWER_PATIENCE:.0f} seconds; mend it, or run without it"
                if found := self._judged(answer, note) if ready else [silent]:
                    self._bad[node] = found
            self._forget(note)

    def _judged(self, answer: Any, note: str) -> list[str]:
        """What is wrong with a node by its ``answer``."""
        try:
            there, problems = ray.get(answer)
        except ray.exceptions.RayError as error:
            return [f"a task failed there ({_line(error)}); install there what is installed here"]
        assert self._here is not None
        if not problems:
            problems = self._read_back(note)
        return [*problems, *_differences(self._here, there)]

    def _read_back(self, note: str) -> list[str]:
        try:
            if _read_soon(self._folder / _back(note)) == note:
                return []
            reason = "it holds something else"
        except OSError as error:
            reason = _line(error)
        return [f"what it writes to {self._folder} cannot be read here ({reason}); {SAME_FOLDER}"]

    def _forget(self, note: str) -> None:
        for name in (note, _back(note)):
            with suppress(OSError):
                (self._folder / name).unlink()


def _gone(answer: Any) -> bool:
    """Whether ``answer``, which has come, is that its node went away before it answered."""
    try:
        ray.get(answer)
    except GONE:
        return True
    except ray.exceptions.RayError:
        return False
    return False


def _differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    return [
        f"{name} is {there[name]} there, and {value} here; make both the same"
        for name, value in here.items()
        if there.get(name, value) != value
    ]
