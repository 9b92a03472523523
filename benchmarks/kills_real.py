"""Kill the commands themselves, with their real trainer, and see that the result is the same.

    python -m benchmarks.kills_real                       # all jobs, as often as `JOBS` says
    python -m benchmarks.kills_real --jobs train ablate --kills 2

Each job is run once without a kill. Then it is killed (``kill -9``) at moments drawn from the
seed, within the time that it took, or as soon as an epoch has been reported since the last kill,
and the same command, or ``resume``, is typed again until the job is done. After every second kill
something is damaged beside it, as a bad disk would: half a file is left under a temporary name,
or a byte of the newest checkpoint is turned round, or the checkpoint is cut short. Checked:

- every start ends well, or is killed by us;
- no trial that had ended is lost or changed;
- in the end there is what the run without a kill has: trials with the same parameters, reports
  and values, weights and predictions with the same bits, the same figures in JSON and CSV.

With Ray the sampler is random search, whose trials do not depend on the order in which others
end. ``benchmarks/kills.py`` does the same to the engine alone, at every point of a trial.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from safetensors import safe_open

from search.errors import SearchError
from search.study import read_study

PATIENCE = 900.0
"""Seconds that a run may take."""

SPACE = """
name: kills
genes:
  lr: {low: 1.0e-4, high: 1.0e-2, log: true}
  rotation: {low: 0.0, high: 10.0}
fixed: {model: densenet121, input_size: 32, epochs: %d, batch_size: 16}
points:
  - {name: first, params: {lr: 1.0e-3, rotation: 5.0}}
"""

TIMED = {
    "attempt", "created", "deaths", "died_at", "device", "digest", "elapsed", "files", "hours",
    "images_per_second", "notes", "seconds", "spans", "started", "study", "time", "took",
    "versions", "worker", "written",
}  # fmt: skip
"""What depends on the clock, on the folder, or tells of the kills themselves.

