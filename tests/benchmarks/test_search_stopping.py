"""The replay of early stopping, on curves whose answer is known."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.search import stopping
from benchmarks.search.problems import EPOCHS, Curve
from benchmarks.search.stopping import Cell, Result


def rising(task: str, params: Any) -> Curve:
    """A curve whose height is that of ``max_dropout`` at every epoch."""
    epochs = np.arange(1, EPOCHS + 1)
    values = (1 - 0.5 / epochs) * (0.5 + params["max_dropout"] / 2)
    return Curve(2.0 * epochs, values, values - 0.01)


@pytest.fixture(autouse=True)
def curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "lcbench_curve", rising)
    stopping.spread.cache_clear()


def cell(policy: str, **changes: Any) -> Cell:
    given = {"task": "t", "sampler": "random", "noise": 0.0, "seed": 1, "trials": 24}
    return Cell(**{**given, **changes, "policy": policy})


def test_full_training_is_whole_and_loses_nothing() -> None:
    found = stopping.run(cell("full"))
    assert (found.epochs, found.seconds, found.lost, found.survived) == (1.0, 1.0, False, 1.0)
    assert [spent for spent, _ in found.path] == pytest.approx(np.arange(1, 25) / 24)


def test_where_ranks_never_change_promotion_is_cheap_and_exact() -> None:
    full, found = stopping.run(cell("full")), stopping.run(cell("promote"))
    assert found.final == full.final
    assert found.test == pytest.approx(full.final - 0.01)
    assert not found.lost
    assert found.pauses > 12
    assert found.epochs == pytest.approx(found.seconds)
    assert found.epochs < 0.5 * full.epochs
    assert found.epochs < stopping.run(cell("stop")).epochs


def test_noise_lets_more_go_on_and_is_the_same_for_every_policy() -> None:
    calm, noisy = (stopping.run(cell("promote", noise=n)) for n in (0.0, 3.0))
    assert noisy.epochs > calm.epochs
    assert stopping.run(cell("full", noise=3.0)).final >= noisy.final


def test_rows_compare_each_run_with_full_training_of_the_same_seed() -> None:
    results = {}
    for task, lost in (("a", 0.01), ("b", 0.0), ("c", 0.001)):
        full = Result(1.0, 1.0, 0.8, 0.7, False, 1.0, 0, [(0.5, 0.7), (1.0, 0.8)])
        stop = Result(0.25, 0.3, 0.8 - lost, 0.7, lost > 0, 0.5, 3, [(0.1, 0.5), (0.2, 0.8 - lost)])
        results[cell("full", task=task)] = full
        results[cell("stop", task=task)] = stop
    rows = {row["policy"]: row for row in stopping.summary(results)}
    assert rows["stop"]["epochs"]["median"] == 0.25
    assert rows["stop"]["final"]["median"] == pytest.approx(-0.001)
    assert rows["stop"]["near"]["mean"] == pytest.approx(2 / 3)
    assert rows["stop"]["lost"]["mean"] == pytest.approx(2 / 3)
    assert rows["stop"]["reached"]["median"] == 0.2
    assert rows["stop"]["reached"]["high"] == 1.0, "a run that never comes near costs all"
    assert rows["full"]["reached"]["median"] == 1.0
    text = io.StringIO()
    stopping.show(rows.values(), Console(file=text, width=190))
    assert "-0.10" in text.getvalue()


def test_a_look_at_the_judging_half_is_on_record(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    monkeypatch.setattr(stopping, "LOG", log)
    monkeypatch.setattr(stopping, "run_all", lambda todo, jobs: {c: stopping.run(c) for c in todo})
    words = ["--fast", "--seeds", "1", "--trials", "4", "--samplers", "random", "--noises", "0"]
    assert stopping.main([*words, "--policies", "stop"]) == 0
    assert not log.exists()
    assert stopping.main([*words, "--policies", "stop", "--half", "judge"]) == 0
    assert log.read_text().count("\n") == 1
    assert '"commit"' in log.read_text()
