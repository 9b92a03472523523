from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrsearch.errors import InputError
from cxrsearch.learn.saved.keep import EpochScoresRoom, keep_best, parse_keep

FILES = ("best.safetensors", "checkpoint.safetensors", "curve.json", "val.npz")


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        for name in (*FILES, ".checkpoint.safetensors.x.tmp"):
            (tmp_path / str(number) / name).write_text("x")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "best.safetensors").write_text("mine")
    return tmp_path


def left(trials: Path, number: int) -> list[str]:
    return sorted(path.name for path in (trials / str(number)).iterdir())


def test_only_the_best_keep_weights_and_running_trials_keep_all(trials: Path) -> None:
    deleted = keep_best(trials, [3, 0, 1], 2, running={4})
    assert left(trials, 3) == left(trials, 0) == ["best.safetensors", "curve.json", "val.npz"]
    assert left(trials, 1) == left(trials, 2) == ["curve.json", "val.npz"]
    assert len(left(trials, 4)) == 5
    assert len(deleted) == 4 * 2 + 2
    assert (trials / "notes" / "best.safetensors").exists()
    assert keep_best(trials, [3, 0, 1], 2, running={4}) == []


def test_all_keeps_the_weights_of_every_trial_and_none_of_none(trials: Path) -> None:
    keep_best(trials, [3], "all")
    assert all("best.safetensors" in left(trials, n) for n in range(5))
    keep_best(trials, [3], "none")
    assert all(left(trials, n) == ["curve.json", "val.npz"] for n in range(5))


def test_only_the_trials_that_changed_are_looked_at(trials: Path) -> None:
    keep_best(trials, [3, 0, 1], 2, only={1, 7})
    assert left(trials, 1) == ["curve.json", "val.npz"]
    assert all(len(left(trials, number)) == 5 for number in (0, 2, 3, 4))


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert keep_best(tmp_path / "none", [1], 1) == []


def test_what_may_be_asked_for() -> None:
    given = ("best:5", " BEST: 12 ", "all", "none")
    assert [parse_keep(text) for text in given] == [5, 12, "all", "none"]


@pytest.mark.parametrize(
    "text", ["", "best", "best:", "best:0", "best:-1", "best:1.5", "5", "best:٣"]
)
def test_rubbish_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError, match="best:N"):
        parse_keep(text)


@given(st.text())
def test_any_text_is_understood_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        parse_keep(text)


def scored(trials: Path) -> list[int]:
    """The trials that have the scores of their epochs."""
    return sorted(int(path.parent.name) for path in trials.glob("*/epochs.npz"))


@pytest.fixture
def scores(trials: Path) -> Path:
    for number in range(5):
        (trials / str(number) / "epochs.npz").write_bytes(bytes(100))
    return trials


def test_scores_of_epochs_go_from_the_weakest_until_the_others_fit(scores: Path) -> None:
    room = EpochScoresRoom(scores, 2, most=300, least=1)
    # Trial 4 runs, or is a rerun: it counts, and stays.
    deleted = room.tidy({0: 0.7, 1: 0.5, 2: 0.6, 3: 0.8})
    assert deleted == [scores / "1" / "epochs.npz", scores / "2" / "epochs.npz"]
    assert scored(scores) == [0, 3, 4]
    assert room.tidy({0: 0.7, 1: 0.5, 2: 0.6, 3: 0.8}) == []
    assert (scores / "1" / "val.npz").exists()


def test_scores_of_the_best_few_stay_whatever_they_take(scores: Path) -> None:
    EpochScoresRoom(scores, "none", most=0, least=3).tidy({n: n / 10 for n in range(5)})
    assert scored(scores) == [2, 3, 4]


def test_scores_of_all_are_kept_where_all_is_to_be_kept(scores: Path) -> None:
    EpochScoresRoom(scores, "all", most=0, least=0).tidy({n: n / 10 for n in range(5)})
    assert scored(scores) == [0, 1, 2, 3, 4]


def test_the_file_of_a_trial_that_ended_is_counted_then(scores: Path) -> None:
    room = EpochScoresRoom(scores, 2, most=500, least=0)
    values = {n: n / 10 for n in range(5)}
    assert room.tidy(values) == []
    (scores / "5").mkdir()
    (scores / "5" / "epochs.npz").write_bytes(bytes(150))
    assert room.tidy({**values, 5: -math.inf}) == []
    room.tidy({**values, 5: -math.inf}, ended=[5, 6])
    assert scored(scores) == [0, 1, 2, 3, 4]
