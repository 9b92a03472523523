from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrsearch.errors import InputError
from cxrsearch.learn.metrics import auroc
from cxrsearch.learn.saved.arrays import save_arrays
from cxrsearch.learn.saved.epoch_scores import (
    EPOCH_SCORES,
    EpochScores,
    half_logits,
    read_epoch_scores,
    save_epoch_scores,
)

NAMES = np.array([f"{n:08}_000.png" for n in range(6)])


def probabilities(seed: int, centre: float = -3.0, spread: float = 1.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(centre, spread, (300, 4))
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def written(folder: Path, **changes: np.ndarray) -> EpochScores | None:
    arrays = {
        "names": NAMES,
        "epochs": np.array([1, 2]),
        "scores": np.zeros((2, 6, 3), np.float16),
        "centres": np.zeros((2, 3), np.float32),
    }
    save_arrays(folder / EPOCH_SCORES, **{**arrays, **changes})
    return read_epoch_scores(folder)


def test_what_was_written_is_read_in_the_order_of_epochs(tmp_path: Path) -> None:
    first, second = probabilities(1)[:6], probabilities(2)[:6]
    save_epoch_scores(tmp_path, NAMES, {2: half_logits(second), 1: half_logits(first)})
    found = read_epoch_scores(tmp_path)
    assert found is not None
    assert found.names.tolist() == NAMES.tolist()
    assert found.epochs.tolist() == [1, 2]
    assert found.scores.shape == (2, 6, 4)
    assert found.scores.dtype == np.float16
    for epoch, given_ in ((1, first), (2, second)):
        assert np.allclose(1 / (1 + np.exp(-found.logits(epoch))), given_, rtol=1e-3)
    with pytest.raises(KeyError):
        found.logits(3)


def test_where_there_is_no_file_there_is_nothing(tmp_path: Path) -> None:
    assert read_epoch_scores(tmp_path) is None


@pytest.mark.parametrize("spread", [1e-3, 1.0])
def test_scores_close_together_far_from_zero_keep_their_auroc(spread: float) -> None:
    labels = np.random.default_rng(5).integers(0, 2, (300, 4))
    given_ = probabilities(7, centre=-4.0, spread=spread)
    kept = half_logits(given_).scores
    assert np.abs(auroc(labels, kept) - auroc(labels, given_)).max() < 1e-3


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20))
def test_any_probabilities_stay_finite_and_in_order(values: list[float]) -> None:
    column = np.array(values, np.float32)[:, None]
    kept, centre = half_logits(column)
    assert np.isfinite(kept).all()
    assert np.isfinite(centre).all()
    assert (np.diff(kept[np.argsort(column[:, 0]), 0]) >= 0).all()
    # What is equal stays equal: a tie counts half.
    assert len(np.unique(kept)) <= len(np.unique(column))


@pytest.mark.parametrize(
    "changes",
    [
        {"names": NAMES[:5]},
        {"names": np.arange(6)},
        {"epochs": np.array([2, 1])},
        {"epochs": np.array([0, 1])},
        {"epochs": np.array([1, 1])},
        {"epochs": np.array([1.0, 2.0])},
        {"scores": np.zeros((2, 6, 3), np.float32)},
        {"scores": np.full((2, 6, 3), np.nan, np.float16)},
        {"centres": np.zeros((3, 3), np.float32)},
        {"centres": np.full((2, 3), np.inf, np.float32)},
        {
            "epochs": np.zeros(0, int),
            "scores": np.zeros((0, 6, 3), np.float16),
            "centres": np.zeros((0, 3), np.float32),
        },
    ],
)
def test_what_does_not_fit_together_is_refused(
    tmp_path: Path, changes: dict[str, np.ndarray]
) -> None:
    assert written(tmp_path) is not None
    with pytest.raises(InputError, match=r"epochs\.npz"):
        written(tmp_path, **changes)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    path = tmp_path / EPOCH_SCORES
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"epochs\.npz"):
        read_epoch_scores(tmp_path)
    save_arrays(path, names=NAMES)
    with pytest.raises(InputError, match="centres, epochs, scores not in it"):
        read_epoch_scores(tmp_path)
