"""A whole search by the command line on one device, its winner trained and judged."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from search.files import write_text

from .material import ROOT, Setup

SPACE = Path(__file__).with_name("gpu_space.yaml")
TINY = {"input_size": 32, "model": "densenet121", "batch_size": 16, "ema": 0.0}
"""What is fixed instead, to see that every step works."""


@dataclass(frozen=True)
class Searched:
    """What a search came to.

    Args:
        trials: by state.
        seconds: of search, final training and evaluation, by step.
        validation: mean AUROC of the winner, selected from all trials.
        test: mean AUROC on the test part, and its interval.
        params: the winner's genes.
    """

    trials: dict[str, int]
    seconds: dict[str, float]
    validation: float
    test: tuple[float, float, float]
    params: dict[str, Any]


def missing() -> str | None:
    """Why no search can run here (a package that is not installed), or None."""
    study = "cxrsearch.study"
    code = f"import {study}.experiment, {study}.winner, {study}.inference.counting, click"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def search(where: Setup, trials: int, epochs: int, budget: str | None, tiny: bool) -> Searched:
    """``cxrsearch ga --runner serial``, ``train``, ``evaluate``, each in a process of its own.

    Args:
        where: data, device and so on.
        trials: of the search.
        epochs: of each of them.
        budget: wall-clock limit such as ``20m``.
        tiny: drawn X-rays, small pictures, one epoch.
    """
    with where.scratch() as folder:
        folder = folder.resolve()  # commands run in the project's folder
        study, model = folder / "study", folder / "model"
        words: list[object] = [
            "ga", "--runner", "serial", "--trials", trials, "--population", min(10, trials),
            "--space", space(folder, epochs, tiny), "--study", study, "--seed", where.seed,
            "--device", where.device.type, "--cpus-per-trial", where.threads,
        ]  # fmt: skip
        if tiny or where.data is None:
            words += ["--phantom-images", 120]
        else:
            words += ["--data", where.data.resolve()]
        words += ["--cache", where.cache.resolve()] if where.cache else []
        words += ["--time-budget", budget] if budget else []
        took = {}
        for name, command in (
            ("search", words),
            ("train", ["train", study, "--out", model]),
            ("evaluate", ["evaluate", model]),
        ):
            start = time.perf_counter()
            cxrsearch(*command)
            took[name] = time.perf_counter() - start
        status = json.loads(cxrsearch("status", study, "--json"))
    best = status["best"]
    test = best["test"]
    return Searched(
        status["trials"], took, best["value"], (test["mean"], *test["interval"]), best["params"]
    )  # fmt: skip


def space(folder: Path, epochs: int, tiny: bool) -> Path:
    """The space to search, written to ``folder``; for ``tiny`` one with most of it fixed."""
    found = yaml.safe_load(SPACE.read_text())
    fixed = {"epochs": epochs} | (TINY if tiny else {})
    found["genes"] = {k: v for k, v in found["genes"].items() if k not in fixed}
    found["fixed"] |= fixed
    path = folder / "space.yaml"
    write_text(path, yaml.safe_dump(found))
    return path


def cxrsearch(*words: object) -> str:
    """Run the command line; its output.

    Raises:
        RuntimeError: with what it said, where it fails.
    """
    command = [sys.executable, "-m", "cxrsearch", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
