"""Studies and models by the public interface, judged on images whose truth is known."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import cxrsearch
from cxrsearch.learn.metrics import auroc


def searched(data: Path, space: Path, study: Path, cache: Path, trials: int, seed: int) -> Path:
    """A search of ``trials`` on one core, in this process."""
    settings = cxrsearch.Settings(
        data=str(data), space=str(space), trials=trials, sampler="random", runner="serial",
        cpus_per_trial=1, device="cpu", seed=seed, cache=str(cache), early_stopping=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cxrsearch.search(settings, study)


def scores_by_truth(
    model: Path, images: Path, truth: Mapping[str, np.ndarray], labels: Sequence[str]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """What ``model`` says of the images of ``truth``, beside it.

    Args:
        model: its folder.
        images: the folder of the images.
        truth: path below ``images`` -> (k,) zeros and ones.
        labels: (k,) the labels of ``truth``.

    Returns:
        the images, their truth (n, k), their scores (n, k).
    """
    found = cxrsearch.predict(model, images)
    column = [list(found.labels).index(label) for label in labels]
    row = {name: number for number, name in enumerate(found.names)}
    names = sorted(truth)
    # A file is called by its name alone where no other has it.
    rows = [row[name] if name in row else row[name.rpartition("/")[2]] for name in names]
    scores = found.scores[rows][:, column]
    return names, np.stack([truth[name] for name in names]), scores


def by_label(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(k,) AUROC of each label."""
    return np.asarray(auroc(truth, scores))
