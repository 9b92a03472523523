"""What only the Ray runner has: workers that die, resources, Ctrl-C, no litter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from search.budget import Budget
from search.cores import detect_cpus
from search.errors import StudyError
from search.events import Event
from search.files import write_json
from search.objective import Outcome, Step, Steps, Task
from search.phases import Searching
from search.reading import read_json
from search.space import SearchSpace
from search.stopping import Stop
from search.study import Study, StudyConfig

pytest.importorskip("ray")

from ray import cloudpickle
from ray.exceptions import ActorDiedError, GetTimeoutError

from search.tune import Resources, run_tune
from search.tune.bridge import Bridge
from search.tune.cluster import Cluster, slots
from search.tune.driver import Driver
from search.tune.worker import Report

# Workers cannot import a test module by its name.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SPACE = {"name": "tiny", "genes": {"x": {"low": 0.0, "high": 1.0}}}
ONE = Resources(concurrent=1)


class Mortal:
    """Two steps a trial; some trials kill their worker after the first, so many times."""

    def __init__(self, deaths: dict[int, int] | None = None) -> None:
        self.deaths = deaths or {}

    def __call__(self, task: Task) -> Steps:
        file = task.folder / "checkpoint.json"
        done = read_json(file) if file.exists() else 0
        for number in (1, 2):
            if number > done:
                write_json(file, number)
                with (task.folder / "log").open("a") as log:
                    log.write(f"{number}\n")
            yield Step(number, task.params["x"], {"threads": os.environ["OMP_NUM_THREADS"]})
            if number == 1 and task.attempt < self.deaths.get(task.number, 0):
                os.kill(os.getpid(), signal.SIGKILL)
        return Outcome(task.params["x"], attrs={"cwd": str(Path.cwd())})


class Unloadable:
    """Arrives at a worker as an exception."""

    def __reduce__(self) -> Any:
        return (broken, ())


class Locked:
    """Cannot be pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Threads:
    """Notes what it finds when it is loaded in a worker, and then the threads of torch."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        from threadpoolctl import threadpool_info

        self.early = "torch" in sys.modules
        self.asked = os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]
        self.loaded = {library["num_threads"] for library in threadpool_info()}

    def __getstate__(self) -> dict[str, Any]:
        return {"some": "state"}

    def __call__(self, task: Task) -> Steps:
        import torch

        attrs = {"early": self.early, "asked": self.asked, "torch": torch.get_num_threads()}
        yield Step(1, 0.0, attrs | {"loaded": sorted(self.loaded)})
        return Outcome(0.0)


def broken() -> None:
    raise ImportError("no module named 'left_at_home'")


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    config = StudyConfig("tiny", "random", 5, retries=1)
    space = SearchSpace.from_dict(SPACE, "tiny.yaml")
    with Study.create(tmp_path / "study", space, config) as made:
        yield made


@pytest.mark.ray
def test_a_trial_whose_worker_dies_goes_on_and_fails_when_it_dies_too_often(
    study: Study, ray_session: None
) -> None:
    events: list[Event] = []
    usage = run_tune(study, Mortal({0: 1, 1: 9}), Budget(trials=3), ONE, events.append)
    first, second, third = study.trials()
    assert [t.state.name for t in (first, second, third)] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert first.user_attrs["attempt"] == 1
    workers = [worker for worker, *_ in first.user_attrs["spans"]]
    assert len(set(workers)) == 2
    log = (study.folder / "trials" / "0" / "log").read_text()
    assert log == "1\n2\n"
    assert [e.kind for e in events if e.number == 0] == [
        "start", "step", "retry", "step", "step", "end",
    ]  # fmt: skip
    assert second.user_attrs["reason"] == "killed"
    assert "worker died 2 times" in second.user_attrs["detail"]
    assert "SYSTEM_ERROR" in second.user_attrs["detail"]
    assert usage.lost == 3


class Sleeper:
    """A worker that is killed in its sleep."""

    def pid(self) -> int:
        return os.getpid()

    def sleep(self) -> None:
        time.sleep(600)


@pytest.mark.ray
def test_why_a_worker_died_is_waited_for(ray_session: None) -> None:
    """By its default Ray waits a second for the reason, and on a busy machine has none."""
    import ray

    (gcs,) = (p for p in psutil.Process().children(recursive=True) if p.name() == "gcs_server")
    worker = ray.remote(num_cpus=1)(Sleeper).remote()
    pid, asleep = ray.get(worker.pid.remote()), worker.sleep.remote()
    late = threading.Timer(3, gcs.resume)
    gcs.suspend()
    try:
        late.start()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ActorDiedError, match="SYSTEM_ERROR"):
            ray.get(asleep, timeout=300)
    finally:
        late.cancel()
        gcs.resume()


class FailingCard:
    """The first process that runs trials fails them by its GPU; the others do not."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "first"

    def __call__(self, task: Task) -> Steps:
        import ray

        from search.tune import worker

        ray.get_gpu_ids, worker.REST_SECONDS = lambda: [0], 0.1  # a machine with one, that rests
        if not self.file.exists():
            self.file.write_text(str(os.getpid()))
        if self.file.read_text() == str(os.getpid()):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        yield Step(1, task.params["x"])
        return Outcome(task.params["x"])


