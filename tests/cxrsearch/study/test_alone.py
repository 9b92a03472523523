"""Trainings that have the machine to themselves: what they use, and what they keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxrsearch.errors import InputError
from cxrsearch.study import folder, prepare, winner
from cxrsearch.study.folder import load_alone, trial_config
from search.store.record import read_study

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> int:
    for module in (prepare, folder):
        monkeypatch.setattr(module, "detect_cpus", lambda: 7)
    return 7


def test_they_take_all_cores_and_the_whole_memory_whatever_a_trial_had(
    finished_study: Path, cores: int
) -> None:
    config = trial_config(finished_study, load_alone(finished_study)).compute
    assert (config.threads, config.memory_share) == (cores, folder.MEMORY_SHARE_OF_ALL)
    config = trial_config(finished_study, load_alone(finished_study, cpus_per_trial=2)).compute
    assert (config.threads, config.memory_share) == (2, folder.MEMORY_SHARE_OF_ALL)


def test_they_keep_to_the_studys_precision_unless_told_otherwise(finished_study: Path) -> None:
    had = read_study(finished_study).trials[0].user_attrs["precision"]
    assert load_alone(finished_study).precision == had
    for asked in ("float32", "bf16"):
        assert load_alone(finished_study, precision=asked).precision == asked


def test_what_the_machine_does_not_have_is_refused_at_once(
    finished_study: Path, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError) as refused:
        load_alone(finished_study, cpus_per_trial=64, device="cuda")
    assert len(refused.value.problems) == 2
    assert "--cpus-per-trial 64: there are 7 cores here" in str(refused.value)
    assert "no device 'cuda' here" in str(refused.value)


def test_a_winner_is_trained_again_as_it_was_judged(
    finished_study: Path, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = read_study(finished_study).best()
    assert best is not None
    seen: list[dict[str, Any]] = []

    def noted(*_: Any, **how: Any) -> Any:
        seen.append(how)
        return iter(())

    monkeypatch.setattr(winner, "train_final", noted)
    for asked in ("auto", "float32", "bf16"):
        list(winner.train_winner(finished_study, tmp_path / "model", precision=asked))
    computes = [how["compute"] for how in seen]
    assert [each.micro for each in computes] == [best.user_attrs["micro_batch"]] * 3
    assert [each.threads for each in computes] == [cores] * 3
    expected = [best.user_attrs["precision"], "float32", "bf16"]
    assert [each.precision for each in computes] == expected
    assert [how["meta"].precision for how in seen] == ["float32", "float32", "bf16"]


def test_the_commands_take_what_of_the_machine_to_use(
    finished_study: Path, tmp_path: Path, run: Run
) -> None:
    study, how = str(finished_study), ("--cpus-per-trial", "1", "--precision", "float32")
    code, out, err = run("train", study, "--out", str(tmp_path / "model"), *how)
    assert code == 0, out + err
    code, out, err = run("ensemble", study, *how)
    assert code == 2
    assert "--cpus-per-trial, --precision: go with --retrain or --per-disease" in err
