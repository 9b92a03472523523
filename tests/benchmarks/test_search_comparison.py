"""The comparison: shared cells only, the slow ones apart, and the judging half's rule."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from benchmarks.search import judged
from benchmarks.search.__main__ import main
from benchmarks.search.cells import Cell, Key, append, path_of
from benchmarks.search.compare import against, best_peer, compare, shared, standing, to_random
from benchmarks.search.report import report

PROBLEMS = ("ellipsoid-log", "rastrigin-mixed")


def cell(
    sampler: str, problem: str, seed: int, true: float, trials: int = 200, late: float | None = None
) -> Cell:
    """A run whose choice scores ``true`` from the first trial, ``late`` from the 150th on."""
    best = [(0, 0.0, true)] + ([(149, 1.0, late)] if late is not None else [])
    seconds = (0.1, 0.2, 0.4, 0.8)[: 4 if trials >= 200 else 3]
    return Cell(
        sampler, "1", trials < 200, problem, "d", seed, trials, tuple(best), seconds, (1e-3, 2e-3)
    )


def cells() -> dict[str, dict[Key, Cell]]:
    """Three samplers: genetic first everywhere, a slow one with one seed and 100 trials."""
    found: dict[str, dict[Key, Cell]] = {"genetic": {}, "random": {}, "gp": {}}
    for problem in PROBLEMS:
        for seed in range(3):
            found["genetic"][problem, seed] = cell("genetic", problem, seed, -0.1)
            late = -0.5 - 0.01 * seed
            found["random"][problem, seed] = cell("random", problem, seed, -2.0, late=late)
        found["gp"][problem, 0] = cell("gp", problem, 0, -0.2, trials=100)
    return found


def test_a_comparison_is_on_the_cells_that_all_share() -> None:
    all_ = shared(cells(), ["genetic", "random", "gp"], 100)
    assert all_.keys == (("ellipsoid-log", 0), ("rastrigin-mixed", 0))
    ranks = standing(all_)["samplers"]
    assert {name: row["rank"] for name, row in ranks.items()} == {
        "genetic": 1.0, "gp": 2.0, "random": 3.0,
    }  # fmt: skip
    # Nobody has 200 trials of the slow one, so that it drops out and the others keep all cells.
    late = shared(cells(), ["genetic", "random", "gp"], 200)
    assert late.samplers == ("genetic", "random")
    assert len(late.keys) == 6


def test_regret_is_measured_from_the_best_in_units_of_the_typical() -> None:
    from benchmarks.search.problems import problem

    part = shared(cells(), ["genetic", "gp"], 25)
    for (name, _), row in zip(part.keys, part.regret, strict=True):
        typical = -problem(name).typical
        assert row == pytest.approx([0.1 / typical, 0.2 / typical])


def test_pairs_use_their_own_shared_cells() -> None:
    rows = against(cells(), 25)
    assert rows["gp"]["cells"] == 2
    assert rows["random"]["cells"] == 6
    assert rows["gp"]["ratio"] == pytest.approx(0.5)
    assert rows["random"]["win_rate"] == pytest.approx(1.0)
    assert rows["random"]["beats"]
    assert not rows["random"]["beaten"]
    assert best_peer(rows) == "gp"
    assert best_peer({"genetic:tournament=5": rows["gp"], "random": rows["random"]}) == "random"


def test_trials_to_random_count_runs_that_never_arrive() -> None:
    found = to_random(cells())
    assert found["problems"] == sorted(PROBLEMS)
    assert found["samplers"]["genetic"]["median"] == 1
    # Of random's three seeds -0.50, -0.51, -0.52 the target is the mean: two reach it at 150.
    assert found["samplers"]["random"]["median"] == 150
    assert found["samplers"]["random"]["never"] == pytest.approx(1 / 3)


def test_a_problem_where_random_stands_still_is_left_out() -> None:
    found = cells()
    for seed in range(3):
        found["random"]["rastrigin-mixed", seed] = cell("random", "rastrigin-mixed", seed, -1.0)
    assert to_random(found)["left_out"] == ["rastrigin-mixed"]


def test_the_report_is_written_and_says_what_is_stale(tmp_path: Path) -> None:
    for name, mine in cells().items():
        for each in mine.values():
            append(path_of(tmp_path, name), each)
    console = Console(file=io.StringIO(), width=150)
    found = report(tmp_path, tmp_path / "out", console, "Title <b>", problems=True)
    assert found["samplers"]["random"]["stale"] == 6
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["all"]["25"]["cells"] == 2
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Title &lt;b&gt;" in page
    assert "After 25 trials genetic is beaten significantly by none and beats " in page


def test_a_folder_without_cells_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no cells in"):
        report(tmp_path, tmp_path / "out", Console(file=io.StringIO()), "")


def test_the_judging_half_takes_our_defaults_only(tmp_path: Path) -> None:
    words = ["run", "--half", "judge", "--out", str(tmp_path), "--samplers"]
    done = CliRunner().invoke(main, [*words, "random,genetic:population_size=20"])
    assert done.exit_code == 1
    assert "genetic:population_size=20' may not run on the judging half" in done.output
    done = CliRunner().invoke(main, [*words, "genetic", "--fast"])
    assert done.exit_code == 1
    assert "--half tune" in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_look_at_the_judging_half_is_appended(tmp_path: Path) -> None:
    log = tmp_path / "judged.jsonl"
    for _ in range(2):
        judged.record(compare(cells(), {"genetic": 2}), log=log)
    looks = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(looks) == 2
    assert looks[0]["cells"] == {"genetic": 6, "random": 6, "gp": 2}
    assert looks[0]["stale"] == {"genetic": 2}
    assert looks[0]["standing"]["all"]["200"]["samplers"]["genetic"]["rank"] == 1.0
    assert looks[0]["ratio"]["100"]["gp"] == 0.5
