"""Several nodes on this machine: one joins late, one dies, one cannot load the objective.

In a process of its own, since the tests' Ray is one node and stays up. The nodes are raylets, so
each test of it costs some seconds: one story tells all of it.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import textwrap
from typing import Any

import pytest

pytest.importorskip("ray")

STORY = """
    import json, os, sys, time
    from pathlib import Path
    import ray
    from ray.cluster_utils import Cluster
    from search.budget import Budget
    from search.errors import StudyError
    from search.objective import Outcome, Step
    from search.reading import read_json
    from search.files import write_json
    from search.space import SearchSpace
    from search.study import Study, StudyConfig
    from search.tune import Resources, run_tune
    from search.tune.quiet import quiet

    space = SearchSpace.from_dict({"name": "tiny", "genes": {"x": {"low": 0.0, "high": 1.0}}}, "")
    told = Path("left out")
    said = {"notes": [], "pending": 0}

    class Training:
        '''Four steps; goes on from its checkpoint. The last trial waits for the odd node.'''

        def __init__(self):
            self.told = told.absolute()

        def __setstate__(self, state):
            if os.environ.get("ODD"):
                raise ImportError("no module named 'left_at_home'")
            self.__dict__.update(state)

        def __call__(self, task):
            file = task.folder / "checkpoint.json"
            done = read_json(file) if file.exists() else 0
            node = ray.get_runtime_context().get_node_id()
            for number in range(1, 5):
                if number > done:
                    time.sleep(0.2)
                    write_json(file, number)
                yield Step(number, task.params["x"], {f"node{number}": node})
            end = time.monotonic() + 360
            while task.number == 4 and not self.told.exists() and time.monotonic() < end:
                time.sleep(0.1)
            return Outcome(task.params["x"])

    def name_of(node):
        return next((n["NodeName"] for n in ray.nodes() if n["NodeID"] == node), None)

    def joined(name, **more):
        # As long as it takes: `add_node` itself gives up after half a minute.
        node = cluster.add_node(wait=False, num_cpus=1, node_name=name, **more)
        while not any(n["Alive"] and n["NodeName"] == name for n in ray.nodes()):
            time.sleep(0.1)
        return node

    def listen(event):
        if event.kind == "note":
            said["notes"].append(event.text)
            told.touch()
        if event.kind != "step":
            return
        node = name_of(event.step.attrs.get(f"node{event.step.number}"))
        if "second" not in nodes:
            groups = ray.util.placement_group_table().values()
            said["pending"] = sum(group["state"] == "PENDING" for group in groups)
            nodes["second"] = joined("second")
        elif node == "second" and "odd" not in nodes:
            cluster.remove_node(nodes["second"], allow_graceful=False)
            nodes["odd"] = joined("odd", env_vars={"ODD": "1"})

    # A raylet that is killed is missed after seconds, one that is only slow is not.
    patience = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000,
                "health_check_timeout_ms": 10000, "health_check_failure_threshold": 3}
    head = {"num_cpus": 1, "node_name": "head", "include_dashboard": False,
            "_system_config": patience}
    cluster, nodes = Cluster(initialize_head=True, head_node_args=head), {}
    with quiet():
        ray.init(address=cluster.address, log_to_driver=False)
        with Study.create(Path("study"), space, StudyConfig("tiny", "random", 1)) as study:
            grows = Resources(max_concurrent=2)
            run_tune(study, Training(), Budget(trials=5), grows, listen)
            said["trials"] = [
                [t.state.name, t.user_attrs["attempt"], t.user_attrs.get("deaths", 0)]
                + [name_of(t.user_attrs[f"node{k}"]) for k in (1, 2, 3, 4)]
                for t in study.trials()
            ]
        with Study.create(Path("other"), space, StudyConfig("other", "random", 1)) as study:
            try:
                run_tune(study, Training(), Budget(trials=2), grows)
            except StudyError as error:
                said["refused"] = error.problems
            said["spent"] = len(study.trials())
        left = [path.name for path in Path("study").iterdir()]
        said["left"] = [name for name in left if name.startswith(".preflight")]
        ray.shutdown()
    cluster.shutdown()
    Path("said.json").write_text(json.dumps(said))
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened."""
    work = tmp_path_factory.mktemp("cluster")
    (work / "run.py").write_text(textwrap.dedent(STORY))
    with tempfile.TemporaryDirectory(prefix="t-") as scratch:  # short, for Ray's sockets
        done = subprocess.run(
            [sys.executable, "run.py"], cwd=work, capture_output=True, text=True, timeout=600,
            env={
                **os.environ, "TMPDIR": scratch, "RAY_TMPDIR": scratch, "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_worker_niceness": "0",
            },
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads((work / "said.json").read_text())
    return found


@pytest.mark.ray
def test_what_has_no_node_waits_and_a_node_that_joins_gets_it(story: dict[str, Any]) -> None:
    assert story["pending"] == 1, "the autoscaler saw no demand"
    nodes = {node for trial in story["trials"] for node in trial[3:]}
    assert "second" in nodes


@pytest.mark.ray
def test_what_ran_on_a_node_that_died_goes_on_elsewhere(story: dict[str, Any]) -> None:
    states = [trial[0] for trial in story["trials"]]
    assert states == ["COMPLETE"] * 5
    moved = [t for t in story["trials"] if "second" in t[3:] and len(set(t[3:])) == 2]
    assert len(moved) == 1
    assert moved[0][3] == "second", "its first steps were not made again"


@pytest.mark.ray
def test_a_node_that_joins_and_cannot_load_the_objective_is_left_out(
    story: dict[str, Any],
) -> None:
    (note,) = story["notes"]
    assert note.startswith("odd (")
    assert "is left out: it cannot load what it should run" in note
    assert "no module named 'left_at_home'" in note
    assert not any("odd" in trial[3:] for trial in story["trials"])
    assert story["left"] == []


@pytest.mark.ray
def test_such_a_node_is_named_before_the_first_trial_of_a_search(story: dict[str, Any]) -> None:
    (problem,) = story["refused"]
    assert problem.startswith("node odd (")
    assert "install there what is installed here" in problem
    assert story["spent"] == 0
