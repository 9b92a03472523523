from __future__ import annotations

from pathlib import Path

import pytest

from search.cores import MemoryGroup, memory_groups, trials_on_gpus


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_memory_limits_of_both_versions_of_control_groups_are_found(tmp_path: Path) -> None:
    assert memory_groups(tmp_path) == []
    write(tmp_path, {
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/fs/cgroup/memory.current": "1000000\n",
        "sys/fs/cgroup/memory.stat": "anon 700000\ninactive_file 300000\n",
    })  # fmt: skip
    assert memory_groups(tmp_path) == []
    write(tmp_path, {"sys/fs/cgroup/memory.max": "5000000\n"})
    assert memory_groups(tmp_path) == [MemoryGroup(5_000_000, 700_000)]
    write(tmp_path, {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "8000\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "5000\n",
        "sys/fs/cgroup/memory/memory.stat": "cache 3\ntotal_inactive_file 1000\n",
    })  # fmt: skip
    assert set(memory_groups(tmp_path)) == {
        MemoryGroup(5_000_000, 700_000),
        MemoryGroup(8000, 4000),
    }


def test_the_limit_of_the_group_that_a_process_is_in_counts(tmp_path: Path) -> None:
    write(tmp_path, {
        "proc/self/cgroup": "0::/job/step\n",
        "sys/fs/cgroup/job/memory.max": "9000\n",
        "sys/fs/cgroup/job/memory.current": "4000\n",
        "sys/fs/cgroup/job/memory.stat": "inactive_file 0\n",
    })  # fmt: skip
    assert memory_groups(tmp_path) == [MemoryGroup(9000, 4000)]


@pytest.mark.parametrize(
    ("gpus", "each", "fit"),
    [(2, 1.0, 2), (2, 0.5, 4), (2, 0.3333, 6), (2, 0.6, 2), (4, 2.0, 2), (3, 2.0, 1), (0, 0.5, 0)],
)
def test_a_trial_has_its_share_of_one_gpu_or_whole_ones(gpus: int, each: float, fit: int) -> None:
    assert trials_on_gpus(gpus, each) == fit
