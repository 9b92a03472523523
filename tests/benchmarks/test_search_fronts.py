from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import optuna
import pytest
from click.testing import CliRunner

from benchmarks.search import fronts
from benchmarks.search.front_problems import DRAWN, HALVES, front_problem, reference
from benchmarks.search.fronts import Job, Run, compare, main, read, run, volumes
from search.trials.pareto import front

NAME = "zdt1-mixed"


def made(sampler: str, seed: int, points: list[tuple[int, list[float]]]) -> Run:
    return Run(Job(sampler, NAME, seed, 50), fronts.version_of(sampler), points, 0.001)


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_no_configuration_is_worse_than_the_reference_but_by_chance(name: str) -> None:
    problem, rng = front_problem(name), np.random.default_rng(5)
    drawn = np.array([problem.values(problem.random(rng)) for _ in range(300)])
    assert np.isfinite(drawn).all()
    assert (drawn <= np.array(reference(name))).all(axis=1).mean() > 0.98


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_genes_trade_one_objective_for_the_other(name: str) -> None:
    problem, rng = front_problem(name), np.random.default_rng(1)
    params = problem.random(rng)
    low, high = (problem.values({**params, "trade": trade}) for trade in (0.2, 0.8))
    assert (low[0] - high[0]) * (low[1] - high[1]) < 0


def test_no_problem_is_in_both_halves() -> None:
    assert not set(HALVES["tune"]) & set(HALVES["judge"])


def test_a_run_keeps_what_was_on_the_front_when_it_came() -> None:
    found = run(Job("random", NAME, 3, 30))
    numbers = [number for number, _ in found.found]
    assert numbers[0] == 0
    assert numbers == sorted(numbers)
    assert found == run(Job("random", NAME, 3, 30))._replace(seconds=found.seconds)
    trials = [optuna.trial.create_trial(values=values) for _, values in found.found]
    last = front(trials, ("minimize", "minimize"))
    assert {tuple(t.values) for t in last} <= {tuple(v) for _, v in found.found}


def test_volume_is_a_share_of_what_all_runs_reach() -> None:
    end = reference(NAME)
    near, far = [0.1, end[1] / 4], [0.5, end[1] / 2]
    better, worse = made("genetic", 0, [(0, far), (60, near)]), made("random", 0, [(0, far)])
    found = volumes([better, worse], [50, 100])
    assert found[0, 1] == pytest.approx(1.0)
    assert (
        found[0, 0]
        == found[1, 0]
        == found[1, 1]
        == pytest.approx((end[0] - 0.5) * end[1] / 2 / ((end[0] - 0.1) * end[1] * 3 / 4))
    )


def test_the_ratio_is_ours_to_the_best_peer_on_shared_runs() -> None:
    end = reference(NAME)
    runs = []
    for seed in range(3):
        runs.append(made("genetic", seed, [(0, [0.1, end[1] / 4])]))
        runs.append(made("tpe", seed, [(0, [0.1, end[1] / 2])]))
        runs.append(made("random", seed, [(0, [0.5, end[1] / 2])]))
    runs.append(made("random", 9, [(0, [0.0, 0.0])]))  # no other ran this seed
    figures = compare({r.job: r for r in runs}, [50])["budgets"]["50"]
    assert figures["best peer"] == "tpe"
    assert figures["missing"]["genetic"][0] == pytest.approx(0.0)
    assert figures["missing"]["tpe"][0] == pytest.approx(1 - (1 / 2) / (3 / 4))
    assert figures["ratio"][0] == pytest.approx(0.0)


def test_runs_are_kept_and_those_of_other_code_are_not_taken(tmp_path: Path) -> None:
    words = ["--samplers", "random", "--seeds", "1", "--trials", "50", "--jobs", "1"]
    words += ["--out", str(tmp_path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fronts.HALVES, "tune", [NAME])
        first = CliRunner().invoke(main, words)
        assert first.exit_code == 0, first.output
        path = tmp_path / "runs-50.jsonl"
        lines = path.read_text().splitlines()
        assert CliRunner().invoke(main, words).exit_code == 0
        assert [line for line in path.read_text().splitlines() if line] == lines
    assert json.loads((tmp_path / "report.json").read_text())["seeds"] == [0]
    assert len(read(path)) == 1
    path.write_text(lines[0].replace("optuna", "optuna 1") + "\n" + lines[0][:40])
    assert read(path) == {}


def test_unknown_samplers_and_quick_looks_at_the_judging_half_are_refused() -> None:
    runner = CliRunner()
    assert "unknown tpee; known:" in runner.invoke(main, ["--samplers", "tpee"]).output
    assert "--half tune" in runner.invoke(main, ["--fast", "--half", "judge"]).output
