"""What a worker has to load before its first trial."""

from __future__ import annotations

import subprocess
import sys


def test_a_worker_loads_neither_driver_nor_samplers() -> None:
    code = (
        "import sys, search.tune.worker; "
        "print([m for m in ('optuna', 'deap', 'scipy', 'search.study') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
