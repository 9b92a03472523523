"""A small version of `benchmarks/kills_real.py`, which takes long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.kills_real import differences, facts

ROOT = Path(__file__).parents[2]


def test_a_killed_search_with_a_damaged_disk_comes_to_the_same_result(tmp_path: Path) -> None:
    words = ["--jobs", "serial", "--kills", "2", "--epochs", "2", "--images", "100"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills_real", *words, "--keep", str(tmp_path)],
        capture_output=True, text=True, timeout=600, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    kills, damages, _, violations = done.stdout.splitlines()[-1].split()[1:]
    assert (kills, damages, violations) == ("2", "1", "0")


def test_what_is_lost_or_another_is_seen(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        np.savez(folder / "val.npz", logits=np.arange(3.0))
        (folder / "curve.json").write_text('{"epochs": [1, 2], "seconds": 3}')
    assert list(differences(facts(one), facts(other))) == []
    np.savez(other / "val.npz", logits=np.array([0.0, 1.0, 2.5]))
    (other / "curve.json").write_text('{"epochs": [1, 3], "seconds": 4}')
    (one / "looks.txt").touch()
    found = list(differences(facts(other), facts(one)))
    assert [line.partition(":")[0] for line in found] == ["curve.json", "val.npz"]
    (other / "curve.json").unlink()
    assert "curve.json is missing" in list(differences(facts(other), facts(one)))
