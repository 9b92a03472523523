"""The ways of writing a trial that are timed against each other write the same trial."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import optuna
import pytest

from benchmarks import stores


def _told(path: Path, name: str) -> list[tuple[Any, ...]]:
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{path}")
    return [
        (t.number, t.state, t.values, t.params, t.user_attrs, t.intermediate_values)
        for t in study.get_trials(deepcopy=False)
    ]


def test_every_way_writes_the_same_trials_ours_in_one_transaction_a_step(
    tmp_path: Path,
) -> None:
    told = []
    for name, make in stores.MAKERS.items():
        place = stores._place(None, tmp_path, name)
        stores.fill(place, 2)
        way = make(dataclasses.replace(place))
        rows = stores.one_round(way, 2, 2)
        assert set(rows) == set(stores.STEPS)
        assert (name == "ours") == all(commits == 1 for _, commits in rows.values())
        way.engine.dispose()
        assert place.path is not None
        told.append(_told(place.path, str(place.name)))
    assert len(told[0]) == 4
    assert told[0] == told[1] == told[2]


def test_the_command_prints_a_row_a_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["stores", "--trials", "1", "--rounds", "1", "--held", "1"]
    monkeypatch.setattr("sys.argv", words)
    assert stores.main() == 0
    out = capsys.readouterr().out
    assert all(f"{step}, {way}" in out for step in stores.STEPS for way in stores.WAYS)
    assert "read all, public" in out
