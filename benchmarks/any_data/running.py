"""The commands as a user starts them: each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

SPACE = """\
name: any-data
genes:
  lr: {{low: 1.0e-4, high: 1.0e-2, log: true}}
  train_seed: {{low: 0.5, high: 1.0, step: 0.1}}
  ratio_*: {{low: 0.5, high: 2.0, log: true}}
  uncertain: {{choices: [described, ignore, positive]}}
fixed: {{model: densenet121, epochs: {epochs}, input_size: {side}, batch_size: 32}}
"""
"""One that any data set fits: a ratio for each of its labels, and what uncertain marks count as."""


@dataclass(frozen=True)
class Ran:
    """What a command did.

    Args:
        words: how it was called.
        code: its exit status.
        out: what it printed.
        error: what it printed as errors.
        seconds: how long it took.
    """

    words: tuple[str, ...]
    code: int
    out: str
    error: str
    seconds: float

    @property
    def said(self) -> str:
        """The last lines of what went wrong, or nothing."""
        return "" if self.code == 0 else "\n".join((self.error or self.out).splitlines()[-12:])


def cxrsearch(*words: object, tree: Path = ROOT, cwd: Path | None = None) -> Ran:
    """Run a command of the product of ``tree`` and wait for its end."""
    called = tuple(map(str, words))
    env = {**os.environ, "PYTHONPATH": str(tree.resolve()), "COLUMNS": "110", "NO_COLOR": "1"}
    env.setdefault("OMP_NUM_THREADS", "1")
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "cxrsearch", *called],
        env=env, cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Ran(called, done.returncode, done.stdout, done.stderr, time.perf_counter() - start)


def write_space(path: Path, epochs: int = 1, side: int = 32) -> Path:
    """The space `SPACE` as a file."""
    path.write_text(SPACE.format(epochs=epochs, side=side), encoding="utf-8")
    return path
