"""Signals stop a run cleanly, on each runner and in the commands; a second one ends it at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from search.stopping import SIGNALS
from search.study import read_study

RUN = """
    import sys, time
    from pathlib import Path
    from search import stopping as limits
    from search.budget import Budget
    from search.objective import Outcome, Step
    from search.space import SearchSpace
    from search.stopping import Stopped, raise_stopped, stopping
    from search.study import Study, StudyConfig

    limits.GRACE = 600.0  # a slow machine's Ray may need more to end
    space = SearchSpace.from_dict({"name": "tiny", "genes": {"x": {"low": 0.0, "high": 1.0}}}, "")

    def objective(task):
        for k in range(1, 900):
            time.sleep(0.1)
            yield Step(k, task.params["x"])
        return Outcome(task.params["x"])

    def say(event):
        print(event.kind, flush=True)

    try:
        with stopping(raise_stopped), Study.create(
            Path("study"), space, StudyConfig("tiny", "random", 1)
        ) as study:
            if sys.argv[1] == "serial":
                from search.serial import run_serial

                run_serial(study, objective, Budget(trials=2), say)
            else:
                from search.tune import Resources, run_tune

                run_tune(study, objective, Budget(trials=2), Resources(concurrent=1), say)
    except Stopped as stopped:
        print(study.counts(), flush=True)
        sys.exit(stopped.exit_code)
"""


def heed() -> None:
    """What ignores a signal, as a test run in the background does, hands that on."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def begun(folder: Path, runner: str, **environment: str) -> subprocess.Popen[str]:
    """A search in ``folder`` that has reported a step."""
    (folder / "run.py").write_text(textwrap.dedent(RUN))
    process = subprocess.Popen(
        [sys.executable, "run.py", runner], cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment},
        preexec_fn=heed,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step"):
            return process
    raise AssertionError("the search ended without a step")


@pytest.mark.parametrize(
    ("runner", "number"),
    [
        ("serial", signal.SIGTERM),
        ("serial", signal.SIGHUP),
        ("serial", signal.SIGINT),
        pytest.param("ray", signal.SIGTERM, marks=pytest.mark.ray),
    ],
)
def test_a_signal_stops_a_search_and_its_trial_waits_for_the_next_run(
    tmp_path: Path, runner: str, number: signal.Signals
) -> None:
    with tempfile.TemporaryDirectory(prefix="t-") as scratch:  # short, for Ray's sockets
        process = begun(tmp_path, runner, TMPDIR=scratch, HOME=str(tmp_path))
        if runner == "ray":
            [folder] = Path(scratch).glob("ray-*")
            assert folder.stat().st_mode & 0o077 == 0, "others can open Ray's folder"
        process.send_signal(number)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 128 + number, output
        assert list(Path(scratch).iterdir()) == []
    assert not (tmp_path / ".ray").exists(), "Ray's token lies in the home folder"
    (trial,) = read_study(tmp_path / "study").trials
    assert trial.state.name == "RUNNING"
    assert len(trial.user_attrs["spans"]) == 1
    assert read_study(tmp_path / "study").counts()["interrupted"] == 1


def test_what_is_ignored_stays_so(tmp_path: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    code = (
        "import os, signal\n"
        "from search.stopping import raise_stopped, stopping\n"
        "with stopping(raise_stopped):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "print('on')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=ignore, capture_output=True, text=True
    )
    assert done.stdout == "on\n"


def test_a_second_signal_ends_what_does_not_stop(tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "from search import stopping\n"
        "stopping.ECHO = 600.0\n"  # however slow the machine is
        "with stopping.stopping():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('an echo', flush=True)\n"
        "    stopping.ECHO = -1.0\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still there', flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "an echo\n"
    assert done.returncode == -signal.SIGTERM


@pytest.mark.ray
def test_folders_of_killed_processes_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    from search.tune import own

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = ("ray-abcd1234", "ray-efgh5678", "ray-new_5678", "ray-starting", "ray-mine", "other")
    for name in names:
        (tmp_path / name).mkdir()
    long_ago = time.time() - 2 * own.OLD
    for name in ("ray-abcd1234", "ray-starting"):
        (tmp_path / name / own.OWNER_LOCK).touch()
    for old in (tmp_path / "ray-abcd1234" / own.OWNER_LOCK, tmp_path / "ray-efgh5678"):
        os.utime(old, (long_ago, long_ago))
    with own.own_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        os.utime(folder / own.OWNER_LOCK, (long_ago, long_ago))
        own.sweep()
        assert folder.exists(), "its process is alive"
        left = {p.name for p in tmp_path.iterdir()} - {folder.name}
    assert left == {"ray-new_5678", "ray-starting", "ray-mine", "other"}, "its lock is held next"
    assert not folder.exists()


@pytest.mark.ray
def test_a_folder_goes_also_where_a_worker_that_ends_late_writes_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    from search.tune import own

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    remove, late = shutil.rmtree, iter(("worker.out", "worker.err"))

    def slow(folder: Path, ignore_errors: bool) -> None:
        remove(folder, ignore_errors)
        if name := next(late, ""):
            folder.mkdir()
            (folder / name).touch()

    with own.own_folder() as folder:
        monkeypatch.setattr("search.tune.own.shutil.rmtree", slow)
    assert not next(late, "")
    assert not folder.exists()


TOKEN = """
    import os
    from search.tune import own

    seen = []
    for _ in range(2):
        with own.own_token():
            seen.append(os.environ["RAY_AUTH_TOKEN"])
            assert os.environ["RAY_AUTH_MODE"] == "token"
    assert seen[0] != seen[1]
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_TOKEN" not in os.environ
"""


def test_our_ray_asks_for_a_token_of_its_own_and_the_environment_is_left_alone() -> None:
    pytest.importorskip("ray")
    # In a process of its own: a Ray that is running here would be asked for the other token,
    # and ends its whole process when it has not got it.
    env = {k: v for k, v in os.environ.items() if k != "RAY_AUTH_TOKEN"}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TOKEN)],
        env={**env, "RAY_AUTH_MODE": "disabled"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
