"""The files of docs/cluster, as far as they can be held to something without a cluster."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from cxrsearch.fields import flag, options_of
from cxrsearch.study.settings import Settings

FOLDER = Path(__file__).parents[1] / "docs" / "cluster"

NOTED = 'echo "$(basename "$0") $*" >> "$CALLS"\n'
SEARCH = NOTED + 'trap "exit 143" TERM\nfor _ in $(seq "$TENTHS"); do sleep 0.1; done\n'


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the script calls, a line each, by programs that do nothing else."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    programs = {"srun": NOTED, "ray": NOTED, "scontrol": NOTED, "cxrsearch": SEARCH}
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{text}")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    for name, value in {
        "CALLS": tmp_path / "calls", "SLURM_JOB_ID": 7, "SLURM_JOB_NUM_NODES": 2,
        "SLURM_CPUS_PER_TASK": 8, "SLURMD_NODENAME": "n1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    return tmp_path / "calls"


def submitted(study: Path, tenths: int) -> subprocess.Popen[bytes]:
    command = ["bash", str(FOLDER / "search.sbatch"), str(study), "--trials", "5"]
    return subprocess.Popen(command, env={**os.environ, "TENTHS": str(tenths)})


def line(calls: Path, start: str) -> str:
    """The first call that begins so, awaited."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = calls.read_text().splitlines() if calls.exists() else []
        if hit := next((one for one in found if one.startswith(start)), None):
            return hit
        time.sleep(0.02)
    pytest.fail(f"nothing called {start}")


def test_a_slurm_job_hands_its_signal_on_and_is_queued_again(calls: Path, tmp_path: Path) -> None:
    job = submitted(tmp_path / "study", tenths=300)
    assert line(calls, "cxrsearch").endswith("--trials 5")
    assert f"cxrsearch ga --study {tmp_path / 'study'} --address " in line(calls, "cxrsearch")
    job.send_signal(signal.SIGTERM)
    assert job.wait(30) == 143
    assert line(calls, "scontrol") == "scontrol requeue 7"


def test_a_slurm_job_keeps_a_signal_that_comes_before_its_search(
    calls: Path, tmp_path: Path
) -> None:
    asking = 'if [ "$1" = status ]; then kill -TERM "$PPID"; fi\n'
    (tmp_path / "bin" / "ray").write_text(f"#!/bin/bash\n{asking}")
    assert submitted(tmp_path / "study", tenths=300).wait(30) == 143
    assert line(calls, "scontrol") == "scontrol requeue 7"


def test_a_slurm_job_that_was_queued_again_resumes_and_ends(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").touch()
    assert submitted(tmp_path, tenths=0).wait(30) == 0
    assert line(calls, "cxrsearch").startswith(f"cxrsearch resume {tmp_path} --address ")
    assert "scontrol" not in calls.read_text()


def test_the_job_of_kubernetes_gives_options_that_there_are() -> None:
    job = yaml.safe_load((FOLDER / "search.yaml").read_text())["spec"]
    script = shlex.split(job["entrypoint"])[2]
    given = {word for word in script.replace(";", " ").split() if word.startswith("--")}
    known = {flag(name, about) for name, about in options_of(Settings).items()}
    assert given <= known | {"--study"}
    group = job["rayClusterSpec"]["workerGroupSpecs"][0]
    assert f"--max-concurrent {group['maxReplicas']} " in script
