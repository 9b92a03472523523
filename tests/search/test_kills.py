"""A small version of `benchmarks/kills.py`, which says more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_killed_driver_loses_and_repeats_nothing() -> None:
    words = ["--kills", "2", "--trials", "5", "--step", "0.02", "--span", "0.4"]
    points = ["--point", "before-rename", "--point", "committing", "--point", "reported"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", *words, *points],
        capture_output=True, text=True, timeout=300, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("genetic") == 2
