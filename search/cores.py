"""The cores and the memory of this machine, and how a process keeps to its share of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

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
    for folder in _groups(root, ("cpu", "cpu,cpuacct")):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
            if int(quota) > 0:
                yield int(quota) / int(period)


def _groups(root: Path, controllers: Sequence[str]) -> set[Path]:
    """Folders of the process's control groups: version 2, and version 1 of some controllers."""
    base = root / "sys/fs/cgroup"
    folders = {base, *(base / name for name in controllers)}
    with suppress(OSError, UnicodeDecodeError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            below = base / names if names else base
            inner = below / path.lstrip("/")
            # A limit set on any group above holds as well.
            folders.update(p for p in (inner, *inner.parents) if p.is_relative_to(base))
    return folders


class MemoryGroup(NamedTuple):
    """What a control group allows its processes.

    Args:
        limit: bytes in all.
        used: bytes of these in use, without cached file pages, which make room when asked to.
    """

    limit: int
    used: int


def memory_groups(root: Path = Path("/")) -> list[MemoryGroup]:
    """The process's control groups that limit its memory (versions 1 and 2).

    Args:
        root: where ``proc`` and ``sys`` lie (for tests).
    """
    found = []
    for folder in _groups(root, ("memory",)):
        for limit, used, cached in _MEMORY_FILES:
            with suppress(OSError, ValueError, KeyError):  # no such file, or "max"
                most = int((folder / limit).read_text())
                lines = (folder / "memory.stat").read_text().splitlines()
                pages = int(dict(line.split() for line in lines)[cached])
                found.append(MemoryGroup(most, int((folder / used).read_text()) - pages))
    return found


_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def threads_of(cpus: float) -> int:
    """Threads of a trial that has ``cpus`` cores: as many as are whole, at least 1."""
    return max(1, int(cpus))


def trials_on_gpus(gpus: int, each: float) -> int:
    """How many trials ``gpus`` have room for, that have ``each`` of them; a share is of one GPU.

    Ray counts in ten-thousandths, so thirds must not fail by rounding.
    """
    return gpus * int(1 / each + 1e-4) if each <= 1 else gpus // int(each)


def thread_environment(threads: int) -> dict[str, str]:
    """The environment in which numerical libraries, once loaded, start so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))