``files`` of a card are digests of its neighbours, pages with times among them; each of these files
is compared by what it holds.
"""

CHECKPOINTS = ("checkpoint.safetensors",)

Words = list[str]


@dataclass(frozen=True)
class Job:
    """A command that is killed.

    Args:
        kills: how often, by default.
        words: of the first start, given the study that there is and the folder to write to.
        again: of every later start; the same by default.
        worker: whether a worker of Ray's is killed, and not the command.
        settle: seconds after which what a killed command has started is gone.
        needs: what it works on beside the images, a name of `MATERIAL`.
    """

    kills: int
    words: Callable[[Path, Path], Words]
    again: Callable[[Path, Path], Words] | None = None
    worker: bool = False
    settle: float = 0.0
    needs: str = ""


def _search(*more: str) -> Callable[[Path, Path], Words]:
    def words(scratch: Path, out: Path) -> Words:
        fixed = ["--data", str(scratch / "xrays"), "--space", str(scratch / "space.yaml")]
        fixed += ["--cpus-per-trial", "1", "--seed", "3", "--no-early-stopping"]
        return ["optuna", "--study", str(out), *fixed, *more]

    return words


def _resume(scratch: Path, out: Path) -> Words:
    return ["resume", str(out)]


def _of_study(*words: str) -> Callable[[Path, Path], Words]:
    return lambda scratch, out: [words[0], str(scratch / "study"), "--out", str(out), *words[1:]]


def _pretrain(scratch: Path, out: Path) -> Words:
    words = ["--data", str(scratch / "xrays"), "--input-size", "32", "--batch-size", "16"]
    return ["pretrain", "autoencoder", "--out", str(out), *words, "--epochs", "12"]


def _cache(scratch: Path, out: Path) -> Words:
    words = ["--data", str(scratch / "large"), "--space", str(scratch / "space.yaml")]
    return ["optuna", *words, "--cache", str(out), "--cpus-per-trial", "1", "--dry-run"]


def _ablate(scratch: Path, out: Path) -> Words:
    words = ["--data", str(scratch / "xrays"), "--input-size", "32", "--epochs", "4"]
    words += ["--arms", "crop", "--seeds", "2", "--runner", "serial"]
    return ["ablate", "--study", str(out), *words, "--cpus-per-trial", "1"]


JOBS: dict[str, Job] = {
    "serial": Job(25, _search("--runner", "serial", "--trials", "3"), _resume),
    "ray-driver": Job(
        10, _search("--sampler", "random", "--trials", "4"), _resume, settle=2.0
    ),
    "ray-worker": Job(10, _search("--sampler", "random", "--trials", "4"), _resume, worker=True),
    "cache": Job(5, _cache, needs="large"),
    "train": Job(5, _of_study("train"), needs="study"),
    "pretrain": Job(5, _pretrain),
    "self-train": Job(5, _of_study("self-train", "--hidden", "0.3"), needs="study"),
    "ensemble": Job(5, _of_study("ensemble", "--members", "all", "--retrain"), needs="study"),
    "ablate": Job(5, _ablate),
}  # fmt: skip


@dataclass
class Row:
    """What a line of the table counts."""

    kills: int = 0
    damages: int = 0
    runs: int = 0
    violations: list[str] = field(default_factory=list)


class Runs:
    """The starts of one job in a folder.

    Args:
        job: what is run.
        scratch: what all jobs share.
        out: what the job writes.
        row: what is counted.
    """

    def __init__(self, job: Job, scratch: Path, out: Path, row: Row) -> None:
        self.job, self.scratch, self.out, self.row = job, scratch, out, row
        self.log = out.with_suffix(".log")
        self.started = False

    def start(self) -> subprocess.Popen[bytes]:
        """Type the command, or the one that goes on with it."""
        later = self.job.again if (self.out / "study.yaml").exists() else None
        words = (later or self.job.words)(self.scratch, self.out)
        environment = {**os.environ, "CXRSEARCH_CACHE": str(self.scratch / "cache")}
        with self.log.open("ab") as log:
            log.write(f"$ cxrsearch {' '.join(words)}\n".encode())
            log.flush()
            return subprocess.Popen(
                [sys.executable, "-m", "cxrsearch", *words],
                stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip

    def finish(self) -> float:
        """Run to the end; the seconds that it took."""
        begin = time.monotonic()
        process = self.start()
        try:
            status = process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            _end(process)
            status = -signal.SIGKILL
        self.judge(status)
        return time.monotonic() - begin

    def judge(self, status: int) -> None:
        """A run that nobody killed must end well."""
        if status != 0:
            tail = self.log.read_text(errors="replace").splitlines()[-3:]
            self.row.violations.append(f"exit status {status}: {' / '.join(tail)}")

    def kill(self, draw: random.Random, span: float) -> bool:
        """Start, and kill at some moment; False: it came to its end before."""
        process = self.start()
        victim: psutil.Process | None = None
        if self.job.worker:
            victim = self._worker(process, draw)
        elif draw.random() < 0.5 and (self.out / "study.yaml").exists():
            self._next_report(process, draw.uniform(0, 2))
        else:
            _wait(process, draw.uniform(0.02, 1.0) * span)
        if process.poll() is not None:
            self.judge(process.returncode)
            return False
        self.row.kills += 1
        if victim is None:
            _end(process)
            time.sleep(self.job.settle)
            return True
        with suppress(psutil.Error):
            victim.kill()
        self.judge(process.wait(timeout=PATIENCE))
        return False

    def _reports(self) -> int:
        try:
            return sum(len(t.intermediate_values) for t in read_study(self.out).trials)
        except SearchError:
            return 0

    def _next_report(self, process: subprocess.Popen[bytes], more: float) -> None:
        """Wait until another epoch has been reported, and ``more`` seconds."""
        before = self._reports()
        while process.poll() is None and self._reports() <= before:
            time.sleep(0.1)
        _wait(process, more)

    def _worker(
        self, process: subprocess.Popen[bytes], draw: random.Random
    ) -> psutil.Process | None:
        """A worker of Ray's, once epochs have been done."""
        while process.poll() is None and not (self.out / "study.yaml").exists():
            time.sleep(0.1)
        for _ in range(draw.randint(1, 4)):
            self._next_report(process, draw.uniform(0, 1))
        found = []
        with suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    if "TrialWorker" in " ".join(child.cmdline()):
                        found.append(child)
        return draw.choice(found) if found else None

    def damage(self, draw: random.Random) -> None:
        """Do to the files beside a killed command what a bad disk would."""
        self.row.damages += 1
        every = [p for p in self.out.parent.rglob("*") if p.name in CHECKPOINTS]
        newest = max(every, key=lambda p: p.stat().st_mtime, default=None)
        what = draw.choice(["left", "flip", "cut"]) if newest else "left"
        if what == "left" or newest is None:
            folder = newest.parent if newest else self.out
            if folder.is_dir():
                name = newest.name if newest else "study.yaml"
                (folder / f".{name}.0killed0.tmp").write_bytes(draw.randbytes(1000))
            return
        data = bytearray(newest.read_bytes())
        if what == "flip":
            # Half of the times in the header, which holds the numbers.
            size = 8 + int.from_bytes(data[:8], "little")
            place = draw.randrange(min(size, len(data)) if draw.random() < 0.5 else len(data))
            data[place] ^= 1 << draw.randrange(8)
        else:
            del data[draw.randrange(len(data)) :]
        newest.write_bytes(data)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)


def _end(process: subprocess.Popen[bytes]) -> None:
    """``kill -9``, of the command alone: what it has started has to look after itself."""
    process.kill()
    process.wait()


# What there is in the end


