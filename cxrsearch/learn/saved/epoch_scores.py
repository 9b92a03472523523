"""What a trial's network said of the validation subset after each epoch, in half precision.

By these the choice of an epoch, and of a trial among many, can be drawn again: over resampled
patients, or on all splits but one. A column's logits can lie close together far from zero, where
half precision would make many of them equal. So each column of an epoch is kept as what its logits
are above their median; no AUROC changes by that.

NumPy only: pages and the status read these files without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrsearch.errors import InputError

from .arrays import read_arrays, save_arrays

EPOCH_SCORES = "epochs.npz"
"""The file in a trial's folder."""

FARTHEST_LOGIT = 1000.0
"""Logits end here; those of float32 probabilities that are not 0 lie within 104."""


NAME_BYTES, ZIP_BYTES = 32, 2048
"""Of a file: what an image's name takes as a rule, compressed, and what is beside the arrays."""


class HalfLogits(NamedTuple):
    """The logits of one epoch.

    Args:
        scores: (m, k) float16, how far they are above ``centres``.
        centres: (k,) float32, the median of each column.
    """

    scores: NDArray[np.float16]
    centres: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class EpochScores:
    """What a trial has said after each of its epochs of the images that score epochs.

    For AUROC take ``scores`` as they are: of one epoch and label they are its logits but for a
    constant.

    Args:
        names: (m,) texts, of the images of the trial's ``val_seed``, in the split's order.
        epochs: (e,) int64, from 1 and rising. All that the trial ran, but for those that a version
            which kept no such file trained before the trial was resumed.
        scores: (e, m, k) float16, finite: the logits of each label less their ``centres``.
        centres: (e, k) float32.
    """

    names: NDArray[np.str_]
    epochs: NDArray[np.int64]
    scores: NDArray[np.float16]
    centres: NDArray[np.float32]

    def logits(self, epoch: int) -> NDArray[np.float32]:
        """(m, k) logits after ``epoch``.

        Raises:
            KeyError: where they are not kept.
        """
        found = np.flatnonzero(self.epochs == epoch)
        if not found.size:
            raise KeyError(epoch)
        at = int(found[0])
        logits: NDArray[np.float32] = self.scores[at].astype(np.float32) + self.centres[at]
        return logits


def half_logits(probabilities: ArrayLike) -> HalfLogits:
    """The logits of (m, k) float32 ``probabilities``, in half precision about their medians.

    The logit of 0 or 1 is taken to be `FARTHEST_LOGIT`, so what is equal stays so.
    """
    p = np.asarray(probabilities, np.float32)
    with np.errstate(divide="ignore"):
        logits = np.clip(np.log(p) - np.log1p(-p), -FARTHEST_LOGIT, FARTHEST_LOGIT)
    centres = np.median(logits, axis=0).astype(np.float32)
    return HalfLogits((logits - centres).astype(np.float16), centres)


def save_epoch_scores(folder: Path, names: np.ndarray, epochs: Mapping[int, HalfLogits]) -> None:
    """Write `EPOCH_SCORES` in ``folder``, whole or not at all.

    Args:
        folder: of the trial.
        names: (m,) of the images.
        epochs: one epoch or more, by number.

    Raises:
        OSError: where it cannot be written.
    """
    numbers = sorted(epochs)
    save_arrays(
        folder / EPOCH_SCORES,
        names=np.asarray(names, np.str_),
        epochs=np.array(numbers, np.int64),
        scores=np.stack([epochs[number].scores for number in numbers]),
        centres=np.stack([epochs[number].centres for number in numbers]),
    )


def epoch_scores_bytes(epochs: int, images: int, labels: int) -> int:
    """Bytes at most of the file of a trial; compressed it is less."""
    return images * (NAME_BYTES + 2 * labels * epochs) + epochs * (8 + 4 * labels) + ZIP_BYTES


def read_epoch_scores(folder: Path) -> EpochScores | None:
    """What `save_epoch_scores` wrote; None where there is no such file.

    There is none of a trial that ended before its first epoch did, of one that an earlier version
    trained, and of one whose file made room for others (see `cxrsearch.learn.saved.keep`). While a
    trial runs its file is as of its last checkpoint.

    Raises:
        InputError: where it is damaged or holds something else.
    """
    path = folder / EPOCH_SCORES
    try:
        found = read_arrays(path)
    except FileNotFoundError:
        return None
    missing = {"names", "epochs", "scores", "centres"} - found.keys()
    if missing:
        raise InputError(f"{path}: {', '.join(sorted(missing))} not in it; delete the file")
    names, epochs = found["names"], found["epochs"]
    scores, centres = found["scores"], found["centres"]
    fits = (
        names.ndim == epochs.ndim == 1
        and names.dtype.kind == "U"
        and epochs.dtype.kind in "iu"
        and scores.dtype == np.float16
        and centres.dtype == np.float32
        and scores.ndim == 3
        and scores.shape[:2] == (len(epochs), len(names))
        and centres.shape == (len(epochs), scores.shape[2])
    )
    if not fits or not (np.isfinite(scores).all() and np.isfinite(centres).all()):
        raise InputError(f"{path}: its arrays are no scores of epochs; delete the file")
    numbers = epochs.astype(np.int64)
    if not len(numbers) or numbers[0] < 1 or (np.diff(numbers) <= 0).any():
        raise InputError(f"{path}: its epochs are not numbered from 1 upwards; delete the file")
    return EpochScores(names, numbers, scores, centres)
