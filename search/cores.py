"""The cores of this machine, and how a process keeps to its share of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Environment variables that numerical libraries read when they are loaded."""


def detect_cpus(root: Path = Path("/")) -> int:
    """The cores this process may use: its affinity and its container's quota, at least 1.

    Args:
        root: where ``proc`` and ``sys`` lie (for tests).
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, min([cores, *(max(1, int(quota)) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """CPU quotas of the process's control groups, in cores (versions 1 and 2)."""
    base = root / "sys/fs/cgroup"
    folders = {base, base / "cpu", base / "cpu,cpuacct"}
    with suppress(OSError, UnicodeDecodeError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            below = base / controllers if controllers else base
            inner = below / path.lstrip("/")
            # A limit set on any group above holds as well.
            folders.update(p for p in (inner, *inner.parents) if p.is_relative_to(base))
    for folder in folders:
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
            if int(quota) > 0:
                yield int(quota) / int(period)


def threads_of(cpus: float) -> int:
    """Threads of a trial that has ``cpus`` cores: as many as are whole, at least 1."""
    return max(1, int(cpus))


def thread_environment(threads: int) -> dict[str, str]:
    """The environment in which numerical libraries, once loaded, start so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))