def facts(out: Path) -> dict[str, Any]:
    """What a job's folder holds, file by file, without what depends on the clock."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(out).parts)
        if path.is_dir() or hidden or path.name in ("looks.json", "driver.json"):
            continue
        if path.suffix == ".safetensors":
            found[name] = _tensors(path)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                found[name] = {k: _digest(arrays[k].tobytes()) for k in arrays.files}
        elif path.suffix == ".json":
            found[name] = _untimed(json.loads(path.read_text()), str(out))
        elif path.suffix in (".csv", ".u8", ".npy"):
            found[name] = _digest(path.read_bytes())
    if (out / "history.db").exists():
        found["history"] = {
            trial.number: (trial.state.name, trial.values, trial.params, trial.intermediate_values)
            for trial in read_study(out).trials
        }
    return found


def _tensors(path: Path) -> dict[str, str]:
    with safe_open(path, framework="np") as file:
        return {k: _digest(file.get_tensor(k).tobytes()) for k in file.keys()}  # noqa: SIM118


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _untimed(value: Any, out: str) -> Any:
    if isinstance(value, dict):
        return {k: _untimed(v, out) for k, v in value.items() if k not in TIMED}
    if isinstance(value, list):
        return [_untimed(v, out) for v in value]
    return value.replace(out, "OUT") if isinstance(value, str) else value


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """What is missing, new or different, by file."""
    for name in sorted({*found, *wanted}):
        if name not in found:
            yield f"{name} is missing"
        elif name not in wanted:
            yield f"{name} should not be there"
        elif found[name] != wanted[name]:
            mine, other = found[name], wanted[name]
            if isinstance(mine, dict) and isinstance(other, dict):
                keys = [k for k in {**mine, **other} if mine.get(k) != other.get(k)]
                parts = [f"{k}: {mine.get(k)!s:.60}, not {other.get(k)!s:.60}" for k in keys[:2]]
                yield f"{name}: {'; '.join(parts)}"
            else:
                yield f"{name} is another"


def ended(out: Path) -> dict[int, Any]:
    """The trials of a study that have ended, as they are."""
    if not (out / "history.db").exists():
        return {}
    return {
        t.number: (t.state.name, t.values, t.params, t.intermediate_values)
        for t in read_study(out).trials
        if t.state.is_finished()
    }


def run_job(name: str, kills: int, seed: int, scratch: Path) -> Row:
    """Run a job without a kill, then with ``kills`` of them, and compare."""
    job, row = JOBS[name], Row()
    reference = scratch / f"{name}-whole"
    span = Runs(job, scratch, reference, row).finish()
    if row.violations:
        return row
    wanted = facts(reference)
    draw = random.Random(f"{seed} {name}")
    while row.kills < kills and not row.violations:
        folder = scratch / f"{name}-{row.runs}"
        runs = Runs(job, scratch, folder / reference.name, row)
        folder.mkdir()
        row.runs += 1
        before: dict[int, Any] = {}
        done = False
        while row.kills < kills and not row.violations:
            if done := not runs.kill(draw, span):
                break
            now = ended(runs.out)
            row.violations += [
                f"trial {k} was {trial}, is {now.get(k)}"
                for k, trial in before.items()
                if now.get(k) != trial
            ]
            before = now
            if row.kills % 2 == 0:
                runs.damage(draw)
        if not done:
            runs.finish()
        row.violations += differences(facts(runs.out), wanted)
        if not row.violations:
            shutil.rmtree(folder)
    return row


def _xrays(out: Path, images: int, side: int) -> Words:
    words = ["--images", str(images), "--unlabelled", "40", "--side", str(side)]
    return ["phantom", str(out), *words, "--seed", "1"]


MATERIAL: dict[str, Callable[[Path, int], Words]] = {
    "xrays": lambda scratch, images: _xrays(scratch / "xrays", images, 64),
    "large": lambda scratch, images: _xrays(scratch / "large", 2 * images, 384),
    "study": lambda scratch, _: JOBS["serial"].words(scratch, scratch / "study"),
}
"""What jobs work on, by name: the command that makes it in a folder, of so many images."""


def prepare(scratch: Path, epochs: int, images: int, names: list[str]) -> None:
    """Make what the jobs ``names`` work on: drawn X-rays, a space, a finished study."""
    (scratch / "space.yaml").write_text(SPACE % epochs)
    wanted = {"xrays", *(JOBS[name].needs for name in names)}
    for name in MATERIAL:
        if name in wanted:
            row = Row()
            words = MATERIAL[name](scratch, images)
            job = Job(0, lambda _, out, words=words: words)
            Runs(job, scratch, scratch / "prepare", row).finish()
            if row.violations:
                raise SystemExit(f"{row.violations[0]}; see {scratch / 'prepare.log'}")


def main() -> int:
    """Kill, compare, print; 1 if anything was lost or is another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", nargs="+", choices=[*JOBS], default=[*JOBS])
    parser.add_argument("--kills", type=int, help="of each job, instead of its own number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14, help="of a trial; some 14 s at 14")
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--keep", type=Path, help="a folder for the files, instead of a new one")
    options = parser.parse_args()
    bad = False
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        scratch = options.keep or Path(temporary)
        scratch.mkdir(exist_ok=True)
        prepare(scratch, options.epochs, options.images, options.jobs)
        print(f"{'':12}{'kills':>6}{'damages':>8}{'runs':>5}  violations", flush=True)
        for name in options.jobs:
            kills = JOBS[name].kills if options.kills is None else options.kills
            row = run_job(name, kills, options.seed, scratch)
            print(
                f"{name:12}{row.kills:6}{row.damages:8}{row.runs:5}  {len(row.violations)}",
                flush=True,
            )
            for violation in row.violations:
                print(f"    {violation}", flush=True)
            bad = bad or bool(row.violations)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
