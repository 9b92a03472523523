"""The benchmark of warm starts: its figures, and its going on after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.search import transfer
from benchmarks.search.problems import DATA
from benchmarks.search.transfer import COLD, Job, Run, compare, main, read, run

KIND = "1 other task"


def ended(kind: str, task: str, seed: int, regret: list[float], repeated: int = 0) -> Run:
    return Run(kind, task, seed, transfer.version(), regret, repeated)


def test_a_ratio_compares_searches_of_the_same_task_and_seed() -> None:
    runs = [
        ended(COLD, "a", 0, [0.8, 0.4]),
        ended(COLD, "a", 1, [0.4, 0.4]),
        ended(COLD, "b", 0, [0.2, 0.2]),
        ended(KIND, "a", 0, [0.4, 0.4], 4),
        ended(KIND, "a", 1, [0.2, 0.2], 2),
        ended(KIND, "c", 0, [9.0, 9.0]),  # no cold one beside it
    ]
    (row,) = compare({r[:3]: r for r in runs}).values()
    assert (row["pairs"], row["repeated"]) == (2, 3.0)
    first, second = row["budgets"]["10"], row["budgets"]["25"]
    assert first["ratio"] == pytest.approx(0.5)
    assert (first["wins"], second["wins"]) == (1.0, 0.75)
    assert second["ratio"] == pytest.approx(0.75)
    assert second["interval"][0] <= 0.75 <= second["interval"][1]


def test_runs_of_other_versions_and_torn_lines_are_run_again(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    good = ended(COLD, "a", 0, [0.1])
    lines = [good, good._replace(seed=1, version="other")]
    path.write_text("\n".join(json.dumps(r._asdict()) for r in lines) + '\n{"kind": "co')
    assert read(path) == {(COLD, "a", 0): good}


@pytest.mark.skipif(not (DATA / "lcbench").exists(), reason="LCBench's surrogate is not there")
def test_a_warm_search_repeats_earlier_trials_and_a_cold_one_none() -> None:
    tasks = ("3945", "126025")
    assert run(Job(COLD, "3945", 0, 10), tasks).repeated == 0
    warm = run(Job("unrelated: random scores", "3945", 0, 10), tasks)
    assert warm.repeated >= 2
    assert len(warm.regret) == 1
    assert run(Job("unrelated: random scores", "3945", 0, 10), tasks) == warm


def test_the_judging_half_has_no_fast_mode() -> None:
    done = CliRunner().invoke(main, ["--half", "judge", "--fast"])
    assert done.exit_code == 1
    assert "--half tune" in done.output