@pytest.mark.ray
def test_a_worker_whose_gpu_failed_ends_and_costs_no_trial(
    study: Study, ray_session: None, tmp_path: Path
) -> None:
    run_tune(study, FailingCard(tmp_path), Budget(trials=3), ONE)
    assert [t.state.name for t in study.trials()] == ["COMPLETE"] * 3
    workers = {worker for t in study.trials() for worker, *_ in t.user_attrs["spans"]}
    assert len(workers) == 2, "one process ran all of them, after the one that failed"
    assert [t.user_attrs.get("deaths", 0) for t in study.trials()] == [1, 0, 0]


@pytest.mark.ray
def test_workers_are_kept_and_nothing_is_asked_for_early(
    study: Study, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    here = Path.cwd()
    usage = run_tune(study, Mortal(), Budget(trials=6))
    assert usage.started == 6
    assert usage.lost == usage.ahead == 0
    assert 1 <= len(usage.workers) <= 2
    attrs = [t.user_attrs for t in study.trials()]
    assert {a["threads"] for a in attrs} == {"1"}
    assert {a["cwd"] for a in attrs} == {str(here)} == {str(Path.cwd())}
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.ray
@pytest.mark.parametrize(("cpus", "threads"), [(2.0, 2), (0.5, 1)])
def test_a_workers_threads_are_its_cores_before_torch_starts(
    study: Study, ray_session: None, cpus: float, threads: int
) -> None:
    # The session's Ray, and with it its workers, were started with one thread.
    run_tune(study, Threads(), Budget(trials=1), Resources(cpus=cpus, concurrent=1))
    attrs = study.trials()[0].user_attrs
    assert attrs["early"] is False, "torch was loaded before its threads were set"
    assert attrs["asked"] == [str(threads)] * 2
    assert attrs["torch"] == threads
    assert attrs["loaded"] == [threads], "NumPy's libraries, which Ray has loaded before"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.ray
def test_ctrl_c_ends_the_run_and_leaves_its_trials_running(
    study: Study, ray_session: None, interruptible: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever presses again later, or whose run does not end in time, ends the process: the tests'.
    for name in ("ECHO", "GRACE"):
        monkeypatch.setattr(f"search.stopping.{name}", 600.0)
    before = signal.getsignal(signal.SIGINT)
    pressed: list[Event] = []

    def press(event: Event) -> None:
        if event.kind == "step" and not pressed:
            pressed.append(event)
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_tune(study, Mortal(), Budget(trials=9), ONE, press)
    assert signal.getsignal(signal.SIGINT) is before
    (trial,) = study.trials()
    assert trial.state.name == "RUNNING"
    assert len(trial.user_attrs["spans"]) == 1
    assert study.get("elapsed") > 0


@pytest.mark.ray
def test_what_cannot_be_loaded_or_sent_is_said_before_trials_are_spent(
    study: Study, ray_session: None
) -> None:
    with pytest.raises(StudyError, match="left_at_home"):
        run_tune(study, Unloadable(), Budget(trials=9), ONE)  # type: ignore[arg-type]
    assert study.counts()["failed"] == 0
    with pytest.raises(StudyError, match="cannot be sent"):
        run_tune(study, Locked(), Budget(trials=9), ONE)  # type: ignore[arg-type]


@pytest.mark.ray
@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (Resources(gpus=1), "--gpus-per-trial 1: Ray sees no GPU"),
        (Resources(cpus=64), "--cpus-per-trial 64: the machine has 2 CPUs"),
    ],
)
def test_what_the_machine_lacks_is_refused_before_anything_starts(
    study: Study, ray_session: None, resources: Resources, message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        run_tune(study, Mortal(), Budget(trials=1), resources)
    assert study.trials() == []


def test_resources_that_make_no_sense_are_refused_together() -> None:
    with pytest.raises(StudyError) as caught:
        Resources(cpus=0, gpus=1.5, concurrent=0)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("node", "cpus", "gpus", "fit"),
    [
        ({"CPU": 8.0}, 1, 0, 8),
        ({"CPU": 8.0}, 3, 0, 2),
        ({"CPU": 1.0}, 0.1, 0, 10),
        ({"CPU": 8.0}, 1, 0.5, 0),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 0.5, 4),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 1 / 3, 6),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 0.6, 2),
        ({"CPU": 8.0, "GPU": 4.0}, 1, 2, 2),
        ({"CPU": 2.0, "GPU": 4.0}, 1, 1, 2),
    ],
)
def test_how_many_trials_fit_on_a_node(
    node: dict[str, float], cpus: float, gpus: float, fit: int
) -> None:
    assert slots(node, Resources(cpus=cpus, gpus=gpus)) == fit


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 99),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, 99),
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 1),
        ({"sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        (
            {"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "300000 100000"},
            3,
        ),
        (
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        (
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            99,
        ),
    ],
)
def test_a_containers_quota_counts_as_cores(
    files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(99)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert detect_cpus(tmp_path) == cores


def test_the_driver_puts_retries_first_and_gives_back_what_was_not_begun(study: Study) -> None:
    driver = Driver(study, Searching(study, Budget(trials=5)), lambda: 2)
    assert driver.next_task("a").number == 0  # type: ignore[union-attr]
    assert driver.next_task("b").number == 1  # type: ignore[union-attr]
    assert driver.next_task("c") is None
    assert driver.idle
    driver.began("a", "host:1")
    assert not driver.idle
    driver.lost("a", "gone")
    driver.put_back("b")
    assert [driver.next_task(k).number for k in ("d", "e")] == [1, 0]  # type: ignore[union-attr]
    outcome = Outcome(0.5)
    for key, number in (("d", 1), ("e", 0)):
        driver.began(key, "host:2")
        assert not driver.report(key, Report(number, "host:2", 1.0, 2.0, outcome=outcome))
    assert not driver.report("e", Report(0, "host:2", 1.0, 2.0, outcome=outcome))
    assert study.counts()["complete"] == 2
    assert not driver.done


def test_a_trial_that_makes_a_step_between_deaths_keeps_its_retries(study: Study) -> None:
    driver = Driver(study, Searching(study, Budget(trials=1)), lambda: 1)
    for epoch in range(1, 5):
        task = driver.next_task(str(epoch))
        assert task is not None
        driver.began(str(epoch), "host:1")
        driver.report(str(epoch), Report(0, "host:1", 1.0, 2.0, step=Step(epoch, 0.5)))
        driver.lost(str(epoch), "the node was taken away")
    assert not study.trials()[0].state.is_finished()
    assert driver.next_task("last") is not None
    driver.began("last", "host:1")
    driver.lost("last", "the node was taken away")
    assert driver.next_task("none") is None
    assert driver.done
    assert study.trials()[0].user_attrs["reason"] == "killed"


@pytest.mark.parametrize("started", [0, 1, 2])
def test_when_tune_itself_crashes_every_trial_goes_on_in_its_order(
    study: Study, started: int
) -> None:
    driver = Driver(study, Searching(study, Budget(trials=5)), lambda: 2)
    for key in "ab":
        driver.next_task(key)
    for key in "ab"[:started]:
        driver.began(key, "host:1")
    driver.crashed("Ray Tune stopped: boom")
    assert [driver.next_task(key).number for key in "cd"] == [0, 1]  # type: ignore[union-attr]
    deaths = [t.user_attrs.get("deaths", 0) for t in study.trials()]
    assert deaths == [1] * started + [0] * (2 - started)


def test_the_driver_counts_what_is_asked_for_ahead_of_a_worker(study: Study) -> None:
    driver = Driver(study, Searching(study, Budget(trials=9)), lambda: 1, ahead=2)
    tasks = [driver.next_task(key) for key in "abcd"]
    assert [task is not None for task in tasks] == [True, True, True, False]
    assert driver.usage.ahead == 2


def test_a_worker_that_was_too_slow_to_say_its_name_is_asked_at_its_next_trial(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def get(words: list[str], timeout: float) -> list[str]:
        asked.append(words)
        if len(asked) == 1:
            raise GetTimeoutError
        return words

    monkeypatch.setattr("search.tune.bridge.ray.get", get)
    actor = SimpleNamespace(
        _actor_id=SimpleNamespace(hex=lambda: "ab"),
        name=SimpleNamespace(remote=lambda: "host:1"),
        place=SimpleNamespace(remote=lambda: "a node"),
    )
    driver = Driver(study, Searching(study, Budget(trials=5)), lambda: 1)
    nothing: Any = None  # is asked of the nodes
    bridge = Bridge(driver, Cluster(ONE, own=True), nothing, Stop())
    for number, key in enumerate("abc"):
        assert driver.next_task(key) is not None
        trial: Any = SimpleNamespace(trial_id=key, temporary_state=SimpleNamespace(ray_actor=actor))
        bridge.started(trial)
        driver.report(key, Report(number, "host:1", 1.0, 2.0, outcome=Outcome(0.5)))
    assert len(asked) == 2, "and is asked no more once it has said it"
    assert driver.usage.workers == ["host:1"]


ALONE = """
    import os, sys, time
    from contextlib import suppress
    from pathlib import Path
    import psutil
    from search.budget import Budget
    from search.objective import Outcome, Step
    from search.space import SearchSpace
    from search.study import Study, StudyConfig
    from search.tune import run_tune

    space = SearchSpace.from_dict({"name": "tiny", "genes": {"x": {"low": 0.0, "high": 1.0}}}, "")
    outside = set()

    def objective(task):
        print("a worker's chatter")
        yield Step(1, task.params["x"], last=True)
        return Outcome(task.params["x"])

    def listen(event):
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                for link in process.net_connections("inet"):
                    if link.status == "LISTEN":
                        outside.add(link.laddr.ip.removeprefix("::ffff:"))

    with Study.create(Path("study"), space, StudyConfig("tiny", "random", 1)) as study:
        run_tune(study, objective, Budget(trials=2), on_event=listen)
        assert study.counts()["complete"] == 2
    assert outside == {"127.0.0.1"}, outside
    deadline = time.time() + 20
    while psutil.Process().children() and time.time() < deadline:
        time.sleep(0.1)
    assert not psutil.Process().children(), psutil.Process().children()
"""


@pytest.mark.ray
def test_a_ray_of_its_own_is_silent_local_and_leaves_nothing_behind(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (work / "run.py").write_text(textwrap.dedent(ALONE))
    with tempfile.TemporaryDirectory(prefix="t-") as scratch:  # short, for Ray's sockets
        done = subprocess.run(
            [sys.executable, "run.py"], cwd=work, capture_output=True, text=True, timeout=180,
            env={**os.environ, "HOME": str(home), "TMPDIR": scratch},
        )  # fmt: skip
        left = [path.name for path in Path(scratch).iterdir()]
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
    assert {p.name for p in work.iterdir()} <= {"run.py", "study", "__pycache__"}
    assert not (home / "ray_results").exists()
    assert left == []
