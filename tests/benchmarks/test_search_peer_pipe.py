"""A peer in a child process answers as one here does, and says what is wrong when it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.search.peers.genes import Gene, Task
from benchmarks.search.peers.pipe import ROOT, PeerError, PipedPeer

TASK = Task(
    (
        Gene("model", "choice", choices=("a", "b", None, 3)),
        Gene("rate", "float", 1e-5, 1.0, log=True),
        Gene("units", "int", 8, 64, step=1, parent="model", values=("a", None)),
    ),
    seed=5,
    trials=60,
)
WORKER = "from benchmarks.search.peers import worker; worker.PEERS['deap'] = {}; worker.main()"


def child(code: str, timeout: float = 60.0) -> PipedPeer:
    return PipedPeer("none", "deap", TASK, command=[sys.executable, "-c", code], timeout=timeout)


def served(peer: tuple[str, str]) -> PipedPeer:
    code = f"import sys; sys.argv = ['worker', 'deap']; {WORKER.format(peer)}"
    return child(code)


def test_a_child_asks_for_what_the_same_peer_asks_for_here() -> None:
    deap_peer = pytest.importorskip("benchmarks.search.peers.deap_peer")
    here, there = deap_peer.MuPlusLambda(TASK), served(("deap_peer", "MuPlusLambda"))
    try:
        for _ in range(45):
            (key, params), (handle, answered) = here.ask(), there.ask()
            assert answered == params
            here.tell(key, params["rate"])
            there.tell(handle, params["rate"])
    finally:
        there.close()


def test_the_worker_imports_nothing_of_the_project_but_its_own() -> None:
    code = "import sys, benchmarks.search.peers.worker as w; print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    loaded = set(out.stdout.split())
    assert not loaded & {"optuna", "numpy", "torch", "search", "cxrsearch"}


def test_a_missing_environment_is_named_with_the_way_out() -> None:
    with pytest.raises(PeerError, match=r"smac: no environment .*nowhere: run make bench-peer-now"):
        PipedPeer("nowhere", "smac", TASK)


def test_a_child_that_dies_is_reported_with_the_end_of_its_log() -> None:
    with pytest.raises(PeerError, match=r"deap has ended[^$]*lost its library"):
        child("import sys; sys.exit('lost its library')")


def test_an_answer_that_is_no_json_is_quoted() -> None:
    peer = child("print('{}', flush=True); input(); input(); print('{\"handle\": 1', flush=True)")
    with pytest.raises(PeerError, match="which is no JSON"):
        peer.ask()
    peer.close()
    peer.close()


def test_an_error_inside_the_child_reaches_the_caller() -> None:
    with pytest.raises(PeerError, match=r"ModuleNotFoundError.*no_such_peer"):
        served(("no_such_peer", "Nothing"))


def test_a_child_that_is_silent_runs_into_the_limit() -> None:
    with pytest.raises(PeerError, match=r"no answer in 0\.3 s"):
        child("import time; time.sleep(30)", timeout=0.3)


def test_a_child_leaves_no_files() -> None:
    code = (
        "import json, os; open('rubbish', 'w').close(); "
        "print(json.dumps({'folder': os.getcwd()}), flush=True); input(); input(); "
        "print(json.dumps({'handle': 1, 'params': {'folder': os.getcwd()}}), flush=True); input()"
    )
    peer = child(code)
    _, params = peer.ask()
    assert (Path(params["folder"]) / "rubbish").exists()
    peer.close()
    assert not Path(params["folder"]).exists()
